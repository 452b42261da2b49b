import { describe, expect, it } from "vitest";
import { liveView, progressLine } from "../../coordinator/cli/live-view.js";
import { makePaint } from "../../coordinator/cli/output.js";
import { summarize, summaryLines } from "../../coordinator/cli/summary.js";
import { applyFeedMessage, newSweepModel, rankedTrials } from "../../coordinator/cli/sweep-model.js";
import type { SweepRow, TrialRow } from "../../proto/feed.js";

const counts = {
  queued: 0,
  leased: 0,
  running: 1,
  paused: 0,
  completed: 2,
  stopped: 0,
  failed: 1,
  lost: 0,
  cancelled: 0,
};

const sweep: SweepRow = {
  id: 3,
  name: "lr",
  state: "running",
  cause: "",
  metric: "val_accuracy",
  goal: "maximize",
  target: null,
  method: "random",
  network: "lenet",
  dataset: "mnist",
  runCap: 4,
  epochs: 3,
  seed: 1,
  parameters: [{ name: "learning_rate", scale: "log" }],
  counts,
  best: null,
  progress: 0.5,
  etaMillis: 90_000,
  createdAt: 1_000,
  endedAt: null,
};

function trial(
  number: number,
  best: number | null,
  state: TrialRow["state"],
  origin: TrialRow["origin"] = "sampled",
): TrialRow {
  return {
    id: `3/${number}`,
    sweep: 3,
    number,
    state,
    cause: state === "failed" ? "diverged in epoch 2, step 7" : "",
    origin,
    parameters: { learning_rate: 10 ** -number },
    best,
    bestEpoch: best === null ? null : 2,
    last: best,
    epoch: 2,
    metrics: {},
    attempts: 1,
    worker: "a",
    device: "cpu",
    createdAt: 0,
    startedAt: 0,
    endedAt: null,
  };
}

function modelOf(rows: readonly TrialRow[], goal: SweepRow["goal"] = "maximize") {
  const model = newSweepModel(3);
  applyFeedMessage(model, {
    kind: "snapshot",
    feed: "f",
    seq: 0,
    version: "0",
    rest: 0,
    sweeps: [{ ...sweep, goal }],
    trials: rows,
    workers: [],
  });
  return model;
}

describe("the terminal's model of a sweep", () => {
  it("ranks by the goal, valueless trials last, reruns not at all", () => {
    const rows = [
      trial(0, 0.9, "completed"),
      trial(1, 0.95, "running"),
      trial(2, null, "failed"),
      trial(3, 0.99, "completed", "rerun"),
    ];
    expect(rankedTrials(modelOf(rows)).map((row) => row.number)).toEqual([1, 0, 2]);
    expect(rankedTrials(modelOf(rows, "minimize")).map((row) => row.number)).toEqual([0, 1, 2]);
  });

  it("says once that a trial ended, and ignores other sweeps", () => {
    const model = modelOf([trial(0, null, "running")]);
    const change = { kind: "trial", row: trial(0, 0.5, "completed") } as const;
    const other = { kind: "trial", row: { ...trial(0, 0.5, "completed"), id: "4/0", sweep: 4 } } as const;
    expect(
      applyFeedMessage(model, { kind: "delta", seq: 1, changes: [change, other] }).ended.map((row) => row.id),
    ).toEqual(["3/0"]);
    expect(applyFeedMessage(model, { kind: "delta", seq: 2, changes: [change] }).ended).toEqual([]);
    expect(model.trials.size).toBe(1);
  });

  it("draws no line beyond the terminal and no more lines than fit", () => {
    const model = modelOf(Array.from({ length: 40 }, (_, index) => trial(index, index / 40, "completed")));
    for (const [width, height] of [
      [60, 10],
      [100, 24],
      [200, 60],
    ] as const) {
      const lines = liveView(model, 61_000, width, height, makePaint(false));
      expect(lines.length).toBeLessThanOrEqual(height);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    }
    expect(progressLine(model, 61_000)).toBe(
      "3/4 trials · 1 running · 1 failed · 1 min 00 s gone · about 1 min 30 s to go",
    );
  });

  it("sums up best, worst and the gap between them", () => {
    const model = modelOf([trial(0, 0.9, "completed"), trial(1, 0.95, "completed"), trial(2, null, "failed")]);
    const summary = summarize(model, 61_000);
    expect(summary?.best).toMatchObject({ trial: "3/1", value: 0.95 });
    expect(summary?.worst).toMatchObject({ trial: "3/0", value: 0.9 });
    expect(summary?.seconds).toBe(60);
    const lines = summary ? summaryLines(summary, "convsweep", makePaint(false)) : [];
    expect(lines.find((line) => line.startsWith("worst"))).toContain("5.0 points worse");
    expect(lines.filter((line) => line.startsWith("  convsweep "))).toHaveLength(3);
  });
});
