/**
 * The trials of one sweep in leaderboard order, kept up to date row by row.
 *
 * Guarantees: the order depends on the rows alone, never on the order in which they came. Every index handed out stays as it is.
 *
 * Not here: what the order is (proto/leaderboard.ts), sorting by other columns and filtering (../table.ts).
 */
import type { TrialRow } from "../../../proto/feed.js";
import { compareTrials, type Goal, groupOf } from "../../../proto/leaderboard.js";
import { eachRow, noRows, type Rows, rowAt, withRows } from "./rows.js";

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

export function indexTrials(rows: Rows, goal: Goal): TrialIndex {
  const all: TrialRow[] = [];
  eachRow(rows, (row) => all.push(row));
  // The first two keys of compareTrials as numbers, side by side: sorting 100,000 rows asks for them millions of times.
  const groups = Uint8Array.from(all, groupOf);
  const sign = goal === "maximize" ? -1 : 1;
  const keys = Float64Array.from(all, (row, i) => (groups[i] === 0 ? sign * (row.best ?? 0) : 0));
  const places = Int32Array.from(all, (_, i) => i).sort((a, b) => {
    const group = (groups[a] ?? 0) - (groups[b] ?? 0);
    if (group !== 0) return group;
    const x = keys[a] ?? 0;
    const y = keys[b] ?? 0;
    if (x !== y) return x < y ? -1 : 1;
    const one = all[a];
    const other = all[b];
    return one === undefined || other === undefined ? 0 : compareTrials(one, other, goal);
  });
  const order = places.map((at) => all[at]?.number ?? 0);
  return finish(rows, goal, order, new Int32Array(rows.length).fill(-1), 0, order.length);
}

export function updateTrials(index: TrialIndex, changed: readonly TrialRow[]): TrialIndex {
  const newest = new Map(changed.map((row) => [row.number, row]));
  const rows = withRows(index.rows, newest.values());
  // Past this share a sort from scratch is cheaper than one insertion a row.
  if (newest.size * 4 > index.order.length) return indexTrials(rows, index.goal);

  const left: number[] = [];
  for (const number of newest.keys()) {
    const at = index.place[number] ?? -1;
    if (at >= 0) left.push(at);
  }
  const kept = without(index.order, left);
  const moved = [...newest.values()].sort((a, b) => compareTrials(a, b, index.goal));
  const order = new Int32Array(kept.length + moved.length);
  const entered: number[] = [];
  let from = 0;
  let to = 0;
  for (const row of moved) {
    const until = insertionPoint(rows, kept, from, row, index.goal);
    order.set(kept.subarray(from, until), to);
    to += until - from;
    order[to] = row.number;
    entered.push(to);
    to += 1;
    from = until;
  }
  order.set(kept.subarray(from), to);

  // Only trials between the first and the last place that changed stand elsewhere now.
  const place = new Int32Array(rows.length).fill(-1);
  place.set(index.place);
  const grown = order.length !== index.order.length;
  const end = grown ? order.length : Math.max(...left, ...entered) + 1;
  return finish(rows, index.goal, order, place, Math.min(...left, ...entered, order.length), end);
}

/** `order` without the given places; they are sorted here. */
function without(order: Int32Array, places: number[]): Int32Array {
  const kept = new Int32Array(order.length - places.length);
  let from = 0;
  let to = 0;
  for (const at of places.sort((a, b) => a - b)) {
    kept.set(order.subarray(from, at), to);
    to += at - from;
    from = at + 1;
  }
  kept.set(order.subarray(from), to);
  return kept;
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

/** Takes `place` over and rights it for the places from `start` to before `end`. */
function finish(rows: Rows, goal: Goal, order: Int32Array, place: Int32Array, start: number, end: number): TrialIndex {
  for (let i = start; i < end; i++) place[order[i] ?? 0] = i;
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
