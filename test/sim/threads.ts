/**
 * The threads of a simulated worker's devices: they train by a script (training.ts), save lanes, and end as the plan has it.
 *
 * Guarantees: they say what `worker/` lets real threads say, in that order; none does anything after `end`.
 */
import type { Job, ThreadCommand, ThreadMessage } from "../../worker/messages.js";
import type { WorkerPlan } from "./plan.js";
import type { Stream } from "./random.js";
import type { World } from "./surroundings.js";
import type { Timer } from "./timeline.js";
import { accuracyOf, fateOf, hashOf, parts, sweepOf } from "./training.js";

export const NOTHING = new Uint8Array(0);

interface Training {
  readonly job: Job;
  epoch: number;
  /** Epoch of the checkpoint it goes on from. */
  readonly from: number;
  started: boolean;
  /** An upload is under way. */
  saving: boolean;
  /** To be saved before it stops. */
  save: boolean;
  timer: Timer | null;
  stopping: boolean;
}

/** The process that the threads are of. */
interface Process {
  incarnation(): string;
  say(message: ThreadMessage): void;
  kill(downMillis: number, why: string): void;
  /** Runs `action` in this life alone, once the process runs. */
  after(millis: number, action: () => void): Timer;
}

export class Threads {
  readonly #world: World;
  readonly #random: Stream;
  readonly #plan: WorkerPlan;
  readonly #process: Process;
  readonly #trainings = new Map<string, Training>();
  /** Told to wait, because too much is unsaid. */
  held = false;

  constructor(world: World, random: Stream, plan: WorkerPlan, process: Process) {
    this.#world = world;
    this.#random = random;
    this.#plan = plan;
    this.#process = process;
  }

  /** Lanes in use. */
  get size(): number {
    return this.#trainings.size;
  }

  get fingerprint(): string {
    return `f${this.#plan.device}`;
  }

  end(): void {
    for (const training of this.#trainings.values()) cancel(training);
    this.#trainings.clear();
  }

  command(command: ThreadCommand): void {
    switch (command.kind) {
      case "assign":
        if (this.#trainings.has(command.job.attempt)) {
          this.#world.oracle.fail("I5", `${this.#process.incarnation()} was given ${command.job.attempt} twice`);
        }
        this.#train(command.job, command.from?.epoch ?? 0);
        return;
      case "stop": {
        const training = this.#trainings.get(command.held.attempt);
        if (!training) return;
        training.stopping = true;
        training.save = command.save;
        return;
      }
      case "uploaded": {
        const training = this.#trainings.get(command.held.attempt);
        if (training) training.saving = false;
        return;
      }
      case "drop": {
        const training = this.#trainings.get(command.held.attempt);
        if (training) cancel(training);
        this.#trainings.delete(command.held.attempt);
        return;
      }
      case "hold":
        if (command.held) this.#world.count("buffer cap hit");
        this.held = command.held;
        return;
      case "close":
        return;
    }
  }

  #train(job: Job, from: number): void {
    if (from > 0) this.#world.count("goes on from a checkpoint");
    const [started, saving, save, stopping] = [false, false, false, false];
    const training: Training = { job, epoch: from, from, started, saving, save, timer: null, stopping };
    this.#trainings.set(job.attempt, training);
    if (this.#trainings.size > this.#plan.lanes) {
      this.#world.oracle.fail(
        "I12",
        `${this.#process.incarnation()} trains ${this.#trainings.size} on ${this.#plan.lanes} lanes`,
      );
    }
    this.#later(training, this.#random.between(1, 200));
  }

  #later(training: Training, millis: number): void {
    training.timer = this.#process.after(millis, () => this.#work(training));
  }

  /** One step of a thread: starts, trains an epoch, ends. */
  #work(training: Training): void {
    const { job } = training;
    if (this.#trainings.get(job.attempt) !== training) return;
    if (this.held) return this.#later(training, 200);
    const held = { attempt: job.attempt, token: job.token };
    if (!training.started) {
      training.started = true;
      this.#process.say({ kind: "started", held, fingerprint: this.fingerprint, fromEpoch: training.from });
      return this.#later(training, this.#epochMillis());
    }
    const world = this.#world;
    const fate = fateOf(world.plan, job.seed);
    const sweep = sweepOf(world.plan, parts(job.attempt).sweep);
    if (training.stopping) {
      if (training.save && !training.saving && training.epoch > training.from) this.#save(training);
      return this.#finish(training, { kind: "ended", held, outcome: { kind: "stopped", weightsHash: null } });
    }
    const last = training.epoch + 1 >= sweep.epochs;
    if (last && fate === "kills") {
      world.count("poison");
      return this.#process.kill(this.#random.below(2_000), "poison");
    }
    if (last && fate === "diverges") {
      const outcome = { kind: "diverged", epoch: sweep.epochs, step: 5, what: "loss" } as const;
      return this.#finish(training, { kind: "ended", held, outcome });
    }
    if (last && fate === "fails") {
      const error = { code: "ENGINE_BAD_RECIPE", message: "no", path: null, expected: null, found: null } as const;
      return this.#finish(training, { kind: "ended", held, outcome: { kind: "failed", error } });
    }
    training.epoch += 1;
    const value = accuracyOf(job.seed, training.epoch, this.#plan.device);
    const metrics = [{ name: "val_accuracy", value }];
    this.#process.say({ kind: "report", held, epoch: training.epoch, step: training.epoch * 10, metrics });
    if (this.#trainings.get(job.attempt) !== training) return;
    if (!training.saving && this.#random.chance(world.plan.checkpoints)) this.#save(training);
    if (training.epoch < sweep.epochs) return this.#later(training, this.#epochMillis());
    this.#finish(training, {
      kind: "ended",
      held,
      outcome: { kind: "completed", weightsHash: hashOf(job.seed, this.#plan.device) },
    });
  }

  #save(training: Training): void {
    const { job, epoch } = training;
    training.saving = true;
    this.#process.say({
      kind: "saved",
      held: { attempt: job.attempt, token: job.token },
      lane: { epoch, data: NOTHING },
    });
  }

  #finish(training: Training, message: ThreadMessage): void {
    this.#trainings.delete(training.job.attempt);
    this.#process.say(message);
  }

  #epochMillis(): number {
    return Math.max(1, Math.round(this.#plan.epochMillis * (0.5 + this.#random.unit())));
  }
}

function cancel(training: Training): void {
  if (training.timer) training.timer.run = null;
}
