/**
 * A coordinator core on a bench: decides, checks that deciding changed nothing, applies, checks the invariants, and keeps
 * what came out. No store, no sockets, and a clock that the test moves.
 */
import { expect } from "vitest";
import { apply } from "../../coordinator/core/apply.js";
import { decide } from "../../coordinator/core/decide.js";
import type { Algorithms, History } from "../../coordinator/core/environment.js";
import { ALGORITHMS } from "../../coordinator/core/environment.js";
import type { Effect, Event, HeldAttempt, Mutation, Reply, WorkerMessage } from "../../coordinator/core/events.js";
import { checkInvariants } from "../../coordinator/core/invariants.js";
import type { State } from "../../coordinator/core/state.js";
import { emptyState, partsOf, stateFrom } from "../../coordinator/core/state.js";
import type {
  Attempt,
  DeviceUse,
  EventRecord,
  MetricValue,
  Report,
  Sweep,
  SweepSpec,
  Trial,
  Worker,
  WorkerDevice,
} from "../../coordinator/core/types.js";
import type { AttemptId, Incarnation, WorkerId } from "../../proto/contract.js";
import { incarnation, millis, sweepId, trialId, workerId } from "../../proto/contract.js";

export type Sent = Extract<Effect, { readonly kind: "send" }>;
type Hello = Extract<Event, { readonly kind: "WorkerHello" }>;
export type Assign = Extract<WorkerMessage, { readonly kind: "Assign" }>;

export const START = 1_700_000_000_000;

export function specOf(changes: Partial<SweepSpec> = {}): SweepSpec {
  return {
    name: "bench",
    description: "",
    space: [
      { name: "learning_rate", distribution: { kind: "log_uniform", min: 1e-5, max: 1e-1, q: null, integer: false } },
      { name: "l2", distribution: { kind: "zero_or_log", p: 0.25, min: 1e-7, max: 1e-1 } },
    ],
    sampler: { name: "random", options: null },
    scheduler: { name: "none", options: null },
    objective: { name: "val_accuracy", goal: "maximize", target: null },
    seed: 7,
    runCap: 4,
    maxParallel: null,
    maxWallMillis: null,
    maxAttempts: 3,
    recipe: {
      version: 1,
      network: { name: "tinycnn" },
      dataset: { name: "synthetic-digits" },
      batch_size: 32,
      epochs: 3,
    },
    recipeDigest: "d1",
    epochs: 3,
    structural: [],
    source: "",
    ...changes,
  };
}

export function deviceOf(lanes: number, changes: Partial<WorkerDevice> = {}): WorkerDevice {
  const memoryBytes = 1 << 30;
  return { id: "cpu", name: "bench", backend: "cpu", fingerprint: "cpu-f32-1", memoryBytes, lanes, ...changes };
}

export class Rig {
  state: State = emptyState();
  now = START;
  readonly reports: Report[] = [];
  readonly events: EventRecord[] = [];
  readonly sent: Sent[] = [];
  readonly mutations: Mutation[] = [];
  readonly keeps = new Map<Trial["id"], readonly string[]>();
  wake: number | null = null;
  #call = 0;
  readonly #replies = new Map<number, Reply>();
  readonly history: History = {
    attemptReports: (attempt) => this.reports.filter((report) => report.attempt === attempt),
  };

  readonly algorithms: Algorithms;

  constructor(algorithms: Algorithms = ALGORITHMS) {
    this.algorithms = algorithms;
  }

  /** Decides and applies; answers the effects. */
  feed(event: Event): readonly Effect[] {
    const before = JSON.stringify(partsOf(this.state));
    const { mutations, effects } = decide(this.state, event, millis(this.now), this.history, this.algorithms);
    expect(JSON.stringify(partsOf(this.state)), "decide changed the state").toBe(before);
    for (const mutation of mutations) {
      apply(this.state, mutation);
      this.mutations.push(mutation);
      if (mutation.kind === "addReport") this.reports.push(mutation.report);
      if (mutation.kind === "addEvent") this.events.push(mutation.event);
    }
    expect(checkInvariants(this.state), JSON.stringify(event)).toEqual([]);
    if (event.kind === "Tick") this.wake = null;
    for (const effect of effects) {
      if (effect.kind === "send") this.sent.push(effect);
      if (effect.kind === "keepCheckpoints") this.keeps.set(effect.trial, effect.digests);
      if (effect.kind === "wakeAt" && event.kind === "Tick") {
        expect(effect.at, "a Tick asks for a later one").toBeGreaterThan(this.now);
      }
      if (effect.kind === "wakeAt") this.wake = Math.min(this.wake ?? Number.POSITIVE_INFINITY, effect.at);
      if (effect.kind === "reply") {
        expect(this.#replies.has(effect.call), "one reply a call").toBe(false);
        this.#replies.set(effect.call, effect.reply);
      }
    }
    return effects;
  }

  /** A request of a person; answers its reply. */
  ask(make: (call: number) => Event): Reply {
    const call = ++this.#call;
    this.feed(make(call));
    const reply = this.#replies.get(call);
    if (reply === undefined) throw new Error("no reply");
    return reply;
  }

  submit(changes: Partial<SweepSpec> = {}): Sweep {
    const reply = this.ask((call) => ({ kind: "SweepSubmitted", call, spec: specOf(changes) }));
    expect(reply.ok).toBe(true);
    return this.sweep(this.state.lastSweep);
  }

  tick(later = 0): void {
    this.now += later;
    this.feed({ kind: "Tick" });
  }

  /** Serves every wake that was asked for, up to `later` from now, as the runtime does. */
  pass(later: number): void {
    const end = this.now + later;
    while (this.wake !== null && this.wake <= end) {
      this.now = Math.max(this.now, this.wake);
      this.feed({ kind: "Tick" });
    }
    this.now = end;
  }

  /** The coordinator dies and comes back from what is on record. */
  restart(booted: Omit<Extract<Event, { readonly kind: "Booted" }>, "kind"> = {}): void {
    this.state = stateFrom(JSON.parse(JSON.stringify(partsOf(this.state))));
    this.wake = null;
    this.feed({ kind: "Booted", ...booted });
  }

  sweep(id: number): Sweep {
    return found(this.state.sweeps.get(sweepId(id)));
  }

  trial(sweep: number, number: number): Trial {
    return found(this.state.trials.get(trialId(sweepId(sweep), number)));
  }

  trialStates(sweep: number): readonly string[] {
    return Array.from({ length: this.sweep(sweep).nextTrial }, (_, number) => this.trial(sweep, number).state);
  }

  attempt(id: AttemptId): Attempt | undefined {
    return this.state.attempts.get(id);
  }

  worker(name: string): Worker {
    return found(this.state.workers.get(workerId(name)));
  }

  eventsOf(kind: string): readonly EventRecord[] {
    return this.events.filter((event) => event.kind === kind);
  }

  assigns(): readonly Assign[] {
    return this.sent.flatMap(({ message }) => (message.kind === "Assign" ? [message] : []));
  }

  /** Digests of a trial's files that are of use, as last said; `null` before. */
  kept(trial: Trial["id"]): readonly string[] | null {
    return this.keeps.get(trial) ?? null;
  }

  /** Takes what was sent since the last call. */
  take(): readonly Sent[] {
    return this.sent.splice(0);
  }
}

/** The worker's side of the contract, as far as the core can see it. */
export class FakeWorker {
  readonly rig: Rig;
  readonly id: WorkerId;
  readonly life: Incarnation;
  devices: readonly WorkerDevice[];

  constructor(rig: Rig, name: string, devices: readonly WorkerDevice[] = [deviceOf(2)], life = `${name}-1`) {
    this.rig = rig;
    this.devices = devices;
    this.id = workerId(name);
    this.life = incarnation(life);
  }

  hello(running: readonly HeldAttempt[] = [], more: Pick<Hello, "previous" | "commitsAhead"> = {}): void {
    const { id: worker, life, devices } = this;
    this.rig.feed({
      kind: "WorkerHello",
      worker,
      incarnation: life,
      host: "h",
      pid: 1,
      version: "0.1.0",
      devices,
      running,
      ...more,
    });
  }

  heartbeat(running: readonly HeldAttempt[], use?: Readonly<Record<string, DeviceUse>>): void {
    const said = use === undefined ? {} : { use };
    this.rig.feed({ kind: "Heartbeat", worker: this.id, incarnation: this.life, running, ...said });
  }

  linkLost(): void {
    this.rig.feed({ kind: "WorkerLinkLost", worker: this.id, incarnation: this.life });
  }

  draining(): void {
    this.rig.feed({ kind: "WorkerDraining", worker: this.id, incarnation: this.life });
  }

  start(held: HeldAttempt, fingerprint = "cpu-f32-1", fromEpoch = 0): void {
    this.rig.feed({ kind: "AttemptStarted", ...this.#claim(held), fingerprint, fromEpoch });
  }

  save(held: HeldAttempt, epoch: number, digest: string): void {
    this.rig.feed({ kind: "CheckpointSaved", ...this.#claim(held), epoch, digest, bytes: 100 });
  }

  #claim({
    attempt,
    token,
  }: HeldAttempt): HeldAttempt & { readonly worker: WorkerId; readonly incarnation: Incarnation } {
    return { worker: this.id, incarnation: this.life, attempt, token };
  }

  report(held: HeldAttempt, epoch: number, metrics: Readonly<Record<string, MetricValue>> | number): void {
    const values = typeof metrics === "number" ? { val_accuracy: metrics } : metrics;
    const { attempt, token } = held;
    const step = epoch * 10;
    this.rig.feed({
      kind: "Reported",
      worker: this.id,
      incarnation: this.life,
      attempt,
      token,
      epoch,
      step,
      metrics: values,
    });
  }

  end(held: HeldAttempt, outcome: Extract<Event, { readonly kind: "AttemptEnded" }>["outcome"]): void {
    const { attempt, token } = held;
    this.rig.feed({ kind: "AttemptEnded", worker: this.id, incarnation: this.life, attempt, token, outcome });
  }

  complete(held: HeldAttempt, weightsHash = "w"): void {
    this.end(held, { kind: "completed", weightsHash });
  }

  /** Trains the attempt to its end. */
  train(held: HeldAttempt, values: readonly number[] = [0.1, 0.2, 0.3], weightsHash = "w"): void {
    this.start(held);
    for (const [index, value] of values.entries()) this.report(held, index + 1, value);
    this.complete(held, weightsHash);
  }
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("not there");
  return value;
}
