/** What the leaderboard, the curves and the details make of rows. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { valueRange } from "../../dashboard/src/charts/value-range.js";
import { incomplete, mergeReports, metricPoints, wantedTrials } from "../../dashboard/src/feed/curves.js";
import { readDetails } from "../../dashboard/src/feed/details.js";
import { emptyTrials, updateTrials } from "../../dashboard/src/feed/ranking.js";
import { rowAt } from "../../dashboard/src/feed/rows.js";
import { BY_RANK, columnsOf, metricNames, shownTrials } from "../../dashboard/src/table.js";
import type { ReportRow } from "../../proto/feed.js";
import { anyTrial, sweepRow, trialRow } from "./rows.js";

const COLUMNS = columnsOf(sweepRow(1));

describe("shownTrials", () => {
  it("is the index's own order when nothing is asked for", () => {
    const index = updateTrials(emptyTrials("maximize"), [trialRow(1, 1, { best: 1, bestEpoch: 1 }), trialRow(1, 0)]);
    expect(shownTrials(index, COLUMNS, BY_RANK, null)).toBe(index.order);
  });

  it("sorts by any column: values in order, equal ones by rank, missing ones last, nothing lost", () => {
    const some = fc.array(anyTrial, { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(some, fc.constantFrom(...COLUMNS), fc.boolean(), (rows, column, descending) => {
        const index = updateTrials(emptyTrials("maximize"), rows);
        const shown = shownTrials(index, COLUMNS, { key: column.key, descending }, null);
        expect([...shown].sort((a, b) => a - b)).toEqual([...index.order].sort((a, b) => a - b));
        if (column.key === "rank") return;
        const list = Array.from(shown, (number) => {
          const row = rowAt(index.rows, number);
          return { value: row === undefined ? null : column.value(row), place: index.place[number] ?? -1 };
        });
        for (let i = 1; i < list.length; i++) {
          const [a, b] = [list[i - 1], list[i]];
          if (a === undefined || b === undefined) continue;
          if (a.value === null) expect(b.value).toBeNull();
          if (a.value === b.value) expect(a.place).toBeLessThan(b.place);
          else if (b.value !== null && a.value !== null) expect(a.value < b.value).toBe(!descending);
        }
      }),
    );
  });

  it("upside down, trials without a rank stay at the end", () => {
    const index = updateTrials(emptyTrials("maximize"), [
      trialRow(1, 0, { best: 0.5, bestEpoch: 1 }),
      trialRow(1, 1, { best: 0.9, bestEpoch: 1 }),
      trialRow(1, 2, { state: "failed" }),
    ]);
    expect([...shownTrials(index, COLUMNS, { key: "rank", descending: true }, null)]).toEqual([0, 1, 2]);
    expect([...shownTrials(index, COLUMNS, BY_RANK, (row) => row.number !== 1)]).toEqual([0, 2]);
  });

  it("names metrics, the objective first", () => {
    const index = updateTrials(emptyTrials("maximize"), [trialRow(1, 0, { metrics: { b: 1, a: 2, val_accuracy: 3 } })]);
    expect(metricNames(index, "val_accuracy")).toEqual(["val_accuracy", "a", "b"]);
  });
});

describe("curves", () => {
  const anyReport: fc.Arbitrary<ReportRow> = fc
    .record({ number: fc.nat(3), epoch: fc.integer({ min: 1, max: 6 }) })
    // The same numbers for an epoch whenever it is trained.
    .map(({ number, epoch }) => ({ trial: `1/${number}`, epoch, metrics: { loss: number + epoch / 10 } }));

  it("merge to the same whatever the order and the batches", () => {
    fc.assert(
      fc.property(fc.array(anyReport, { maxLength: 40 }), fc.nat(40), (reports, at) => {
        const one = mergeReports(new Map(), reports);
        const two = mergeReports(mergeReports(new Map(), reports.slice(at)), reports.slice(0, at).reverse());
        expect(new Map([...two].sort())).toEqual(new Map([...one].sort()));
        for (const list of one.values()) {
          expect(list.map((report) => report.epoch)).toEqual([...new Set(list.map((report) => report.epoch))].sort());
        }
      }),
    );
  });

  it("wants the best and the running, and asks for what lacks epochs", () => {
    const index = updateTrials(emptyTrials("maximize"), [
      trialRow(1, 0, { best: 0.9, bestEpoch: 1, epoch: 2 }),
      trialRow(1, 1, { best: 0.8, bestEpoch: 1, epoch: 2 }),
      trialRow(1, 2, { best: 0.7, bestEpoch: 1, epoch: 1, state: "running" }),
      trialRow(1, 3, { state: "running" }),
      trialRow(1, 4, { state: "failed", epoch: 1 }),
    ]);
    const wanted = wantedTrials(index, 1, 10);
    expect(wanted.map((row) => row.number)).toEqual([0, 2]);
    expect(wantedTrials(index, 12, 2).map((row) => row.number)).toEqual([0, 1]);
    const curves = mergeReports(new Map(), [
      { trial: "1/0", epoch: 2, metrics: { a: "nan" } },
      { trial: "1/2", epoch: 1, metrics: { a: 1 } },
    ]);
    expect(incomplete(curves, wanted)).toEqual(["1/0"]);
    expect(metricPoints(curves.get("1/0") ?? [], "a")).toEqual([{ epoch: 2, value: null }]);
  });

  it("keeps the vertical range to where the values are", () => {
    const calm = Array.from({ length: 100 }, (_, i) => 0.9 + i * 1e-3);
    const [low, high] = valueRange([...calm, 1e6]);
    expect(low).toBeLessThan(0.9);
    expect(high).toBeGreaterThan(0.999);
    expect(high).toBeLessThan(1.2);
    const [flatLow, flatHigh] = valueRange([2, 2]);
    expect(flatLow).toBeLessThan(2);
    expect(flatHigh).toBeGreaterThan(2);
  });
});

describe("readDetails", () => {
  it("reads what is there", () => {
    const details = readDetails(
      {
        reports: [
          { trial: "1/0", attempt: "1/0#1", epoch: 2, metrics: { a: 1, b: "nan", c: {} } },
          { trial: "1/0", epoch: 1, metrics: { a: 2 } },
        ],
        attempts: [
          { id: "1/0#1", state: "finished", worker: "w", device: "cpu", offeredAt: 5, startedAt: null, endedAt: 9 },
        ],
        events: [{ at: 7, kind: "started", detail: "x" }],
      },
      { id: "1/0" },
    );
    expect(details.reports.map((report) => [report.epoch, report.metrics])).toEqual([
      [1, { a: 2 }],
      [2, { a: 1, b: "nan" }],
    ]);
    expect(details.attempts).toEqual([
      { name: "1/0#1", state: "finished", where: "w · cpu", cause: "", startedAt: 5, endedAt: 9 },
    ]);
    expect(details.events).toEqual([{ at: 7, kind: "started", detail: "x" }]);
  });

  it("takes anything", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (body, list) => {
        readDetails(body, { id: "1/0" });
        readDetails({ reports: [list], attempts: [list], events: list }, { id: "1/0" });
      }),
    );
  });
});
