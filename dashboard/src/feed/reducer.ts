/**
 * What the page knows, and how a message of the feed changes it. Pure: (model, message) -> model.
 *
 * Guarantees: a snapshot and the deltas after it give the same model as a later snapshot. A delta that was seen before
 * changes nothing; one that leaves a gap changes nothing and says so, and the caller asks again from `seq`. Rows that a
 * delta does not name keep their identity.
 *
 * Not here: sockets (client.ts), curves (curves.ts): reports pass by this model.
 */

import type { FeedChange, FeedMessage, SweepRow, TrialRow, WorkerRow } from "../../../proto/feed.js";
import type { Goal } from "../../../proto/leaderboard.js";
import { emptyTrials, indexTrials, type TrialIndex, updateTrials } from "./ranking.js";

export interface Model {
  /** One life of the coordinator; `null` before the first snapshot. */
  readonly feed: string | null;
  readonly seq: number;
  readonly version: string;
  /** Trials of the snapshot that have not come yet; no delta comes before them. */
  readonly rest: number;
  /** Rows that came after the snapshot's first part; taken in together, as sorting them once is cheapest. */
  readonly arrived: readonly (readonly TrialRow[])[];
  readonly sweeps: ReadonlyMap<number, SweepRow>;
  readonly trials: ReadonlyMap<number, TrialIndex>;
  readonly workers: ReadonlyMap<string, WorkerRow>;
}

export interface Reduction {
  readonly model: Model;
  readonly outcome: "applied" | "repeated" | "gap";
}

export const emptyModel: Model = {
  feed: null,
  seq: 0,
  version: "",
  rest: 0,
  arrived: [],
  sweeps: new Map(),
  trials: new Map(),
  workers: new Map(),
};

export function reduce(model: Model, message: FeedMessage): Reduction {
  if (message.kind === "snapshot") {
    return {
      model: {
        feed: message.feed,
        seq: message.seq,
        version: message.version,
        rest: message.rest,
        arrived: [],
        ...withRowLists({ sweeps: new Map(), trials: new Map(), workers: new Map() }, message),
      },
      outcome: "applied",
    };
  }
  if (message.kind === "rows") return withRest(model, message.seq, message.trials);
  if (model.feed === null || model.rest > 0 || message.seq > model.seq + 1) return { model, outcome: "gap" };
  if (message.seq <= model.seq) return { model, outcome: "repeated" };
  return { model: { ...model, seq: message.seq, ...withChanges(model, message.changes) }, outcome: "applied" };
}

function withRest(model: Model, seq: number, trials: readonly TrialRow[]): Reduction {
  if (model.feed === null || seq !== model.seq || trials.length > model.rest) return { model, outcome: "gap" };
  const rest = model.rest - trials.length;
  const arrived = [...model.arrived, trials];
  if (rest > 0) return { model: { ...model, rest, arrived }, outcome: "applied" };
  const tables = withRowLists(model, { sweeps: [], trials: arrived.flat(), workers: [] });
  return { model: { ...model, rest, arrived: [], ...tables }, outcome: "applied" };
}

type Tables = Pick<Model, "sweeps" | "trials" | "workers">;

interface RowLists {
  readonly sweeps: readonly SweepRow[];
  readonly trials: readonly TrialRow[];
  readonly workers: readonly WorkerRow[];
}

function withChanges(before: Tables, changes: readonly FeedChange[]): Tables {
  return withRowLists(before, {
    sweeps: changes.flatMap((change) => (change.kind === "sweep" ? [change.row] : [])),
    trials: changes.flatMap((change) => (change.kind === "trial" ? [change.row] : [])),
    workers: changes.flatMap((change) => (change.kind === "worker" ? [change.row] : [])),
  });
}

/** Of several rows of one thing the last one counts. */
function withRowLists(before: Tables, lists: RowLists): Tables {
  const sweeps = new Map(lists.sweeps.map((row) => [row.id, row]));
  const trials = new Map<number, TrialRow[]>();
  for (const row of lists.trials) {
    const list = trials.get(row.sweep);
    if (list === undefined) trials.set(row.sweep, [row]);
    else list.push(row);
  }
  const allSweeps = merged(before.sweeps, sweeps);
  return {
    sweeps: allSweeps,
    trials: withTrials(before.trials, allSweeps, trials, sweeps),
    workers: merged(before.workers, new Map(lists.workers.map((row) => [row.id, row]))),
  };
}

function withTrials(
  before: ReadonlyMap<number, TrialIndex>,
  sweeps: ReadonlyMap<number, SweepRow>,
  changed: ReadonlyMap<number, readonly TrialRow[]>,
  changedSweeps: ReadonlyMap<number, SweepRow>,
): ReadonlyMap<number, TrialIndex> {
  if (changed.size === 0 && changedSweeps.size === 0) return before;
  const after = new Map(before);
  for (const id of new Set([...changed.keys(), ...changedSweeps.keys()])) {
    const goal: Goal = sweeps.get(id)?.goal ?? "maximize";
    let index = after.get(id) ?? emptyTrials(goal);
    // A row of a sweep may come before its sweep: the order is made anew once the goal is known.
    if (index.goal !== goal) index = indexTrials(index.rows, goal);
    const rows = changed.get(id);
    if (rows !== undefined) index = updateTrials(index, rows);
    after.set(id, index);
  }
  return after;
}

function merged<K, V>(before: ReadonlyMap<K, V>, changed: ReadonlyMap<K, V>): ReadonlyMap<K, V> {
  return changed.size === 0 ? before : new Map([...before, ...changed]);
}
