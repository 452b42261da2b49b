/**
 * The leaderboard as data: its columns, and which trials it shows in which order. Pure.
 *
 * Guarantees: unfiltered and sorted by rank it is the index's own order, at no cost; sorted otherwise, trials without a
 * value come last in both directions and equal values keep the leaderboard's order.
 */

import type { SweepRow, TrialRow } from "../../proto/feed.js";
import { groupOf } from "../../proto/leaderboard.js";
import { finite } from "./feed/curves.js";
import type { TrialIndex } from "./feed/ranking.js";
import { rowAt } from "./feed/rows.js";
import type { TrialTest } from "./filter.js";

export interface Column {
  readonly key: string;
  readonly label: string;
  readonly title: string;
  /** In pixels; the last one takes what is left. */
  readonly width: number;
  readonly numeric: boolean;
  /** Which way the first click sorts. */
  readonly firstDescending: boolean;
  value(row: TrialRow): number | string | null;
}

export interface Sort {
  readonly key: string;
  readonly descending: boolean;
}

/** Width of a digit, a little more than most fonts need. */
const DIGIT = 7.6;

export const BY_RANK: Sort = { key: "rank", descending: false };

export function columnsOf(sweep: SweepRow): readonly Column[] {
  const numeric = (key: string, label: string, title: string, width: number, value: Column["value"]): Column => ({
    key,
    label,
    title,
    width,
    numeric: true,
    firstDescending: false,
    value,
  });
  const best = sweep.goal === "maximize" ? "highest" : "lowest";
  return [
    numeric("rank", "#", "Rank by the objective", rankWidth(sweep), (row) => row.number),
    numeric("trial", "trial", "Trial", 20 + DIGIT * `${sweep.id}/${sweep.runCap}`.length, (row) => row.number),
    { ...numeric("state", "state", "State", 92, (row) => row.state), numeric: false },
    {
      ...numeric("best", sweep.metric, `${best} ${sweep.metric}, and the epoch it was reached in`, 134, (row) =>
        groupOf(row) === 0 ? row.best : null,
      ),
      firstDescending: sweep.goal === "maximize",
    },
    numeric("last", "last", `${sweep.metric} of the newest epoch`, 64, (row) => finite(row.last)),
    ...sweep.parameters.map((parameter) => ({
      ...numeric(
        `parameter:${parameter.name}`,
        parameter.name,
        `Parameter ${parameter.name}`,
        widthOf(parameter),
        (row) => {
          const value = row.parameters[parameter.name];
          return value === undefined ? null : typeof value === "boolean" ? String(value) : value;
        },
      ),
      numeric: parameter.scale !== "category",
    })),
    numeric("epochs", "epochs", "Epochs done", 70, (row) => row.epoch),
    numeric("time", "time", "Wall time of the training", 76, (row) =>
      row.startedAt === null ? null : (row.endedAt ?? Number.MAX_SAFE_INTEGER) - row.startedAt,
    ),
    { ...numeric("device", "device", "Device and worker", 104, (row) => where(row)), numeric: false },
  ];
}

export function where(row: TrialRow): string | null {
  return row.worker === null ? null : row.device === null ? row.worker : `${row.device} · ${row.worker}`;
}

function rankWidth(sweep: SweepRow): number {
  return 22 + DIGIT * Math.max(2, String(sweep.runCap).length);
}

function widthOf(parameter: SweepRow["parameters"][number]): number {
  return Math.max(76, Math.min(150, 20 + parameter.name.length * 6));
}

/** Trial numbers in the order they are shown. */
export function shownTrials(
  index: TrialIndex,
  columns: readonly Column[],
  sort: Sort,
  test: TrialTest | null,
): Int32Array {
  const kept =
    test === null
      ? index.order
      : index.order.filter((number) => {
          const row = rowAt(index.rows, number);
          return row !== undefined && test(row);
        });
  const column = columns.find((other) => other.key === sort.key);
  if (column === undefined || sort.key === "rank") return sort.descending ? upsideDown(kept, index) : kept;

  const keys: (number | string | null)[] = Array.from(kept, (number) => {
    const row = rowAt(index.rows, number);
    return row === undefined ? null : column.value(row);
  });
  const sign = sort.descending ? -1 : 1;
  const places = Int32Array.from(keys, (_, i) => i);
  places.sort((a, b) => {
    const x = keys[a] ?? null;
    const y = keys[b] ?? null;
    if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
    if (x === y) return a - b;
    return (x < y ? -1 : 1) * sign;
  });
  return places.map((place) => kept[place] ?? 0);
}

/** Worst first, but those without a rank stay at the end. */
function upsideDown(kept: Int32Array, index: TrialIndex): Int32Array {
  const ranked = kept.findIndex((number) => (index.place[number] ?? 0) >= index.ranked);
  const count = ranked < 0 ? kept.length : ranked;
  const after = kept.slice();
  after.subarray(0, count).reverse();
  return after;
}

/** Metric names seen in the trials, the objective first; looks at the first rows of the order, which have most. */
export function metricNames(index: TrialIndex, objective: string): readonly string[] {
  const names = new Set([objective]);
  for (const number of index.order.subarray(0, 64)) {
    for (const name of Object.keys(rowAt(index.rows, number)?.metrics ?? {})) names.add(name);
  }
  const [first = objective, ...others] = names;
  return [first, ...others.sort()];
}
