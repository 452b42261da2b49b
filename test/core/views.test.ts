/** Rows, against what a look at every trial gives. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "../../coordinator/core/canonical.js";
import { isFinal } from "../../coordinator/core/transitions.js";
import type { Json } from "../../coordinator/core/types.js";
import { changesOf, sweepRow, trialRow, workerRow } from "../../coordinator/core/views.js";
import { millis } from "../../proto/contract.js";
import type { SweepRow } from "../../proto/feed.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";
import { World } from "./world.js";

function rowOf(rig: Rig): SweepRow {
  return sweepRow(rig.state, rig.sweep(1), millis(rig.now));
}

function bench(
  lanes: number,
  changes: Parameters<Rig["submit"]>[0],
): { rig: Rig; worker: FakeWorker; open: Map<string, Assign> } {
  const rig = new Rig();
  const worker = new FakeWorker(rig, "w", [deviceOf(lanes)]);
  worker.hello();
  rig.submit(changes);
  return { rig, worker, open: new Map() };
}

/** Every lane trains one epoch in `millisAnEpoch`; answers the estimates at the end of each epoch. */
function trainInStep(
  lanes: number,
  runCap: number,
  millisAnEpoch: number,
  epochs: number,
): readonly { left: number; eta: number | null; at: number }[] {
  const { rig, worker, open } = bench(lanes, { runCap, epochs });
  const seen: { left: number; eta: number | null; at: number }[] = [];
  while (rig.sweep(1).state === "running") {
    for (const { message } of rig.take()) {
      if (message.kind !== "Assign") continue;
      worker.start(message);
      open.set(message.attempt, message);
    }
    rig.now += millisAnEpoch;
    for (const [id, assign] of open) {
      const epoch = (rig.attempt(assign.attempt)?.lastEpoch ?? 0) + 1;
      worker.report(assign, epoch, 0.5);
      if (epoch < epochs) continue;
      worker.complete(assign);
      open.delete(id);
    }
    const { etaMillis } = rowOf(rig);
    seen.push({ left: 0, eta: etaMillis, at: rig.now });
  }
  const end = rig.now;
  return seen.map(({ eta, at }) => ({ left: end - at, eta, at }));
}

describe("a sweep's row", () => {
  it("counts, ranks and measures progress as a look at every trial does", () => {
    const step = fc.record({ what: fc.nat(19), who: fc.nat(3), how: fc.nat(20_000) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 200, size: "max" }), fc.boolean(), (steps, minimize) => {
        const objective = { name: "val_accuracy", goal: minimize ? "minimize" : "maximize", target: null } as const;
        const world = new World([{ runCap: 9, objective }], [2, 2]);
        for (const one of steps) world.take(one);
        const { rig } = world;
        const trials = [...rig.state.trials.values()].filter((trial) => trial.origin.kind !== "rerun");
        const row = rowOf(rig);
        for (const [state, count] of Object.entries(row.counts)) {
          expect(count).toBe(trials.filter((trial) => trial.state === state).length);
        }
        const ranked = trials
          .filter(({ state }) => !["failed", "lost", "cancelled"].includes(state))
          .flatMap(({ id, best, number }) => (best === null ? [] : [{ trial: id, number, ...best }]))
          .sort(
            (a, b) => (minimize ? a.value - b.value : b.value - a.value) || a.epoch - b.epoch || a.number - b.number,
          );
        const [best] = ranked;
        expect(row.best).toEqual(best === undefined ? null : { trial: best.trial, value: best.value });
        const done = trials.reduce((sum, trial) => sum + (isFinal(trial.state) ? 3 : trial.epoch), 0);
        const ended = rig.sweep(1).endedAt !== null;
        expect(row.progress).toBeCloseTo(ended ? 1 : done / (3 * row.runCap), 12);
        // Best values are committed reports of the attempt that counts.
        for (const trial of trials) {
          const reports = rig.reports.filter((report) => report.attempt === `${trial.id}#${trial.attempts}`);
          const values = reports
            .map((report) => report.metrics["val_accuracy"])
            .filter((value) => typeof value === "number");
          // Back in the queue, or cancelled there: no attempt counts.
          if (trial.startedAt === null) continue;
          const top = values.length === 0 ? null : minimize ? Math.min(...values) : Math.max(...values);
          expect(trial.best?.value ?? null).toBe(top);
        }
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  it("has the first of its leaderboard as its best: none that failed, ties to fewer epochs, then the lower number", () => {
    const { rig, worker } = bench(4, { runCap: 4, epochs: 3 });
    const held = rig.assigns();
    const reported = [
      [0.9, 0.9],
      [0.5, 0.8],
      [0.8, 0.1],
      [0.8, 0.1],
    ];
    held.forEach((assign, n) => {
      worker.start(assign);
      reported[n]?.forEach((value, i) => {
        worker.report(assign, i + 1, value);
      });
    });
    const best = (): unknown => rowOf(rig).best;
    expect(best()).toEqual({ trial: "1/0", value: 0.9 });
    const diverge = (n: number): void =>
      worker.end(held[n] as Assign, { kind: "diverged", epoch: 3, step: 1, what: "loss" });
    diverge(0);
    expect(rig.trial(1, 0)).toMatchObject({ state: "failed", best: { value: 0.9 } });
    expect(best()).toEqual({ trial: "1/2", value: 0.8 });
    diverge(2);
    expect(best()).toEqual({ trial: "1/3", value: 0.8 });
    diverge(3);
    expect(best()).toEqual({ trial: "1/1", value: 0.8 });
    diverge(1);
    expect(best()).toBeNull();
  });

  it("names what the sweep searches and trains", () => {
    const { rig } = bench(1, {});
    expect(rowOf(rig)).toMatchObject({
      network: "tinycnn",
      dataset: "synthetic-digits",
      method: "random",
      parameters: [
        { name: "learning_rate", scale: "log" },
        { name: "l2", scale: "log" },
      ],
      progress: 0,
      etaMillis: null,
      best: null,
    });
    const { rig: other } = bench(1, { recipe: { network: { name: null, layers: [] } } });
    expect(rowOf(other)).toMatchObject({ network: "custom", dataset: "" });
  });

  it("has no estimate before the first epoch, while paused, or when nothing runs", () => {
    const { rig, worker } = bench(1, { runCap: 2, epochs: 2 });
    const [assign] = rig.assigns();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    rig.now += 1_000;
    expect(rowOf(rig).etaMillis).toBeNull();
    worker.report(assign, 1, 0.5);
    expect(rowOf(rig).etaMillis).toBeGreaterThan(0);
    rig.ask((call) => ({ kind: "SweepPaused", call, sweep: rig.sweep(1).id }));
    expect(rowOf(rig).etaMillis).toBeNull();
    rig.ask((call) => ({ kind: "SweepResumed", call, sweep: rig.sweep(1).id }));
    rig.now += 9_000;
    worker.heartbeat([]);
    expect(rowOf(rig).etaMillis).toBeNull();
  });

  it.each([
    [1, 10],
    [4, 16],
    [8, 8],
  ])("estimates the time left, %d lanes, %d trials, within a third once a quarter is done", (lanes, runCap) => {
    const seen = trainInStep(lanes, runCap, 5_000, 10);
    const total = (seen[0]?.left ?? 0) + 5_000;
    for (const { left, eta } of seen) {
      if (left === 0 || left > 0.75 * total) continue;
      expect(eta).not.toBeNull();
      expect(Math.abs((eta ?? 0) - left)).toBeLessThan(Math.max(left / 3, 5_000));
    }
  });

  it("does not count the time between an end and an extension", () => {
    const { rig, worker } = bench(1, { runCap: 1, epochs: 2 });
    const run = (): void => {
      const [assign] = rig.take().flatMap(({ message }) => (message.kind === "Assign" ? [message] : []));
      if (assign === undefined) throw new Error("nothing assigned");
      worker.start(assign);
      for (const epoch of [1, 2]) {
        rig.now += 1_000;
        worker.report(assign, epoch, 0.5);
        const { etaMillis } = rowOf(rig);
        if (epoch === 1 && rig.sweep(1).nextTrial === 2) expect(etaMillis).toBeLessThan(1_500);
      }
      worker.complete(assign);
    };
    run();
    rig.now += 86_400_000;
    worker.hello();
    rig.ask((call) => ({ kind: "SweepExtended", call, sweep: rig.sweep(1).id, trials: 1, wallMillis: 0 }));
    run();
    expect(rowOf(rig)).toMatchObject({ state: "completed", progress: 1, etaMillis: null });
  });
});

describe("other rows", () => {
  it("show lanes that are busy now, and a trial as it is", () => {
    const { rig, worker } = bench(3, { runCap: 2 });
    const [assign] = rig.assigns();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    worker.report(assign, 2, { val_accuracy: "nan" });
    expect(workerRow(rig.state, rig.worker("w"), millis(rig.now)).devices).toEqual([
      { id: "cpu", name: "bench", backend: "cpu", lanes: 3, busy: 2, use: null },
    ]);
    expect(trialRow(rig.state, rig.trial(1, 0), millis(rig.now))).toMatchObject({
      id: "1/0",
      origin: "sampled",
      best: null,
      bestEpoch: null,
      last: "nan",
      epoch: 2,
      worker: "w",
      device: "cpu",
    });
  });
});

describe("changes", () => {
  it("hold each touched row once, as it is now, and every report", () => {
    const { rig, worker } = bench(2, { runCap: 2 });
    const [first, second] = rig.assigns();
    if (first === undefined || second === undefined) throw new Error("nothing assigned");
    worker.start(first);
    worker.start(second);
    const from = rig.mutations.length;
    worker.report(first, 1, 0.1);
    worker.report(first, 2, 0.2);
    worker.report(second, 1, 0.3);
    const changes = changesOf(rig.state, rig.mutations.slice(from), millis(rig.now));
    expect(changes.map((change) => change.kind)).toEqual(["sweep", "trial", "trial", "report", "report", "report"]);
    expect(changes[0]).toEqual({ kind: "sweep", row: rowOf(rig) });
    expect(changes[1]).toMatchObject({ row: { id: "1/0", epoch: 2 } });
    const end = rig.mutations.length;
    worker.complete(first);
    const kinds = changesOf(rig.state, rig.mutations.slice(end), millis(rig.now)).map((change) => change.kind);
    expect(kinds).toEqual(["sweep", "trial", "worker"]);
    const beat = rig.mutations.length;
    worker.heartbeat([second]);
    expect(changesOf(rig.state, rig.mutations.slice(beat), millis(rig.now)).map((change) => change.kind)).toEqual([
      "worker",
    ]);
  });

  it("make a mirror equal to the state, whatever happens", () => {
    const step = fc.record({ what: fc.nat(19), who: fc.nat(3), how: fc.nat(20_000) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 30, maxLength: 150, size: "max" }), (steps) => {
        const world = new World([{ runCap: 5 }], [2, 1]);
        const mirror = new Map<string, unknown>();
        let from = 0;
        for (const one of steps) {
          world.take(one);
          const { rig } = world;
          for (const change of changesOf(rig.state, rig.mutations.slice(from), millis(rig.now))) {
            if (change.kind !== "report") mirror.set(`${change.kind} ${change.row.id}`, change.row);
          }
          from = rig.mutations.length;
          const now = millis(rig.now);
          for (const trial of rig.state.trials.values())
            expect(mirror.get(`trial ${trial.id}`)).toEqual(trialRow(rig.state, trial, now));
          for (const worker of rig.state.workers.values())
            expect(mirror.get(`worker ${worker.id}`)).toEqual(workerRow(rig.state, worker, now));
          for (const sweep of rig.state.sweeps.values()) {
            const { etaMillis: _, ...row } = sweepRow(rig.state, sweep, now);
            expect(mirror.get(`sweep ${sweep.id}`)).toMatchObject(row);
          }
        }
      }),
      { numRuns: 40, seed: 6 },
    );
  });
});

describe("canonical JSON", () => {
  it("is one text for one value, and reads back the same", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value as Json);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(shuffled(value) as Json)).toBe(text);
      }),
    );
    expect(canonicalJson({ b: [1, { d: null, c: "ü\n" }], a: 1e-7 })).toBe('{"a":1e-7,"b":[1,{"c":"ü\\n","d":null}]}');
    expect(() => canonicalJson(Number.NaN)).toThrow(/no JSON text/);
  });
});

function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, shuffled(member)]),
  );
}
