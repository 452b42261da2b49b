/** Snapshots of the feed: in parts or whole, what comes first, and that every viewer ends with the state. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Trial } from "../../coordinator/core/types.js";
import { trialRow } from "../../coordinator/core/views.js";
import { millis } from "../../proto/contract.js";
import { compareTrials } from "../../proto/leaderboard.js";
import { ANEW, resumeAfter, rowsAfter, snapshots, trialOf, viewer, world } from "./feed-rig.js";
import { SPEC } from "./fixture.js";

describe("a snapshot", () => {
  it("writes a large snapshot in parts, and still shows the newest of everything", async () => {
    const { hub, state, tick } = world();
    tick(...Array.from({ length: 5_000 }, (_, number) => trialOf(1, number)));
    const { sink, messages, count } = viewer();
    hub.open(sink, ANEW);
    // While it is being written.
    tick(trialOf(1, 0, { state: "leased", attempts: 1 }), trialOf(1, 4_999, { state: "cancelled" }));
    await count(1);
    const rows = rowsAfter(messages);
    expect(rows.size).toBe(5_000);
    for (const id of ["1/0", "1/4999"]) {
      const trial = state.trials.get(id as Trial["id"]);
      expect(rows.get(id)).toEqual(trial && trialRow(state, trial, millis(0)));
    }
  });

  it("gives a page the best trials first and what trains, the rest within its backlog's bound, then the deltas", async () => {
    const { hub, state, tick } = world();
    const best = (number: number) => ({ value: ((number * 7919) % 5_000) / 5_000, epoch: 1 });
    tick(...Array.from({ length: 5_000 }, (_, number) => trialOf(1, number, { best: best(number) })));
    // Two that train: one of the worst, and one without a result.
    const low = SPEC.objective.goal === "maximize" ? 1 : 4_998;
    const bad =
      Array.from({ length: 5_000 }, (_, number) => number).find((one) => best(one).value === low / 5_000) ?? -1;
    tick(trialOf(1, bad, { state: "leased", best: best(bad) }), trialOf(1, 4_321, { state: "leased", best: null }));
    tick(trialOf(1, bad, { state: "running", best: best(bad) }));
    const page = viewer();
    const terminal = viewer();
    hub.open(page.sink, { ...ANEW, parts: true });
    hub.open(terminal.sink, ANEW);
    await page.count(1);
    expect(terminal.messages).toEqual([]);
    const [first] = snapshots(page.messages);
    const values = Array.from({ length: 5_000 }, (_, number) => best(number).value).sort((a, b) =>
      SPEC.objective.goal === "maximize" ? b - a : a - b,
    );
    expect(first?.trials.slice(0, 200).map((row) => row.best)).toEqual(values.slice(0, 200));
    expect(new Set(first?.trials.slice(200).map((row) => row.number))).toEqual(new Set([bad, 4_321]));
    expect(first?.rest).toBe(4_798);
    // Nothing is sent to a page that does not read, and it misses nothing.
    page.seen.backlog = 1 << 20;
    tick(trialOf(1, 0, { state: "leased", attempts: 1 }), trialOf(1, 4_999, { state: "cancelled" }));
    await terminal.count(2);
    expect(page.messages.length).toBe(1);
    page.seen.backlog = 0;
    tick(trialOf(1, 1, { state: "cancelled" }));
    await page.count(6);
    await terminal.count(3);
    expect(page.messages.map((one) => one.kind)).toEqual(["snapshot", "rows", "rows", "rows", "delta", "delta"]);
    const rows = new Map([...state.trials].map(([id, trial]) => [id, trialRow(state, trial, millis(0))]));
    expect(rowsAfter(page.messages)).toEqual(rows);
    expect(rowsAfter(terminal.messages)).toEqual(rows);
  });

  it("ranks the first part as the page does, ties of leaders too", async () => {
    const { hub, tick } = world({ rowsAPart: 40 });
    const best = (number: number) => ({ value: (number % 3) / 10, epoch: 1 + ((number * 5) % 4) });
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    tick(...numbers.map((number) => trialOf(1, number, { best: best(number) })));
    const gone = numbers.filter((number) => number % 7 === 0);
    tick(...gone.map((number) => trialOf(1, number, { state: "cancelled", best: best(number) })));
    const page = viewer();
    hub.open(page.sink, { ...ANEW, parts: true });
    await page.count(3);
    const [first] = snapshots(page.messages);
    const all = [...rowsAfter(page.messages).values()];
    const order = all.sort((a, b) => compareTrials(a, b, SPEC.objective.goal)).map(({ number }) => number);
    expect(all).toHaveLength(100);
    expect(first?.trials.map(({ number }) => number)).toEqual(order.slice(0, 20));
  });

  it("gives the newest sweeps a screen each where there are too many for all", async () => {
    const { hub, tick } = world({ rowsAPart: 60, sweeps: 100 });
    const value = (sweep: number, number: number) => ({ value: ((sweep + number * 11) % 30) / 30, epoch: 1 });
    for (let sweep = 1; sweep <= 100; sweep += 1) {
      tick(...Array.from({ length: 30 }, (_, n) => trialOf(sweep, n, { best: value(sweep, n) })));
    }
    const page = viewer();
    hub.open(page.sink, { ...ANEW, parts: true });
    await page.count(1);
    const [first] = snapshots(page.messages);
    expect(first?.sweeps).toHaveLength(100);
    for (const sweep of [100, 99, 98]) {
      const best = Array.from({ length: 30 }, (_, n) => value(sweep, n).value).sort((a, b) =>
        SPEC.objective.goal === "maximize" ? b - a : a - b,
      );
      const shown = first?.trials.filter((row) => row.sweep === sweep).map((row) => row.best);
      expect(shown).toEqual(best.slice(0, 20));
    }
    expect(first?.trials).toHaveLength(60);
    expect(first?.rest).toBe(100 * 30 - 60);
  });

  it("shows every viewer the state, whatever it missed and in however many parts it came", async () => {
    const step = fc.record({ number: fc.nat(8), epoch: fc.nat(5), pause: fc.boolean(), leave: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 500, max: 20_000 }),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        async (steps, ringBytes, rowsAPart, parts) => {
          const { hub, state, tick } = world({ ringBytes, rowsAPart });
          // Trials of before, so that the first snapshot may have parts.
          tick(...steps.slice(0, 8).map((_, number) => trialOf(1, number)));
          const one = viewer();
          let leave = hub.open(one.sink, { ...ANEW, parts });
          let backlogged = false;
          for (const { number, epoch, pause, leave: leaves } of steps) {
            if (pause) {
              backlogged = !backlogged;
              one.seen.backlog = backlogged ? 2 << 20 : 0;
            }
            if (leaves) {
              leave();
              leave = hub.open(one.sink, { resume: resumeAfter(one.messages, hub.feed), sweep: null, parts });
              // A part is written a turn: some leave before the last one.
              if (epoch > 2) await new Promise((resolve) => setImmediate(resolve));
            }
            tick(trialOf(1, number, { epoch }));
          }
          one.seen.backlog = 0;
          tick(trialOf(1, 9));
          // As many turns as a snapshot of ten trials has parts, twice, and what sends them.
          for (let turn = 0; turn < 40; turn += 1) await new Promise((resolve) => setImmediate(resolve));
          const rows = rowsAfter(one.messages);
          expect(rows).toEqual(
            new Map([...state.trials].map(([id, trial]) => [id, trialRow(state, trial, millis(0))])),
          );
          expect(resumeAfter(one.messages, hub.feed)).toEqual({ feed: hub.feed, seq: hub.seq });
          let before: number | null = null;
          for (const message of one.messages) {
            if (message.kind === "delta") expect(message.seq).toBe((before ?? 0) + 1);
            if (message.kind === "rows") expect(message.seq).toBe(before);
            before = message.seq;
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
