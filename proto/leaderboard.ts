/**
 * The order of a leaderboard, for whoever shows one. Imports types alone.
 *
 * Guarantees: it is total within a sweep and depends on the rows alone: trials with an objective first, best first (ties: the one
 * that got there in fewer epochs, then the lower number); then trials without one, by number; then failed, lost and cancelled
 * ones, by number.
 */
import type { SweepRow, TrialRow } from "./feed.js";

export type Goal = SweepRow["goal"];
export type Ranked = Pick<TrialRow, "number" | "state" | "best" | "bestEpoch">;

/** 0: ranked by its objective, 1: no objective yet, 2: ended without a result that counts. */
export function groupOf(row: Ranked): 0 | 1 | 2 {
  if (row.state === "failed" || row.state === "lost" || row.state === "cancelled") return 2;
  return row.best === null ? 1 : 0;
}

export function compareTrials(a: Ranked, b: Ranked, goal: Goal): number {
  const group = groupOf(a) - groupOf(b);
  if (group !== 0) return group;
  if (groupOf(a) === 0 && a.best !== null && b.best !== null && a.best !== b.best) {
    return goal === "maximize" ? b.best - a.best : a.best - b.best;
  }
  if (groupOf(a) === 0) {
    const epochs = (a.bestEpoch ?? 0) - (b.bestEpoch ?? 0);
    if (epochs !== 0) return epochs;
  }
  return a.number - b.number;
}
