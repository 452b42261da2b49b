/**
 * What is known of a sweep without looking at its trials: counts, queues, sums for progress and pace, the best.
 *
 * Guarantees: every member is a sum or a set over the sweep's trials, kept up one trial at a time, so a row of a sweep
 * costs the same with ten trials and with a hundred thousand. Reruns take part only in `open`, `live` and `manual`:
 * they repeat a result and are not one of the trials asked for. Not here: anything durable; a restart rebuilds it.
 */
import { epochsOf, isBetter } from "./objective.js";
import { isFinal } from "./transitions.js";
import type { Sweep, Trial, TrialState } from "./types.js";

export interface SweepIndex {
  readonly counts: Record<TrialState, number>;
  /** Trials that count towards run_cap. */
  total: number;
  /** Trials not final, reruns included. */
  open: number;
  /** Trials leased or running, reruns included. */
  live: number;
  /** Numbers of queued trials enqueued by hand or rerun, ascending. */
  readonly manual: number[];
  /** Numbers of queued sampled trials, ascending. */
  readonly sampled: number[];
  /** Epochs trained, of all trials and of final ones. */
  trained: number;
  finalTrained: number;
  /** Epochs that all drawn trials were asked for, and the share of them that needs no more training. */
  asked: number;
  settled: number;
  /** Lane time of ended training, and the sum of starts (from the sweep's creation) of what trains now, milliseconds. */
  endedMillis: number;
  runningSince: number;
  /** The first of its leaderboard (proto/leaderboard.ts). */
  best: { readonly number: number; readonly value: number; readonly epoch: number } | null;
}

export function emptySweepIndex(): SweepIndex {
  return {
    counts: {
      queued: 0,
      leased: 0,
      running: 0,
      paused: 0,
      completed: 0,
      stopped: 0,
      failed: 0,
      lost: 0,
      cancelled: 0,
    },
    total: 0,
    open: 0,
    live: 0,
    manual: [],
    sampled: [],
    trained: 0,
    finalTrained: 0,
    asked: 0,
    settled: 0,
    endedMillis: 0,
    runningSince: 0,
    best: null,
  };
}

/** Adds (`sign` 1) or takes away (-1) what one trial contributes; `best` is kept by `improveBest`. */
export function countTrial(index: SweepIndex, sweep: Sweep, trial: Trial, sign: 1 | -1): void {
  const rerun = trial.origin.kind === "rerun";
  const final = isFinal(trial.state);
  if (!final) index.open += sign;
  if (trial.state === "leased" || trial.state === "running") index.live += sign;
  if (trial.state === "queued") {
    const queue = trial.origin.kind === "sampled" ? index.sampled : index.manual;
    if (sign === 1) insertSorted(queue, trial.number);
    else removeSorted(queue, trial.number);
  }
  if (rerun) return;
  index.counts[trial.state] += sign;
  index.total += sign;
  const asked = epochsOf(sweep.spec, trial.parameters);
  index.trained += sign * trial.epoch;
  index.asked += sign * asked;
  index.settled += sign * (final ? asked : Math.min(trial.epoch, asked));
  if (final) index.finalTrained += sign * trial.epoch;
  if (trial.startedAt === null) return;
  if (trial.endedAt !== null) index.endedMillis += sign * (trial.endedAt - trial.startedAt);
  else if (trial.state === "running") index.runningSince += sign * (trial.startedAt - sweep.createdAt);
}

/** What a trial is ranked by: nothing if it ended without a result that counts, or repeats another's. */
export function standing({ best, origin, state }: Trial): Trial["best"] {
  const counts = origin.kind !== "rerun" && state !== "failed" && state !== "lost" && state !== "cancelled";
  return counts ? best : null;
}

/** Lets a trial compete for the best of its sweep. Ties have no history: fewer epochs, then the lower number. */
export function improveBest(index: SweepIndex, sweep: Sweep, trial: Trial): void {
  const own = standing(trial);
  if (own === null) return;
  const { best } = index;
  const { number } = trial;
  const better =
    best === null ||
    isBetter(sweep.spec.objective.goal, own.value, best.value) ||
    (own.value === best.value && (own.epoch < best.epoch || (own.epoch === best.epoch && number < best.number)));
  if (better) index.best = { number, value: own.value, epoch: own.epoch };
}

/** Position of the first member that is not below `value`. */
function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insertSorted(sorted: number[], value: number): void {
  sorted.splice(lowerBound(sorted, value), 0, value);
}

function removeSorted(sorted: number[], value: number): void {
  const at = lowerBound(sorted, value);
  if (sorted[at] === value) sorted.splice(at, 1);
}
