/** Rows of the feed for tests, and fast-check arbitraries of them. Not here: a sweep that looks real (scripted-sweep.ts). */
import fc from "fast-check";
import type { FeedChange, SweepRow, TrialRow, WorkerRow } from "../../proto/feed.js";

const STATES: readonly TrialRow["state"][] = [
  "queued",
  "leased",
  "running",
  "paused",
  "completed",
  "stopped",
  "failed",
  "lost",
  "cancelled",
];

export function trialRow(sweep: number, number: number, more: Partial<TrialRow> = {}): TrialRow {
  return {
    id: `${sweep}/${number}`,
    sweep,
    number,
    state: "completed",
    cause: "",
    origin: "sampled",
    parameters: { learning_rate: 1e-3, l2: 1e-4 },
    best: null,
    bestEpoch: null,
    last: null,
    epoch: 0,
    metrics: {},
    attempts: 1,
    worker: null,
    device: null,
    createdAt: 1_000,
    startedAt: null,
    endedAt: null,
    ...more,
  };
}

export function sweepRow(id: number, more: Partial<SweepRow> = {}): SweepRow {
  return {
    id,
    name: `sweep-${id}`,
    state: "running",
    cause: "",
    metric: "val_accuracy",
    goal: "maximize",
    target: null,
    method: "random",
    network: "lenet",
    dataset: "mnist",
    runCap: 16,
    epochs: 3,
    seed: 1,
    parameters: [
      { name: "learning_rate", scale: "log" },
      { name: "l2", scale: "log" },
      { name: "optimizer", scale: "category" },
    ],
    counts: { queued: 0, leased: 0, running: 0, paused: 0, completed: 0, stopped: 0, failed: 0, lost: 0, cancelled: 0 },
    best: null,
    progress: 0,
    etaMillis: null,
    createdAt: 1_000,
    endedAt: null,
    ...more,
  };
}

/** Few sweeps and numbers, so that changes meet; few values, so that ties happen. */
export const anyTrial: fc.Arbitrary<TrialRow> = fc
  .record({
    sweep: fc.integer({ min: 1, max: 2 }),
    number: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 700 })),
    state: fc.constantFrom(...STATES),
    best: fc.option(fc.oneof(fc.constantFrom(0.5, 0.9), fc.double({ min: -1, max: 1, noNaN: true }))),
    bestEpoch: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ sweep, number, state, best, bestEpoch }) =>
    trialRow(sweep, number, { state, best, bestEpoch: best === null ? null : bestEpoch }),
  );

const anySweep: fc.Arbitrary<SweepRow> = fc
  .record({ id: fc.integer({ min: 1, max: 2 }), progress: fc.double({ min: 0, max: 1, noNaN: true }) })
  // A sweep's goal never changes.
  .map(({ id, progress }) => sweepRow(id, { progress, goal: id === 1 ? "maximize" : "minimize" }));

const anyWorker: fc.Arbitrary<WorkerRow> = fc
  .record({ id: fc.constantFrom("a", "b"), state: fc.constantFrom("connected", "draining", "away", "gone") })
  .map(({ id, state }) => ({ id, host: id, state, version: "1", devices: [], connectedAt: 0, lastSeen: 0 }));

export const anyChange: fc.Arbitrary<FeedChange> = fc.oneof(
  { weight: 6, arbitrary: anyTrial.map((row) => ({ kind: "trial", row }) as const) },
  { weight: 1, arbitrary: anySweep.map((row) => ({ kind: "sweep", row }) as const) },
  { weight: 1, arbitrary: anyWorker.map((row) => ({ kind: "worker", row }) as const) },
);
