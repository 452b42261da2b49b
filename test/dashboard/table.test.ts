/** What the leaderboard, the curves and the details make of rows. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { valueRange } from "../../dashboard/src/charts/value-range.js";
import { CurveSource } from "../../dashboard/src/feed/curve-source.js";
import { curveOf, incomplete, mergeReports, metricPoints, wantedTrials } from "../../dashboard/src/feed/curves.js";
import { readDetails } from "../../dashboard/src/feed/details.js";
import { emptyTrials, updateTrials } from "../../dashboard/src/feed/ranking.js";
import { rowAt } from "../../dashboard/src/feed/rows.js";
import { BY_RANK, columnsOf, metricNames, shownTrials } from "../../dashboard/src/table.js";
import type { ReportRow, TrialRow } from "../../proto/feed.js";
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
    expect(curveOf(curves, { id: "1/0", epoch: 2 })).toBe(curves.get("1/0"));
    expect(curveOf(curves, { id: "1/0", epoch: 1 })).toEqual([]);
    expect(metricPoints(curves.get("1/0") ?? [], "a")).toEqual([{ epoch: 2, value: null }]);
  });

  it("of a trial that another worker took up are asked for anew, and end where the trial stands", async () => {
    const report = (epoch: number, value: number): ReportRow => ({ trial: "1/0", epoch, metrics: { a: value } });
    const asked: ((reports: readonly ReportRow[]) => void)[] = [];
    const later: (() => void)[] = [];
    const source = new CurveSource(
      (path) => {
        expect(path).toContain("/api/curves?sweep=1");
        return new Promise((resolve) => {
          asked.push((reports) => resolve({ sweep: 1, seq: 0, curves: [{ trial: "1/0", reports }] }));
        });
      },
      (run) => void later.push(run),
    );
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const values = (row: TrialRow) =>
      curveOf(source.curves.peek(), row).map(({ epoch, metrics }) => [epoch, metrics["a"]]);
    const lost = trialRow(1, 0, { state: "running", attempts: 1, epoch: 3 });
    source.receive([report(1, 10), report(2, 20), report(3, 30)]);
    source.want(1, [lost]);
    source.receive([report(1, 10), report(2, 20), report(3, 30)]);
    asked.shift()?.([]);
    await turn();
    later.shift()?.();
    // biome-ignore format: two columns
    expect(values(lost)).toEqual([[1, 10], [2, 20], [3, 30]]);

    // On from a checkpoint of epoch 2 that yet another attempt had left.
    const taken = trialRow(1, 0, { state: "running", attempts: 3, epoch: 2 });
    source.want(1, [taken]);
    expect(values(taken)).toEqual([]);
    expect(asked).toHaveLength(1);
    asked.shift()?.([report(1, 11), report(2, 21)]);
    await turn();
    // biome-ignore format: two columns
    expect(values(taken)).toEqual([[1, 11], [2, 21]]);
    source.receive([report(3, 31)]);
    // biome-ignore format: two columns
    expect(values({ ...taken, epoch: 3 })).toEqual([[1, 11], [2, 21], [3, 31]]);
    expect(values(taken)).toHaveLength(2);

    // An answer that was under way when the next attempt began says nothing of it.
    later.shift()?.();
    source.want(1, [{ ...taken, epoch: 4 }]);
    expect(asked).toHaveLength(1);
    source.want(1, [{ ...taken, attempts: 4, epoch: 2 }]);
    asked.shift()?.([report(1, 11), report(2, 21)]);
    await turn();
    expect(values(taken)).toEqual([]);
    later.shift()?.();
    asked.shift()?.([report(1, 10), report(2, 22)]);
    await turn();
    // biome-ignore format: two columns
    expect(values(taken)).toEqual([[1, 10], [2, 22]]);
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
          { n: 2, fromEpoch: 1 },
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
      { name: "1/0#1", state: "finished", where: "w · cpu", cause: "", startedAt: 5, endedAt: 9, fromEpoch: 0 },
      { name: "attempt 2", state: "", where: "", cause: "", startedAt: null, endedAt: null, fromEpoch: 1 },
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
