/** The page's model: a snapshot and its deltas, in any split, say what a later snapshot says. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { updateTrials } from "../../dashboard/src/feed/ranking.js";
import { emptyModel, type Model, reduce } from "../../dashboard/src/feed/reducer.js";
import { eachRow, noRows, rowAt, withRows } from "../../dashboard/src/feed/rows.js";
import type { FeedChange, FeedMessage, SweepRow, TrialRow, WorkerRow } from "../../proto/feed.js";
import { compareTrials, groupOf } from "../../proto/leaderboard.js";
import { anyChange, anyTrial, sweepRow, trialRow } from "./rows.js";

/** The coordinator's tables by the plainest means: the newest row wins. */
function tables(changes: readonly FeedChange[]) {
  const sweeps = new Map<number, SweepRow>();
  const trials = new Map<string, TrialRow>();
  const workers = new Map<string, WorkerRow>();
  for (const change of changes) {
    if (change.kind === "sweep") sweeps.set(change.row.id, change.row);
    if (change.kind === "trial") trials.set(change.row.id, change.row);
    if (change.kind === "worker") workers.set(change.row.id, change.row);
  }
  return { sweeps: [...sweeps.values()], trials: [...trials.values()], workers: [...workers.values()] };
}

function snapshotOf(changes: readonly FeedChange[], seq: number): FeedMessage {
  return { kind: "snapshot", feed: "f", seq, version: "1", rest: 0, ...tables(changes) };
}

function seen(model: Model) {
  return {
    feed: model.feed,
    seq: model.seq,
    sweeps: [...model.sweeps.values()].sort((a, b) => a.id - b.id),
    workers: [...model.workers.values()].sort((a, b) => a.id.localeCompare(b.id)),
    trials: [...model.trials]
      .sort(([a], [b]) => a - b)
      .map(([id, index]) => {
        const rows: TrialRow[] = [];
        eachRow(index.rows, (row) => rows.push(row));
        return {
          id,
          rows,
          order: [...index.order],
          place: [...index.place],
          ranked: index.ranked,
          count: index.rows.count,
        };
      }),
  };
}

describe("reduce", () => {
  it("snapshot and deltas, in any split, equal the final snapshot", () => {
    const goals: FeedChange[] = [
      { kind: "sweep", row: sweepRow(1) },
      { kind: "sweep", row: sweepRow(2, { goal: "minimize" }) },
    ];
    const history = fc.array(fc.array(anyChange, { maxLength: 12 }), { maxLength: 12 });
    fc.assert(
      fc.property(history, fc.nat(12), (deltas, at) => {
        const split = Math.min(at, deltas.length);
        let model = reduce(emptyModel, snapshotOf([...goals, ...deltas.slice(0, split).flat()], split)).model;
        deltas.slice(split).forEach((changes, i) => {
          const reduction = reduce(model, { kind: "delta", seq: split + i + 1, changes });
          expect(reduction.outcome).toBe("applied");
          model = reduction.model;
        });
        const whole = reduce(emptyModel, snapshotOf([...goals, ...deltas.flat()], deltas.length)).model;
        expect(seen(model)).toEqual(seen(whole));
      }),
      { numRuns: 300 },
    );
  });

  it("keeps the order that a plain sort of all rows gives, and never changes what it handed out", () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyTrial, { maxLength: 30 }), { maxLength: 6 }), (batches) => {
        let index = reduce(emptyModel, snapshotOf([{ kind: "sweep", row: sweepRow(1) }], 0)).model.trials.get(1);
        const byNumber = new Map<number, TrialRow>();
        for (const batch of batches) {
          if (index === undefined) throw new Error("the snapshot has sweep 1");
          const before = [...index.order];
          const next = updateTrials(index, batch);
          expect([...index.order]).toEqual(before);
          index = next;
          for (const row of batch) byNumber.set(row.number, row);
        }
        const sorted = [...byNumber.values()].sort((a, b) => compareTrials(a, b, "maximize"));
        expect([...(index?.order ?? [])]).toEqual(sorted.map((row) => row.number));
        expect(index?.ranked).toBe(sorted.filter((row) => groupOf(row) === 0).length);
      }),
    );
  });

  it("ranks: best first, ties by epoch then number, unranked next, failed last", () => {
    const rows = [
      trialRow(1, 0, { best: 0.9, bestEpoch: 3 }),
      trialRow(1, 1, { state: "failed", best: 0.99, bestEpoch: 1 }),
      trialRow(1, 2, { best: 0.9, bestEpoch: 2 }),
      trialRow(1, 3, { state: "queued" }),
      trialRow(1, 4, { state: "running", best: 0.95, bestEpoch: 1 }),
    ];
    const changes = rows.map((row) => ({ kind: "trial", row }) as const);
    const up = reduce(emptyModel, snapshotOf([...changes, { kind: "sweep", row: sweepRow(1) }], 0)).model;
    expect([...(up.trials.get(1)?.order ?? [])]).toEqual([4, 2, 0, 3, 1]);
    const down = reduce(
      emptyModel,
      snapshotOf([...changes, { kind: "sweep", row: sweepRow(1, { goal: "minimize" }) }], 0),
    );
    expect([...(down.model.trials.get(1)?.order ?? [])]).toEqual([2, 0, 4, 3, 1]);
  });

  it("orders anew when the sweep's row comes after its trials", () => {
    const rows = [trialRow(1, 0, { best: 2, bestEpoch: 1 }), trialRow(1, 1, { best: 1, bestEpoch: 1 })];
    const start = reduce(emptyModel, snapshotOf([], 0)).model;
    const first = reduce(start, { kind: "delta", seq: 1, changes: rows.map((row) => ({ kind: "trial", row })) }).model;
    expect([...(first.trials.get(1)?.order ?? [])]).toEqual([0, 1]);
    const change: FeedChange = { kind: "sweep", row: sweepRow(1, { goal: "minimize" }) };
    const second = reduce(first, { kind: "delta", seq: 2, changes: [change] }).model;
    expect([...(second.trials.get(1)?.order ?? [])]).toEqual([1, 0]);
  });

  it("reports a gap, ignores a repeat, and changes nothing in both", () => {
    const model = reduce(emptyModel, snapshotOf([{ kind: "sweep", row: sweepRow(1) }], 7)).model;
    const changes: readonly FeedChange[] = [{ kind: "trial", row: trialRow(1, 0) }];
    expect(reduce(model, { kind: "delta", seq: 9, changes })).toEqual({ model, outcome: "gap" });
    expect(reduce(model, { kind: "delta", seq: 7, changes })).toEqual({ model, outcome: "repeated" });
    expect(reduce(emptyModel, { kind: "delta", seq: 1, changes }).outcome).toBe("gap");
    expect(reduce(model, { kind: "delta", seq: 8, changes }).model.seq).toBe(8);
  });

  it("keeps rows it does not name as the same objects", () => {
    const rows = Array.from({ length: 600 }, (_, number) => trialRow(1, number));
    const held = withRows(noRows, rows);
    const next = withRows(held, [trialRow(1, 300, { epoch: 2 })]);
    expect(rowAt(next, 299)).toBe(rows[299]);
    expect(next.chunks[0]).toBe(held.chunks[0]);
    expect(rowAt(held, 300)?.epoch).toBe(0);
    expect(rowAt(next, 300)?.epoch).toBe(2);
    expect(next.count).toBe(600);
  });
});
