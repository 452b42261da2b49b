/** Reruns: outside of the cap and the ranking, compared report by report. */
import { describe, expect, it } from "vitest";
import { ALGORITHMS } from "../../coordinator/core/environment.js";
import type { Scheduler } from "../../coordinator/core/schedulers/scheduler.js";
import type { MetricValue } from "../../coordinator/core/types.js";
import { sweepRow } from "../../coordinator/core/views.js";
import { millis, sweepId, trialId } from "../../proto/contract.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

type Metrics = Readonly<Record<string, MetricValue>>;
const ORIGINAL: readonly Metrics[] = [
  { val_accuracy: 0.5, train_loss: 1.25, images_per_second: 100 },
  { val_accuracy: 0.7, train_loss: "nan", images_per_second: 120 },
];
const ID = trialId(sweepId(1), 0);

class Bench {
  readonly rig: Rig;
  readonly worker: FakeWorker;

  constructor(scheduler: Scheduler | null = null) {
    const none = ALGORITHMS.schedulers.get("none");
    if (none === undefined) throw new Error("no scheduler none");
    this.rig = new Rig({ ...ALGORITHMS, schedulers: new Map([["none", scheduler ?? none]]) });
    this.worker = new FakeWorker(this.rig, "w", [deviceOf(1)]);
    this.worker.hello();
    this.rig.submit({ runCap: 1 });
  }

  next(): Assign {
    const assign = this.rig.take().flatMap(({ message }) => (message.kind === "Assign" ? [message] : []))[0];
    if (assign === undefined) throw new Error("nothing assigned");
    return assign;
  }

  run(reports: readonly Metrics[], weightsHash = "w", fingerprint = "f"): void {
    const assign = this.next();
    this.worker.start(assign, fingerprint);
    for (const [index, metrics] of reports.entries()) this.worker.report(assign, index + 1, metrics);
    this.worker.complete(assign, weightsHash);
  }

  rerun(verify = true): void {
    expect(this.rig.ask((call) => ({ kind: "TrialRerun", call, trial: ID, verify }))).toEqual({
      ok: true,
      value: { trial: "1/1" },
    });
  }

  get verified(): unknown {
    return this.rig.trial(1, 1).verified;
  }
}

function changed(epoch: number, change: Metrics): readonly Metrics[] {
  return ORIGINAL.map((metrics, index) => (index + 1 === epoch ? { ...metrics, ...change } : metrics));
}

describe("trial rerun --verify", () => {
  it("repeats parameters and seed, alone, and says that all is equal to the bit", () => {
    const bench = new Bench();
    bench.run(ORIGINAL);
    bench.rerun();
    const { parameters, seed } = bench.rig.trial(1, 0);
    expect(bench.rig.trial(1, 1)).toMatchObject({
      parameters,
      seed,
      origin: { kind: "rerun", of: "1/0", verify: true },
    });
    bench.run(changed(1, { images_per_second: 7 }));
    expect(bench.rig.trial(1, 1).state).toBe("completed");
    expect(bench.verified).toEqual({ equal: true, detail: "equal to the bit: 2 epochs, every metric and the weights" });
  });

  it.each([
    [
      "a metric",
      changed(2, { val_accuracy: 0.7000000000000001 }),
      "w",
      "epoch 2 differs in val_accuracy: 0.7 before, 0.7000000000000001 now",
    ],
    [
      "the first of two",
      changed(1, { train_loss: 1, val_accuracy: 0 }),
      "w",
      "epoch 1 differs in train_loss: 1.25 before, 1 now",
    ],
    [
      "a metric that is not finite",
      changed(2, { train_loss: "inf" }),
      "w",
      "epoch 2 differs in train_loss: nan before, inf now",
    ],
    ["a metric more", changed(2, { extra: 1 }), "w", "epoch 2 differs in extra: nothing before, 1 now"],
    ["an epoch less", ORIGINAL.slice(0, 1), "w", "2 epochs before, 1 now"],
    ["an epoch more", [...ORIGINAL, { val_accuracy: 1 }], "w", "epoch 3 differs: 1/0 has no report of it"],
    ["the weights", ORIGINAL, "v", "weights differ: w before, v now"],
  ])("names the difference: %s", (_what, reports, hash, detail) => {
    const bench = new Bench();
    bench.run(ORIGINAL);
    bench.rerun();
    bench.run(reports, hash);
    expect(bench.verified).toEqual({ equal: false, detail });
    expect(bench.rig.eventsOf("trial-verified").at(-1)?.detail).toBe(detail);
  });

  it("on another fingerprint compares within a tolerance, and says so", () => {
    const bench = new Bench();
    bench.run(ORIGINAL, "w", "cuda");
    bench.rerun();
    bench.run(changed(1, { train_loss: 1.26 }), "v", "cpu");
    expect(bench.verified).toEqual({
      equal: true,
      detail: "equal within 2 %: 2 epochs, every metric, on another fingerprint (cuda before, cpu now)",
    });
    const far = new Bench();
    far.run(ORIGINAL, "w", "cuda");
    far.rerun();
    far.run(changed(1, { train_loss: 1.5 }), "v", "cpu");
    expect(far.verified).toMatchObject({ equal: false, detail: expect.stringContaining("by more than 2 %") });
  });

  it("of a diverged trial must diverge at the same step", () => {
    for (const [step, equal] of [
      [15, true],
      [16, false],
    ] as const) {
      const bench = new Bench();
      const diverge = (at: number): void => {
        const assign = bench.next();
        bench.worker.start(assign);
        bench.worker.report(assign, 1, 0.1);
        bench.worker.end(assign, { kind: "diverged", epoch: 2, step: at, what: "loss" });
      };
      diverge(15);
      bench.rerun();
      diverge(step);
      expect(bench.verified).toMatchObject({ equal });
    }
  });

  it("of a stopped trial goes as far and compares that", () => {
    const stopAfterOne: Scheduler = {
      check: () => null,
      init: () => null,
      onReport: (state, { epoch }) => [state, epoch === 1 ? "stop" : "continue"],
      onEnd: (state) => state,
      promote: (state) => [state, null],
    };
    const bench = new Bench(stopAfterOne);
    for (const again of [false, true]) {
      if (again) bench.rerun();
      const assign = bench.next();
      bench.worker.start(assign, "f");
      bench.worker.report(assign, 1, 0.25);
      expect(bench.rig.take().map(({ message }) => message.kind)).toEqual(["Stop"]);
      bench.worker.end(assign, { kind: "stopped", weightsHash: again ? "x" : "y" });
    }
    expect(bench.rig.trial(1, 1)).toMatchObject({ state: "stopped", cause: "its original stopped after epoch 1" });
    expect(bench.verified).toEqual({ equal: true, detail: "equal to the bit: 1 epoch, every metric" });
  });

  it("forgets what a lost attempt found, and compares with the attempt that counts", () => {
    const bench = new Bench();
    const first = bench.next();
    bench.worker.start(first);
    bench.worker.report(first, 1, { val_accuracy: 0.999 });
    bench.rig.pass(11_000);
    bench.worker.hello();
    bench.worker.heartbeat([]);
    bench.run(ORIGINAL);
    bench.rerun();
    const rerun = bench.next();
    bench.worker.start(rerun, "f");
    bench.worker.report(rerun, 1, { val_accuracy: 0.1 });
    expect(bench.verified).toMatchObject({ equal: false });
    bench.rig.pass(11_000);
    bench.worker.hello();
    bench.worker.heartbeat([]);
    bench.run(ORIGINAL);
    expect(bench.verified).toMatchObject({ equal: true });
  });

  it("needs a result", () => {
    const bench = new Bench();
    const ask = (verify: boolean) => bench.rig.ask((call) => ({ kind: "TrialRerun", call, trial: ID, verify }));
    expect(ask(false)).toMatchObject({ ok: false, error: { code: "WRONG_STATE", found: "leased" } });
    bench.rig.ask((call) => ({ kind: "TrialStopped", call, trial: ID }));
    expect(ask(true)).toMatchObject({ ok: false, error: { code: "WRONG_STATE", found: "cancelled" } });
    expect(ask(false).ok).toBe(true);
  });
});

describe("a rerun", () => {
  it("counts neither towards the cap nor in the ranking, and the sweep stays ended", () => {
    const bench = new Bench();
    bench.run(ORIGINAL);
    const before = sweepRow(bench.rig.state, bench.rig.sweep(1), millis(bench.rig.now));
    bench.rerun(false);
    bench.run(changed(1, { val_accuracy: 0.99 }));
    const after = sweepRow(bench.rig.state, bench.rig.sweep(1), millis(bench.rig.now));
    expect(after).toEqual(before);
    expect(bench.verified).toBeNull();
    expect(bench.rig.trial(1, 1)).toMatchObject({ state: "completed", best: { value: 0.99, epoch: 1 } });
  });
});
