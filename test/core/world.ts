/**
 * A small world around the core: workers that train, links that break, processes that die, time that passes. Every step is
 * a plain number or two, so that a property test can shrink it. An oracle of its own keeps book of who was told what.
 */
import { expect } from "vitest";
import type { Event, HeldAttempt, WorkerMessage } from "../../coordinator/core/events.js";
import type { SweepSpec } from "../../coordinator/core/types.js";
import { incarnation, sweepId, TIMES, trialId, workerId } from "../../proto/contract.js";
import { deviceOf, Rig, specOf } from "./rig.js";

/** Drawn by fast-check: what happens, and two numbers that choose to whom. */
export interface Step {
  readonly what: number;
  readonly who: number;
  readonly how: number;
}

interface Training {
  readonly held: HeldAttempt;
  readonly trial: string;
  epoch: number;
  started: boolean;
  /** Ended, its end not yet durable at the coordinator. */
  ended: boolean;
  stop: boolean;
}

interface Process {
  readonly name: string;
  life: number;
  linked: boolean;
  draining: boolean;
  trainings: Training[];
  /** Sent in order; kept until the coordinator has them. */
  outbox: Event[];
  /** On their way to the worker, on the link that is up. */
  inbox: WorkerMessage[];
}

const EPOCHS = 3;

export class World {
  readonly rig = new Rig();
  readonly log: {
    readonly event: Event;
    readonly now: number;
    readonly reports: number;
    readonly mutations: string;
  }[] = [];
  readonly #processes: Process[];
  /** Attempt -> who was told of it, with which token. */
  readonly #told = new Map<string, string>();
  /** Attempt -> when its holder was last heard. */
  readonly #heard = new Map<string, number>();
  #highestToken = 0;
  readonly seen = new Map<string, number>();

  constructor(specs: readonly Partial<SweepSpec>[], lanes: readonly number[]) {
    this.#processes = lanes.map((_, index) => ({
      name: `w${index}`,
      life: 1,
      linked: false,
      draining: false,
      trainings: [],
      outbox: [],
      inbox: [],
    }));
    this.lanes = lanes;
    for (const [index, spec] of specs.entries())
      this.#feed({ kind: "SweepSubmitted", call: index, spec: specOf(spec) });
  }

  readonly lanes: readonly number[];

  take({ what, who, how }: Step): void {
    const process = this.#processes[who % this.#processes.length];
    if (process === undefined) return;
    switch (what % 20) {
      case 0:
      case 1:
        return this.#connect(process);
      case 2:
      case 3:
      case 4:
        return this.#receive(process, 1 + (how % 4));
      case 5:
      case 6:
      case 7:
        return this.#work(process, how);
      case 8:
      case 9:
      case 10:
        return this.#deliver(process, how);
      case 11:
      case 12:
        return this.#beat(process);
      case 13:
        return this.#cut(process, how % 2 === 0);
      case 14:
        return how % 3 === 0 ? this.#kill(process) : this.#pass(how % 3000);
      case 15:
        return this.#pass(how % 12_000);
      case 16:
        return how % 3 === 0 ? this.#restart() : this.#pass(how % 500);
      case 17:
        return this.#person(how);
      case 18:
        return this.#stale(process, how);
      default:
        if (how % 4 === 0) this.#drain(process);
        return;
    }
  }

  /** Everything works again until nothing is left to do; answers the virtual milliseconds it took. */
  heal(): number {
    const start = this.rig.now;
    for (const id of this.rig.state.sweeps.keys()) this.#feed({ kind: "SweepResumed", call: this.#call(), sweep: id });
    for (const process of this.#processes) if (process.draining) this.#kill(process);
    for (let round = 0; this.rig.state.indexes.open.size > 0; round++) {
      expect(round, `sweeps still open: ${[...this.rig.state.indexes.open]}`).toBeLessThan(1500);
      for (const process of this.#processes) {
        if (!process.linked) this.#connect(process);
        this.#receive(process, 1000);
        for (let lane = 0; lane < 8; lane++) this.#work(process, lane);
        while (process.outbox.length > 0) this.#deliver(process, 1);
        this.#beat(process);
      }
      this.#pass(1000);
    }
    return this.rig.now - start;
  }

  #connect(process: Process): void {
    if (process.linked) this.#cut(process, true);
    process.linked = true;
    const running = process.trainings.map(({ held }) => held);
    const devices = [deviceOf(this.lanes[this.#processes.indexOf(process)] ?? 1)];
    this.#feed({
      kind: "WorkerHello",
      ...this.#sender(process),
      host: "h",
      pid: process.life,
      version: "1",
      devices,
      running,
    });
  }

  #receive(process: Process, count: number): void {
    for (const message of process.inbox.splice(0, count)) this.#handle(process, message);
  }

  #handle(process: Process, message: WorkerMessage): void {
    switch (message.kind) {
      case "Welcome":
        process.trainings = process.trainings.filter(
          ({ held }) => !message.drop.some((drop) => drop.token === held.token),
        );
        return;
      case "Assign": {
        const { attempt, token } = message;
        if (process.trainings.some(({ held }) => held.token === token)) return;
        const trial = attempt.split("#")[0] ?? "";
        process.trainings.push({
          held: { attempt, token },
          trial,
          epoch: 0,
          started: false,
          ended: false,
          stop: false,
        });
        return;
      }
      case "Stop":
        for (const training of process.trainings) if (training.held.token === message.token) training.stop = true;
        return;
      case "Revoke":
        this.#count("revoked");
        process.trainings = process.trainings.filter(({ held }) => held.token !== message.token);
        return;
      case "Drain":
        return;
    }
  }

  /** One training goes one step on: starts, reports, diverges, ends. The trial's number alone decides its values. */
  #work(process: Process, how: number): void {
    const training = process.trainings.filter(({ ended }) => !ended)[how % Math.max(1, process.trainings.length)];
    if (training === undefined) return;
    const claim = { ...this.#sender(process), ...training.held };
    if (!training.started) {
      training.started = true;
      process.outbox.push({ kind: "AttemptStarted", ...claim, fingerprint: "f", fromEpoch: 0 });
      return;
    }
    const number = Number(training.trial.split("/")[1]);
    const diverges = number % 5 === 3 && training.epoch === 1;
    if (training.stop || diverges || training.epoch === EPOCHS || process.draining) {
      training.ended = true;
      process.outbox.push({ kind: "AttemptEnded", ...claim, outcome: outcomeOf(training, diverges, process.draining) });
      return;
    }
    training.epoch++;
    const metrics = { val_accuracy: accuracyOf(number, training.epoch), images_per_second: how };
    process.outbox.push({ kind: "Reported", ...claim, epoch: training.epoch, step: training.epoch * 10, metrics });
  }

  #deliver(process: Process, how: number): void {
    const event = process.outbox[0];
    if (!process.linked || event === undefined) return;
    this.#feed(event);
    // Now and then a message arrives twice: its acknowledgement was lost.
    if (how % 8 === 0) {
      this.#count("delivered twice");
      this.#feed(event);
    }
    process.outbox.shift();
    if (event.kind === "AttemptEnded") {
      process.trainings = process.trainings.filter(({ held }) => held.token !== event.token);
    }
  }

  #beat(process: Process): void {
    // Heartbeats follow what was sent before them.
    if (!process.linked || process.outbox.length > 0) return;
    this.#feed({ kind: "Heartbeat", ...this.#sender(process), running: process.trainings.map(({ held }) => held) });
  }

  #cut(process: Process, noticed: boolean): void {
    if (!process.linked) return;
    process.linked = false;
    process.inbox = [];
    if (noticed) this.#feed({ kind: "WorkerLinkLost", ...this.#sender(process) });
  }

  #kill(process: Process): void {
    this.#cut(process, true);
    process.life++;
    process.trainings = [];
    process.outbox = [];
    process.draining = false;
  }

  #drain(process: Process): void {
    if (process.draining || !process.linked) return;
    process.draining = true;
    process.outbox.push({ kind: "WorkerDraining", ...this.#sender(process) });
  }

  #restart(): void {
    this.#count("restarted");
    for (const process of this.#processes) {
      process.linked = false;
      process.inbox = [];
    }
    this.rig.restart();
    // A restart counts as if every holder had been heard.
    for (const id of this.rig.state.attempts.keys()) this.#heard.set(id, this.rig.now);
    this.log.push({
      event: { kind: "Booted" },
      now: this.rig.now,
      reports: this.rig.reports.length,
      mutations: "restart",
    });
  }

  #pass(later: number): void {
    const end = this.rig.now + later;
    while (this.rig.wake !== null && this.rig.wake <= end) {
      this.rig.now = Math.max(this.rig.now, this.rig.wake);
      this.#feed({ kind: "Tick" });
    }
    this.rig.now = end;
  }

  #person(how: number): void {
    const sweep = sweepId(1 + (how % this.rig.state.sweeps.size));
    const trial = trialId(sweep, (how >> 3) % 6);
    const call = this.#call();
    const requests: readonly Event[] = [
      { kind: "SweepPaused", call, sweep },
      { kind: "SweepResumed", call, sweep },
      { kind: "SweepResumed", call, sweep },
      { kind: "SweepExtended", call, sweep, trials: 1 + (how % 3), wallMillis: 0 },
      { kind: "TrialStopped", call, trial },
      { kind: "TrialEnqueued", call, sweep, parameters: { l2: 0 } },
      { kind: "TrialRerun", call, trial, verify: how % 2 === 0 },
      how % 5 === 0 ? { kind: "SweepCancelled", call, sweep } : { kind: "Tick" },
    ];
    const request = requests[(how >> 5) % requests.length];
    if (request !== undefined) this.#feed(request);
  }

  /** A message that nobody entitled sends: an old token, another life, another worker. It must change nothing. */
  #stale(process: Process, how: number): void {
    const attempts = [...this.#told.keys()];
    const attempt = attempts[how % Math.max(1, attempts.length)] as HeldAttempt["attempt"] | undefined;
    if (attempt === undefined) return;
    const live = this.rig.attempt(attempt);
    const token = ((live?.token ?? 1) + (how % 2 === 0 ? -1 : 0)) as HeldAttempt["token"];
    const life = incarnation(`${process.name}-${process.life + (how % 2 === 0 ? 0 : 7)}`);
    const metrics = { val_accuracy: 0.999 };
    const before = JSON.stringify(this.rig.state.trials.get(trialId(sweepId(1), 0)));
    const effects = this.#feed({
      kind: "Reported",
      worker: workerId(process.name),
      incarnation: life,
      attempt,
      token,
      epoch: 2,
      step: 1,
      metrics,
    });
    expect(effects.some((effect) => effect.kind === "send" && effect.message.kind === "Revoke")).toBe(true);
    expect(JSON.stringify(this.rig.state.trials.get(trialId(sweepId(1), 0)))).toBe(before);
    this.#count("stale refused");
  }

  #feed(event: Event): ReturnType<Rig["feed"]> {
    const { rig } = this;
    const mutated = rig.mutations.length;
    const [at, reports] = [rig.now, rig.reports.length];
    const live = new Map([...rig.state.attempts]);
    const effects = rig.feed(event);
    const mutations = rig.mutations.slice(mutated);
    this.log.push({ event, now: at, reports, mutations: JSON.stringify(mutations) });
    if ("attempt" in event) {
      const held = live.get(event.attempt);
      const valid =
        held?.token === event.token && held.worker === event.worker && held.incarnation === event.incarnation;
      if (valid) this.#heard.set(event.attempt, at);
      expect(valid || mutations.length === 0, "a message without a lease changed something").toBe(true);
    }
    if (event.kind === "Heartbeat" || event.kind === "WorkerHello") {
      for (const held of event.running)
        if (live.get(held.attempt)?.token === held.token) this.#heard.set(held.attempt, at);
    }
    for (const mutation of mutations) {
      if (mutation.kind === "putAttempt" && mutation.attempt.cause.startsWith("lease expired")) {
        this.#count("lease expired");
        expect(at - (this.#heard.get(mutation.attempt.id) ?? 0)).toBeGreaterThanOrEqual(TIMES.lease);
      }
    }
    for (const effect of effects)
      if (effect.kind === "send") this.#route(effect.worker, effect.incarnation, effect.message);
    return effects;
  }

  /** To the life it is addressed to, if its link is up. Two holders of one token are found here. */
  #route(worker: string, life: string, message: WorkerMessage): void {
    if (message.kind === "Assign") {
      const { attempt, token } = message;
      const first = this.#told.get(attempt);
      if (first === undefined) {
        expect(token, "tokens grow").toBeGreaterThan(this.#highestToken);
        this.#highestToken = token;
        this.#heard.set(attempt, this.rig.now);
      }
      if (first !== undefined) this.#count("offered again");
      expect(first ?? `${token} ${life}`, "one holder a token").toBe(`${token} ${life}`);
      this.#told.set(attempt, `${token} ${life}`);
    }
    const process = this.#processes.find(({ name }) => name === worker);
    if (process?.linked === true && `${process.name}-${process.life}` === life) process.inbox.push(message);
  }

  #sender(process: Process): {
    readonly worker: ReturnType<typeof workerId>;
    readonly incarnation: ReturnType<typeof incarnation>;
  } {
    return { worker: workerId(process.name), incarnation: incarnation(`${process.name}-${process.life}`) };
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  #calls = 1000;
  #call(): number {
    return this.#calls++;
  }
}

function outcomeOf(
  training: Training,
  diverges: boolean,
  draining: boolean,
): Extract<Event, { readonly kind: "AttemptEnded" }>["outcome"] {
  if (training.stop) return { kind: "stopped", weightsHash: null };
  if (diverges) return { kind: "diverged", epoch: 2, step: 15, what: "loss" };
  if (training.epoch < EPOCHS && draining) return { kind: "released", reason: "draining" };
  return { kind: "completed", weightsHash: `hash of ${training.trial}` };
}

/** Any fixed function will do; some reports are not finite. */
function accuracyOf(number: number, epoch: number): number | "nan" {
  return number % 7 === 5 && epoch === 2 ? "nan" : ((number * 37 + epoch * 11) % 90) / 100;
}
