/**
 * A worker's process around the real agent: the link with its back-off, threads that train by a script, a clock that
 * drifts, and what befalls a process (stopped, killed, asked to leave).
 *
 * Guarantees: the agent gets what `worker/join.ts` would give it, in that order; nothing of a dead life does anything.
 */

import type { ConvsweepError } from "../../proto/contract.js";
import { PROGRAM_VERSION } from "../../proto/contract.js";
import type { LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { Agent, type AgentEffect, type AgentInput } from "../../worker/agent.js";
import type { Predecessor } from "../../worker/agent-messages.js";
import { reconnectDelay } from "../../worker/backoff.js";
import type { Job, ThreadCommand, ThreadMessage } from "../../worker/messages.js";
import type { Entry } from "../../worker/outbox.js";
import type { Mutant } from "./mutants.js";
import { Connection, type Peer } from "./network.js";
import type { WorkerPlan } from "./plan.js";
import { Standstill } from "./process.js";
import type { Stream } from "./random.js";
import type { World } from "./surroundings.js";
import type { Timer } from "./timeline.js";
import { accuracyOf, fateOf, hashOf, parts, sweepOf } from "./training.js";

const DEVICE = "cpu";
/** Dies before anything it wrote has left its machine. */
const UNHEARD = "before it was heard";
const ANSWER_MILLIS = 10_000;
const NOTHING = new Uint8Array(0);

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

/** As worker/spool.ts keeps it. */
interface Spool {
  /** Whom the next process names: this life, and before its welcome those before it. */
  lives: readonly string[];
  store: string;
  readonly entries: Map<number, Entry>;
}

export class SimulatedWorker implements Peer {
  readonly index: number;
  readonly name: string;
  readonly plan: WorkerPlan;
  readonly #world: World;
  readonly #random: Stream;
  #life = 0;
  #agent: Agent | null = null;
  #connection: Connection | null = null;
  #answered = false;
  #failures = 0;
  readonly #process: Standstill;
  #tick: Timer | null = null;
  #held = false;
  /** On disk: of this life, or left by the one before. */
  #spool: Spool | null = null;
  readonly #trainings = new Map<string, Training>();

  constructor(world: World, index: number, plan: WorkerPlan, random: Stream) {
    this.#world = world;
    this.index = index;
    this.plan = plan;
    this.name = `w${index}`;
    this.#random = random;
    this.#process = new Standstill(world.timeline);
  }

  get incarnation(): string {
    return `${this.name}-life-${this.#life}`;
  }

  get alive(): boolean {
    return this.#agent !== null;
  }

  get agent(): Agent | null {
    return this.#agent;
  }

  get trains(): number {
    return this.#trainings.size;
  }

  begin(): void {
    if (this.#agent !== null) return;
    const { world, plan } = { world: this.#world, plan: this.plan };
    this.#life += 1;
    this.#failures = 0;
    this.#held = false;
    const before = world.plan.spools ? this.#spool : null;
    const lives = [...(before?.lives ?? []), this.incarnation];
    const spool: Spool = { lives, store: before?.store ?? "", entries: new Map() };
    this.#spool = spool;
    world.oracle.born({
      incarnation: this.incarnation,
      worker: this.name,
      lanes: plan.lanes,
      honest: true,
      previous: before?.lives ?? [],
      left: [...(before?.entries.values() ?? [])].flatMap(({ held }) => held?.token ?? []),
      spooled: () => spool.entries.values(),
    });
    this.#agent = new Agent(
      {
        worker: this.name,
        incarnation: this.incarnation,
        host: "h",
        pid: this.#life,
        version: PROGRAM_VERSION,
        devices: [
          { id: DEVICE, name: "c", backend: "cpu", fingerprint: this.#fingerprint, memoryBytes: 1, lanes: plan.lanes },
        ],
      },
      { window: world.plan.window, outbox: world.plan.outbox, spoolBytes: 64 << 20, flushMillis: 5_000 },
      inherited(before, world.mutant.inherits),
    );
    this.#open();
  }

  /** Dies with everything it had in memory. */
  kill(downMillis: number, why: string): void {
    if (this.#agent === null) return;
    this.#world.trace(() => `${this.incarnation} dies: ${why}`);
    this.#end();
    this.#process.forget();
    const connection = this.#connection;
    this.#connection = null;
    if (why === UNHEARD) connection?.swallow();
    else if (this.#random.chance(0.5)) connection?.close();
    else connection?.vanish();
    this.#world.timeline.at(this.#world.until(downMillis), () => {
      this.begin();
      this.#perhapsDieAgain();
    });
  }

  /** Perhaps before it is welcomed: then two of its name are dead that the coordinator may count on. */
  #perhapsDieAgain(): void {
    const { now, plan } = this.#world;
    const share = plan.shortLives ?? 0;
    if (share === 0 || now >= plan.healAt || !this.#random.chance(share)) return;
    const unheard = this.#random.chance(0.6);
    const millis = unheard ? 0 : this.#random.below(3 * plan.latency.most);
    this.#after(millis, () => this.kill(this.#random.below(500), unheard ? UNHEARD : "killed again"));
  }

  stop(millis: number): void {
    this.#process.stand(this.#world.until(millis));
  }

  leave(): void {
    this.#enter(() => this.#dispatch({ kind: "leave", reason: "asked to", code: 0 }));
  }

  loseDevice(): void {
    this.#enter(() => {
      for (const training of this.#trainings.values()) cancel(training);
      this.#trainings.clear();
      this.#dispatch({ kind: "leave", reason: "the thread of cpu ended", code: 70 });
    });
  }

  received(connection: Connection, message: LinkResponse): void {
    this.#enter(() => {
      if (this.#connection !== connection) return;
      this.#answered = true;
      this.#failures = 0;
      this.#dispatch({ kind: "received", message });
      if (message.body?.$case === "welcome" && this.#spool !== null) {
        this.#spool.store = message.body.value.store;
        this.#spool.lives = [this.incarnation];
      }
    });
  }

  ended(connection: Connection, error: ConvsweepError | null): void {
    this.#enter(() => {
      if (this.#connection !== connection) return;
      // What gRPC would say as INVALID_ARGUMENT or FAILED_PRECONDITION ends the process: it must never come to that.
      const refused = error?.code === "BAD_INPUT" || error?.code === "PROTOCOL" || error?.code === "WRONG_STATE";
      if (refused && !this.#world.hostile) {
        this.#world.oracle.fail("LINK", `the coordinator refused what ${this.incarnation} said: ${error?.message}`);
      }
      this.#linkEnded();
    });
  }

  /** As `Link.end`. */
  #linkEnded(): void {
    this.#connection?.close();
    this.#connection = null;
    const wait = reconnectDelay(this.#failures, this.#random.unit());
    this.#failures += 1;
    this.#dispatch({ kind: "linkDown" });
    this.#after(wait, () => this.#open());
  }

  #open(): void {
    if (this.#connection !== null) return;
    const connection = new Connection(this.#world, this);
    this.#connection = connection;
    this.#answered = false;
    this.#after(ANSWER_MILLIS, () => {
      if (this.#connection === connection && !this.#answered) this.#linkEnded();
    });
    this.#dispatch({ kind: "linkUp" });
  }

  #dispatch(input: AgentInput): void {
    const agent = this.#agent;
    if (agent === null) return;
    for (const effect of agent.handle(input, this.#localNow())) {
      this.#carryOut(effect);
      if (this.#agent !== agent) return;
    }
    const { wakeAt } = agent;
    if (wakeAt === null) return;
    const at = Math.ceil(wakeAt / this.plan.drift);
    if (this.#tick !== null && this.#tick.run !== null && this.#tick.at <= at) return;
    if (this.#tick !== null) this.#tick.run = null;
    const life = this.#life;
    const tick = this.#world.timeline.at(at, () => {
      this.#enter(() => {
        if (life !== this.#life) return;
        if (this.#tick === tick) this.#tick = null;
        this.#dispatch({ kind: "tick" });
      });
    });
    this.#tick = tick;
  }

  #carryOut(effect: AgentEffect): void {
    switch (effect.kind) {
      case "send":
        this.#connection?.send(effect.message);
        return;
      case "command":
        this.#command(effect.command);
        return;
      case "upload": {
        const { held, lane } = effect;
        this.#after(this.#random.between(5, 60), () => {
          const kept = this.#world.files.upload(this.index, held.attempt, lane.epoch);
          this.#dispatch({ kind: "uploaded", held, kept, reason: "no coordinator" });
        });
        return;
      }
      case "download": {
        const { held, checkpoint } = effect;
        this.#after(this.#random.between(5, 60), () => {
          const there = this.#world.files.download(this.index, checkpoint.digest);
          if (!there) this.#world.count("checkpoint fallback");
          const lane = there ? { epoch: checkpoint.epoch, data: NOTHING } : null;
          this.#dispatch({ kind: "downloaded", held, lane, reason: "it is not there" });
        });
        return;
      }
      case "uploadArtifact":
        return;
      case "relink":
        this.#world.count("relinked");
        if (!this.#world.hostile) this.#world.oracle.fail("LINK", `${this.incarnation} relinks: ${effect.reason}`);
        if (this.#connection !== null) this.#linkEnded();
        return;
      case "exit":
        this.#end();
        // As `Spool.close`: nothing is owed, so the next process speaks for nobody.
        if (this.#spool?.entries.size === 0 && this.#spool.lives.length === 1) this.#spool = null;
        this.#connection?.close();
        this.#connection = null;
        this.#world.timeline.at(this.#world.now + 500, () => this.begin());
        return;
      case "spool":
        this.#spool?.entries.set(effect.entry.id, effect.entry);
        return;
      case "unspool":
        for (const { id } of effect.entries) this.#spool?.entries.delete(id);
        return;
      case "refused":
      case "log":
        return;
    }
  }

  #command(command: ThreadCommand): void {
    switch (command.kind) {
      case "assign":
        if (this.#trainings.has(command.job.attempt)) {
          this.#world.oracle.fail("I5", `${this.incarnation} was given ${command.job.attempt} twice`);
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
        this.#held = command.held;
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
    if (this.#trainings.size > this.plan.lanes) {
      this.#world.oracle.fail("I12", `${this.incarnation} trains ${this.#trainings.size} on ${this.plan.lanes} lanes`);
    }
    this.#later(training, this.#random.between(1, 200));
  }

  #later(training: Training, millis: number): void {
    training.timer = this.#after(millis, () => this.#work(training));
  }

  /** One step of a thread: starts, trains an epoch, ends. */
  #work(training: Training): void {
    const { job } = training;
    if (this.#trainings.get(job.attempt) !== training) return;
    if (this.#held) return this.#later(training, 200);
    const held = { attempt: job.attempt, token: job.token };
    if (!training.started) {
      training.started = true;
      this.#say({ kind: "started", held, fingerprint: this.#fingerprint, fromEpoch: training.from });
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
      return this.kill(this.#random.below(2_000), "poison");
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
    const value = accuracyOf(job.seed, training.epoch, this.plan.device);
    const metrics = [{ name: "val_accuracy", value }];
    this.#say({ kind: "report", held, epoch: training.epoch, step: training.epoch * 10, metrics });
    if (this.#trainings.get(job.attempt) !== training) return;
    if (!training.saving && this.#random.chance(world.plan.checkpoints)) this.#save(training);
    if (training.epoch < sweep.epochs) return this.#later(training, this.#epochMillis());
    this.#finish(training, {
      kind: "ended",
      held,
      outcome: { kind: "completed", weightsHash: hashOf(job.seed, this.plan.device) },
    });
  }

  #save(training: Training): void {
    const { job, epoch } = training;
    training.saving = true;
    this.#say({ kind: "saved", held: { attempt: job.attempt, token: job.token }, lane: { epoch, data: NOTHING } });
  }

  #finish(training: Training, message: ThreadMessage): void {
    this.#trainings.delete(training.job.attempt);
    this.#say(message);
  }

  #say(message: ThreadMessage): void {
    this.#dispatch({ kind: "thread", device: DEVICE, message });
  }

  #epochMillis(): number {
    return Math.max(1, Math.round(this.plan.epochMillis * (0.5 + this.#random.unit())));
  }

  get #fingerprint(): string {
    return `f${this.plan.device}`;
  }

  #localNow(): number {
    return this.#world.now * this.plan.drift;
  }

  #end(): void {
    this.#world.oracle.died(this.incarnation);
    this.#agent = null;
    for (const training of this.#trainings.values()) cancel(training);
    this.#trainings.clear();
    if (this.#tick !== null) this.#tick.run = null;
    this.#tick = null;
  }

  /** At once, or when the process is continued; never for a life that is over. */
  #enter(action: () => void): void {
    const life = this.#life;
    this.#process.enter(() => {
      if (life === this.#life && this.#agent !== null) action();
    });
  }

  #after(millis: number, action: () => void): Timer {
    const life = this.#life;
    return this.#world.timeline.at(this.#world.now + Math.ceil(millis), () => {
      if (life === this.#life && this.#agent !== null) this.#enter(action);
    });
  }
}

function inherited(before: Spool | null, how: Mutant["inherits"]): Predecessor | null {
  if (before === null || how === "nothing") return null;
  const { lives, store, entries } = before;
  return {
    lives: how === "last" ? lives.slice(-1) : lives,
    store,
    entries: how === "name" ? [] : [...entries.values()],
  };
}

function cancel(training: Training): void {
  if (training.timer) training.timer.run = null;
}
