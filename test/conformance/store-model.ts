/**
 * Sample records, random valid histories, and the model they are compared with: maps of what was put last.
 */
import fc from "fast-check";
import type { Mutation } from "../../coordinator/core/events.js";
import type {
  Attempt,
  Checkpoint,
  EventRecord,
  MetricValue,
  Report,
  Sweep,
  SweepSpec,
  Trial,
  Worker,
} from "../../coordinator/core/types.js";
import {
  type AttemptId,
  attemptId,
  incarnation,
  millis,
  type SweepId,
  sweepId,
  type TrialId,
  token,
  trialId,
  workerId,
} from "../../proto/contract.js";

type Put<K extends Mutation["kind"]> = Extract<Mutation, { readonly kind: K }>;

const SPEC: SweepSpec = {
  name: "a sweep",
  description: "",
  space: [
    { name: "learning_rate", distribution: { kind: "log_uniform", min: 1e-5, max: 0.1, q: null, integer: false } },
  ],
  sampler: { name: "random", options: {} },
  scheduler: { name: "none", options: {} },
  objective: { name: "val_accuracy", goal: "maximize", target: null },
  seed: 7,
  runCap: 16,
  maxParallel: null,
  maxWallMillis: null,
  maxAttempts: 3,
  recipe: { network: { name: "lenet" }, dataset: { name: "mnist" }, odd: -0 },
  recipeDigest: "0".repeat(64),
  epochs: 3,
  structural: [],
  source: "name: a sweep\n",
};

export function sampleSweep(id: number, more: Partial<Sweep> = {}): Put<"putSweep"> {
  const sweep: Sweep = {
    id: sweepId(id),
    spec: SPEC,
    state: "running",
    cause: "",
    createdAt: millis(1_000),
    endedAt: null,
    nextTrial: 0,
    samplerState: null,
    schedulerState: null,
    ...more,
  };
  return { kind: "putSweep", sweep };
}

export function sampleTrial(sweep: number, number: number, more: Partial<Trial> = {}): Put<"putTrial"> {
  const trial: Trial = {
    id: trialId(sweepId(sweep), number),
    sweep: sweepId(sweep),
    number,
    parameters: { learning_rate: 0.1 },
    seed: "00000000000000ff",
    cohortKey: "key",
    origin: { kind: "sampled" },
    state: "running",
    cause: "",
    attempts: 1,
    losses: 0,
    notBefore: millis(0),
    epoch: 0,
    best: null,
    last: null,
    metrics: {},
    lineage: [],
    createdAt: millis(1_000),
    startedAt: null,
    endedAt: null,
    weightsHash: null,
    fingerprint: null,
    worker: null,
    device: null,
    verified: null,
    killed: [],
    checkpoints: [],
    ...more,
  };
  return { kind: "putTrial", trial };
}

export function sampleAttempt(
  trial: TrialId,
  n: number,
  tokenValue: number,
  more: Partial<Attempt> = {},
): Put<"putAttempt"> {
  const attempt: Attempt = {
    id: attemptId(trial, n),
    trial,
    n,
    token: token(tokenValue),
    worker: workerId("w"),
    incarnation: incarnation("i"),
    device: "cpu",
    state: "running",
    leaseUntil: millis(9_000),
    fromEpoch: 0,
    lastEpoch: -1,
    offeredAt: millis(2_000),
    startedAt: null,
    endedAt: null,
    cause: "",
    fingerprint: null,
    stopping: null,
    ...more,
  };
  return { kind: "putAttempt", attempt };
}

export function sampleReport(
  attempt: AttemptId,
  epoch: number,
  metrics: Readonly<Record<string, MetricValue>>,
  more: Partial<Report> = {},
): Put<"addReport"> {
  const trial = attempt.slice(0, attempt.indexOf("#")) as TrialId;
  return { kind: "addReport", report: { trial, attempt, epoch, step: epoch * 100, metrics, at: millis(5), ...more } };
}

export function sampleWorker(id: string, more: Partial<Worker> = {}): Put<"putWorker"> {
  const worker: Worker = {
    id: workerId(id),
    incarnation: incarnation("i"),
    host: "here",
    pid: 1,
    version: "0.1.0",
    devices: [{ id: "cpu", name: "a processor", backend: "cpu", fingerprint: "f", memoryBytes: 2 ** 33, lanes: 2 }],
    state: "connected",
    connectedAt: millis(1),
    lastSeen: millis(2),
    ...more,
  };
  return { kind: "putWorker", worker };
}

export function sampleEvent(more: Partial<EventRecord> = {}): Put<"addEvent"> {
  const event: EventRecord = {
    at: millis(1),
    kind: "thing",
    sweep: null,
    trial: null,
    attempt: null,
    worker: null,
    detail: "",
    ...more,
  };
  return { kind: "addEvent", event };
}

const text = fc.oneof(
  fc.constantFrom("", "a\u0000b", "é😀", "'; DROP TABLE base_trials; --"),
  fc.string({ unit: "grapheme" }),
);
const number = fc.oneof(fc.constantFrom(0, -0, 5e-324, 1e308), fc.double({ noNaN: true, noDefaultInfinity: true }));
const metric: fc.Arbitrary<MetricValue> = fc.oneof(
  { weight: 4, arbitrary: number },
  { weight: 1, arbitrary: fc.constantFrom("nan" as const, "inf" as const, "-inf" as const) },
);
const name = fc.oneof(
  fc.constantFrom("loss", "val_accuracy", "constructor", "toString"),
  fc.string({ unit: "grapheme", minLength: 1 }).filter((s) => s !== "__proto__"),
);
const metrics = fc.dictionary(name, metric, { maxKeys: 4, noNullPrototype: true });
const time = fc.integer({ min: 0, max: 4e12 }).map(millis);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null });
const parameter = fc.oneof(number, text, fc.boolean());
const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)));
const small = fc.nat({ max: 2 });

const lineage = fc.array(fc.record({ n: fc.integer({ min: 1, max: 9 }), epoch: fc.integer({ min: 1, max: 1_000 }) }), {
  maxLength: 2,
});

const aCheckpoint: fc.Arbitrary<Checkpoint> = fc.record({
  digest: text,
  bytes: fc.nat(),
  fingerprint: text,
  attempt: fc.constant(attemptId(trialId(sweepId(1), 0), 1)),
  progress: fc.record({
    epoch: fc.integer({ min: 1, max: 1_000 }),
    best: maybe(fc.record({ value: number, epoch: fc.nat() })),
    last: maybe(metric),
    metrics,
    lineage,
  }),
  at: time,
});

const sweepOp = fc.record({
  id: fc.integer({ min: 1, max: 3 }),
  more: fc.record({
    state: fc.constantFrom<Sweep["state"]>("running", "paused", "completed", "cancelled", "failed"),
    cause: text,
    createdAt: time,
    endedAt: maybe(time),
    nextTrial: fc.nat(),
    samplerState: json,
    schedulerState: json,
    spec: fc.record({ name: text, description: text }).map((part) => ({ ...SPEC, ...part })),
  }),
});
const trialMore = fc.record({
  parameters: fc.dictionary(name, parameter, { maxKeys: 3, noNullPrototype: true }),
  seed: text,
  cohortKey: text,
  origin: fc.oneof<fc.Arbitrary<Trial["origin"]>[]>(
    fc.constantFrom({ kind: "sampled" } as const, { kind: "enqueued" } as const),
    fc.boolean().map((verify) => ({ kind: "rerun", of: trialId(sweepId(1), 0), verify })),
  ),
  state: fc.constantFrom<Trial["state"]>(
    "queued",
    "leased",
    "running",
    "paused",
    "completed",
    "stopped",
    "failed",
    "lost",
    "cancelled",
  ),
  cause: text,
  attempts: fc.nat(),
  losses: fc.nat(),
  notBefore: time,
  epoch: fc.integer({ min: -1, max: 1_000 }),
  best: maybe(fc.record({ value: number, epoch: fc.nat() })),
  last: maybe(metric),
  metrics,
  createdAt: time,
  startedAt: maybe(time),
  endedAt: maybe(time),
  weightsHash: maybe(text),
  fingerprint: maybe(text),
  worker: maybe(text.map(workerId)),
  device: maybe(text),
  verified: maybe(fc.record({ equal: fc.boolean(), detail: text })),
  killed: fc.array(text.map(incarnation), { maxLength: 3 }),
  lineage,
  checkpoints: fc.array(aCheckpoint, { maxLength: 2 }),
});
const attemptMore = fc.record({
  worker: text.map(workerId),
  incarnation: text.map(incarnation),
  device: text,
  state: fc.constantFrom<Attempt["state"]>(
    "offered",
    "running",
    "finished",
    "stopped",
    "paused",
    "failed",
    "lost",
    "revoked",
  ),
  leaseUntil: time,
  lastEpoch: fc.integer({ min: -1, max: 100 }),
  offeredAt: time,
  startedAt: maybe(time),
  endedAt: maybe(time),
  cause: text,
  fingerprint: maybe(text),
  fromEpoch: fc.nat(),
  stopping: fc.constantFrom<Attempt["stopping"][]>(null, "stopped", "cancelled", "paused"),
});

/** One step of a history; what it needs (its sweep, trial, attempt) is put before it if it is not there yet. */
const step = fc.oneof(
  sweepOp.map(({ id, more }): Mutation[] => [sampleSweep(id, more)]),
  fc.tuple(small, small, trialMore).map(([s, t, more]): Mutation[] => [sampleTrial(s + 1, t, more)]),
  fc
    .tuple(small, small, small, attemptMore)
    .map(([s, t, a, more]): Mutation[] => [
      sampleAttempt(trialId(sweepId(s + 1), t), a + 1, 1 + s * 9 + t * 3 + a, more),
    ]),
  fc
    .tuple(small, small, small, small, metrics, time, fc.nat())
    .map(([s, t, a, epoch, values, at, at2]): Mutation[] => [
      sampleReport(attemptId(trialId(sweepId(s + 1), t), a + 1), epoch, values, { at, step: at2 }),
    ]),
  fc
    .tuple(text, time, fc.constantFrom<Worker["state"]>("connected", "draining", "away", "gone"))
    .map(([id, lastSeen, state]): Mutation[] => [sampleWorker(id, { lastSeen, state })]),
  fc.tuple(time, text, maybe(small), maybe(text)).map(([at, detail, sweep, worker]): Mutation[] => [
    sampleEvent({
      at,
      detail,
      sweep: sweep === null ? null : sweepId(sweep + 1),
      trial: sweep === null ? null : trialId(sweepId(sweep + 1), 0),
      worker: worker === null ? null : workerId(worker),
    }),
  ]),
  fc.nat().map((last): Mutation[] => [{ kind: "setTokens", last: token(last) }]),
  fc.nat().map((last): Mutation[] => [{ kind: "setSweeps", last: sweepId(last) }]),
);

function completed(history: readonly (readonly Mutation[])[]): readonly (readonly Mutation[])[] {
  const seen = new Set<string>();
  return history.map((batch) =>
    batch.flatMap((mutation) => {
      const before: Mutation[] = [];
      const needSweep = (id: SweepId): void => {
        if (!seen.has(`${id}`)) before.push(sampleSweep(id));
        seen.add(`${id}`);
      };
      const needTrial = (id: TrialId): void => {
        const [sweep = "", number = ""] = id.split("/");
        needSweep(sweepId(Number(sweep)));
        if (!seen.has(id)) before.push(sampleTrial(Number(sweep), Number(number)));
        seen.add(id);
      };
      if (mutation.kind === "putSweep") seen.add(`${mutation.sweep.id}`);
      if (mutation.kind === "putTrial") {
        needSweep(mutation.trial.sweep);
        seen.add(mutation.trial.id);
      }
      if (mutation.kind === "putAttempt") {
        needTrial(mutation.attempt.trial);
        seen.add(mutation.attempt.id);
      }
      if (mutation.kind === "addReport") {
        const { attempt, trial } = mutation.report;
        needTrial(trial);
        if (!seen.has(attempt)) {
          const [s = 0, t = 0, a = 0] = attempt.split(/[/#]/).map(Number);
          before.push(sampleAttempt(trial, a, 1 + (s - 1) * 9 + t * 3 + (a - 1)));
        }
        seen.add(attempt);
      }
      return [...before, mutation];
    }),
  );
}

export const batches = fc
  .array(
    fc.array(step, { maxLength: 8 }).map((steps) => steps.flat()),
    { maxLength: 6 },
  )
  .map(completed);

/** What a store should hold, kept in the plainest way. */
export class Model {
  readonly #sweeps = new Map<number, Sweep>();
  readonly #trials = new Map<TrialId, Trial>();
  readonly #attempts = new Map<AttemptId, Attempt>();
  readonly #workers = new Map<string, Worker>();
  readonly #reports = new Map<
    string,
    { attempt: AttemptId; epoch: number; metric: string; value: MetricValue; step: number; at: number }
  >();
  readonly #events: EventRecord[] = [];
  #lastToken = 0;
  #lastSweep = 0;

  commit(batch: readonly Mutation[]): void {
    for (const m of batch) {
      if (m.kind === "putSweep") this.#sweeps.set(m.sweep.id, m.sweep);
      if (m.kind === "putTrial") this.#trials.set(m.trial.id, m.trial);
      if (m.kind === "putAttempt") this.#attempts.set(m.attempt.id, m.attempt);
      if (m.kind === "putWorker") this.#workers.set(m.worker.id, m.worker);
      if (m.kind === "addEvent") this.#events.push(m.event);
      if (m.kind === "setTokens") this.#lastToken = m.last;
      if (m.kind === "setSweeps") this.#lastSweep = m.last;
      if (m.kind === "addReport") {
        const { attempt, epoch, step: at2, at } = m.report;
        for (const [metricName, value] of Object.entries(m.report.metrics)) {
          const key = JSON.stringify([attempt, epoch, metricName]);
          if (!this.#reports.has(key))
            this.#reports.set(key, { attempt, epoch, metric: metricName, value, step: at2, at });
        }
      }
    }
  }

  trialIds(): TrialId[] {
    return [...this.#trials.keys()].sort();
  }

  attemptIds(): AttemptId[] {
    return [...this.#attempts.keys()].sort();
  }

  #reportsOf(attempt: Attempt): Report[] {
    const rows = [...this.#reports.values()].filter((row) => row.attempt === attempt.id);
    const epochs = [...new Set(rows.map((row) => row.epoch))].sort((a, b) => a - b);
    return epochs.map((epoch) => {
      const own = rows.filter((row) => row.epoch === epoch);
      return {
        trial: attempt.trial,
        attempt: attempt.id,
        epoch,
        step: Math.max(...own.map((row) => row.step)),
        metrics: Object.fromEntries(own.map((row) => [row.metric, row.value])),
        at: millis(Math.max(...own.map((row) => row.at))),
      };
    });
  }

  #attemptsOf(trial: TrialId): Attempt[] {
    return [...this.#attempts.values()].filter((attempt) => attempt.trial === trial).sort((a, b) => a.n - b.n);
  }

  everything(): unknown {
    const attempts = [...this.#attempts.values()].sort((a, b) => a.token - b.token);
    return {
      snapshot: {
        sweeps: [...this.#sweeps.values()].sort((a, b) => a.id - b.id),
        trials: [...this.#trials.values()].sort((a, b) => a.sweep - b.sweep || a.number - b.number),
        attempts: attempts.filter((attempt) => attempt.endedAt === null),
        workers: [...this.#workers.values()].sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id))),
        lastToken: this.#lastToken,
        lastSweep: this.#lastSweep,
      },
      reports: this.trialIds().map((id) => this.#attemptsOf(id).flatMap((attempt) => this.#reportsOf(attempt))),
      perAttempt: this.attemptIds().map((id) => {
        const attempt = this.#attempts.get(id);
        return attempt ? this.#reportsOf(attempt) : [];
      }),
      attempts: this.trialIds().map((id) => this.#attemptsOf(id)),
      events: this.#events,
    };
  }
}
