/**
 * The trials of one sweep in leaderboard order, kept up to date row by row.
 *
 * Guarantees: the order is total and depends on the rows alone, never on the order in which they came: trials with an
 * objective first, best first (ties: the one that got there in fewer epochs, then the lower number); then trials without
 * one, by number; then failed, lost and cancelled ones, by number. Every index handed out stays as it is.
 *
 * Not here: sorting by other columns and filtering (../table.ts).
 */
import type { SweepRow, TrialRow } from "../../../proto/feed.js";
import { eachRow, noRows, type Rows, rowAt, withRows } from "./rows.js";

export type Goal = SweepRow["goal"];

export interface TrialIndex {
  readonly goal: Goal;
  readonly rows: Rows;
  /** Trial numbers in leaderboard order. */
  readonly order: Int32Array;
  /** How many at the start of `order` have a rank. */
  readonly ranked: number;
  /** Position in `order` by trial number, -1 where there is no such trial. */
  readonly place: Int32Array;
}

const NONE = new Int32Array(0);

export function emptyTrials(goal: Goal): TrialIndex {
  return { goal, rows: noRows, order: NONE, ranked: 0, place: NONE };
}

/** 0: ranked by its objective, 1: no objective yet, 2: ended without a result that counts. */
export function groupOf(row: TrialRow): 0 | 1 | 2 {
  if (row.state === "failed" || row.state === "lost" || row.state === "cancelled") return 2;
  return row.best === null ? 1 : 0;
}

export function compareTrials(a: TrialRow, b: TrialRow, goal: Goal): number {
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

export function indexTrials(rows: Rows, goal: Goal): TrialIndex {
  const all: TrialRow[] = [];
  eachRow(rows, (row) => all.push(row));
  all.sort((a, b) => compareTrials(a, b, goal));
  return finish(
    rows,
    goal,
    Int32Array.from(all, (row) => row.number),
  );
}

export function updateTrials(index: TrialIndex, changed: readonly TrialRow[]): TrialIndex {
  const newest = new Map(changed.map((row) => [row.number, row]));
  const rows = withRows(index.rows, newest.values());
  // Past this share a sort from scratch is cheaper than one insertion a row.
  if (newest.size * 4 > index.order.length) return indexTrials(rows, index.goal);

  const kept = index.order.filter((number) => !newest.has(number));
  const moved = [...newest.values()].sort((a, b) => compareTrials(a, b, index.goal));
  const order = new Int32Array(kept.length + moved.length);
  let from = 0;
  let to = 0;
  for (const row of moved) {
    const until = insertionPoint(rows, kept, from, row, index.goal);
    order.set(kept.subarray(from, until), to);
    to += until - from;
    order[to] = row.number;
    to += 1;
    from = until;
  }
  order.set(kept.subarray(from), to);
  return finish(rows, index.goal, order);
}

function insertionPoint(rows: Rows, kept: Int32Array, from: number, row: TrialRow, goal: Goal): number {
  let low = from;
  let high = kept.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = rowAt(rows, kept[middle] ?? -1);
    if (other !== undefined && compareTrials(other, row, goal) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function finish(rows: Rows, goal: Goal, order: Int32Array): TrialIndex {
  const place = new Int32Array(rows.length).fill(-1);
  for (let i = 0; i < order.length; i++) place[order[i] ?? 0] = i;
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rowAt(rows, order[middle] ?? -1);
    if (row !== undefined && groupOf(row) === 0) low = middle + 1;
    else high = middle;
  }
  return { goal, rows, order, ranked: low, place };
}
