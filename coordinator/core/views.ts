/**
 * Rows for people: what the dashboard and the terminal show of sweeps, trials and workers (proto/feed.ts).
 *
 * Guarantees: a row costs the same however many trials a sweep has; every number in it can be found by a query. Counts,
 * best and progress are of the trials asked for: reruns have rows (origin `rerun`) but are not counted and do not compete.
 */
import type { Millis } from "../../proto/contract.js";
import { trialId } from "../../proto/contract.js";
import type { DeviceUseRow, FeedChange, SweepRow, TrialRow, WorkerRow } from "../../proto/feed.js";
import { member } from "./canonical.js";
import type { Mutation } from "./events.js";
import { scaleOf } from "./space/contains.js";
import type { State } from "./state.js";
import { busyLanes, indexOf } from "./state.js";
import type { SweepIndex } from "./sweep-index.js";
import { isEnded } from "./transitions.js";
import type { DeviceUse, Sweep, Trial, Worker } from "./types.js";

export function sweepRow(state: State, sweep: Sweep, now: Millis): SweepRow {
  const { spec } = sweep;
  const index = indexOf(state, sweep.id);
  return {
    id: sweep.id,
    name: spec.name,
    state: sweep.state,
    cause: sweep.cause,
    metric: spec.objective.name,
    goal: spec.objective.goal,
    target: spec.objective.target,
    method: spec.sampler.name,
    network: text(member(member(spec.recipe, "network"), "name"), "custom"),
    dataset: text(member(member(spec.recipe, "dataset"), "name"), ""),
    runCap: spec.runCap,
    epochs: spec.epochs,
    seed: spec.seed,
    parameters: spec.space.map(({ name, distribution }) => ({ name, scale: scaleOf(distribution) })),
    counts: { ...index.counts },
    best: index.best === null ? null : { trial: trialId(sweep.id, index.best.number), value: index.best.value },
    progress: progressOf(sweep, index),
    etaMillis: etaOf(sweep, index, now),
    createdAt: sweep.createdAt,
    endedAt: sweep.endedAt,
  };
}

/** Trials that ended early need no more epochs, so they count as whole. */
function progressOf(sweep: Sweep, index: SweepIndex): number {
  if (isEnded(sweep.state)) return 1;
  const undrawn = Math.max(0, sweep.spec.runCap - index.total);
  const asked = index.asked + undrawn * sweep.spec.epochs;
  return asked > 0 ? Math.min(1, index.settled / asked) : 0;
}

/**
 * Epochs to go, times the lane time an epoch took so far, over the lanes that train now. Lane time rather than clock time:
 * pauses, waiting and workers that come and go then change nothing. Trials still to be drawn are expected to train as
 * long as the finished ones did on average (a scheduler may stop most of them early), the running ones to their end.
 */
function etaOf(sweep: Sweep, index: SweepIndex, now: Millis): number | null {
  const running = index.counts.running;
  const lanes = running + index.counts.leased;
  if (sweep.state !== "running" || lanes === 0 || index.trained === 0) return null;
  const finals = index.counts.completed + index.counts.stopped + index.counts.failed;
  const usual = finals > 0 ? index.finalTrained / finals : sweep.spec.epochs;
  const undrawn = sweep.cause === "" ? Math.max(0, sweep.spec.runCap - index.total) : 0;
  const laneMillis = index.endedMillis + running * (now - sweep.createdAt) - index.runningSince;
  // Each running lane is half way through an epoch, on average.
  const trained = index.trained + running / 2;
  const left = index.asked - index.settled + undrawn * usual;
  return Math.max(0, Math.round(((left - running / 2) * laneMillis) / trained / lanes));
}

export function trialRow(_state: State, trial: Trial, _now: Millis): TrialRow {
  return {
    id: trial.id,
    sweep: trial.sweep,
    number: trial.number,
    state: trial.state,
    cause: trial.cause,
    origin: trial.origin.kind,
    parameters: trial.parameters,
    best: trial.best?.value ?? null,
    bestEpoch: trial.best?.epoch ?? null,
    last: trial.last,
    epoch: trial.epoch,
    metrics: trial.metrics,
    attempts: trial.attempts,
    worker: trial.worker,
    device: trial.device,
    createdAt: trial.createdAt,
    startedAt: trial.startedAt,
    endedAt: trial.endedAt,
  };
}

export function workerRow(state: State, worker: Worker, _now: Millis): WorkerRow {
  return {
    id: worker.id,
    host: worker.host,
    state: worker.state,
    version: worker.version,
    devices: worker.devices.map(({ id, name, backend, lanes, use }) => {
      return { id, name, backend, lanes, busy: busyLanes(state, worker, id), use: useRow(use) };
    }),
    connectedAt: worker.connectedAt,
    lastSeen: worker.lastSeen,
  };
}

function useRow(use: DeviceUse | undefined): DeviceUseRow | null {
  if (use === undefined) return null;
  const { utilization = null, memoryUsed = null, memoryTotal = null, temperature = null, power = null } = use;
  return { utilization, memoryUsed, memoryTotal, temperature, power };
}

/** Rows that the mutations touched, each once and as it is now; call it after they were applied. */
export function changesOf(state: State, mutations: readonly Mutation[], now: Millis): readonly FeedChange[] {
  const sweeps = new Set<Sweep["id"]>();
  const trials = new Set<Trial["id"]>();
  const workers = new Set<Worker["id"]>();
  const reports: FeedChange[] = [];
  for (const mutation of mutations) {
    if (mutation.kind === "putSweep") sweeps.add(mutation.sweep.id);
    if (mutation.kind === "putTrial") {
      trials.add(mutation.trial.id);
      sweeps.add(mutation.trial.sweep);
    }
    if (mutation.kind === "putWorker") workers.add(mutation.worker.id);
    // Renewals of a running attempt change no row; offers and ends change how many lanes are busy.
    if (mutation.kind === "putAttempt" && mutation.attempt.state !== "running") workers.add(mutation.attempt.worker);
    if (mutation.kind === "addReport") {
      const { trial, epoch, metrics } = mutation.report;
      reports.push({ kind: "report", row: { trial, epoch, metrics } });
    }
  }
  return [
    ...rows(sweeps, state.sweeps, (sweep) => ({ kind: "sweep", row: sweepRow(state, sweep, now) })),
    ...rows(trials, state.trials, (trial) => ({ kind: "trial", row: trialRow(state, trial, now) })),
    ...rows(workers, state.workers, (worker) => ({ kind: "worker", row: workerRow(state, worker, now) })),
    ...reports,
  ];
}

function rows<K, T>(
  keys: ReadonlySet<K>,
  from: ReadonlyMap<K, T>,
  row: (value: T) => FeedChange,
): readonly FeedChange[] {
  return [...keys].flatMap((key) => {
    const value = from.get(key);
    return value === undefined ? [] : [row(value)];
  });
}

function text(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}
