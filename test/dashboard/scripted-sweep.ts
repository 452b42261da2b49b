/**
 * A sweep made up by rule, with the shape of a real one: accuracy falls off around a best learning rate, strong
 * regularisation underfits, too large a learning rate diverges. Deterministic in its arguments.
 *
 * Not here: serving it (scripted-coordinator.ts).
 */
import type { FeedChange, ReportRow, SweepRow, TrialRow, WorkerRow } from "../../proto/feed.js";

const EPOCHS = 10;
const LANES = 8;
/** Of one epoch; the sweep's clock runs from here. */
const EPOCH_MILLIS = 900;

export interface ScriptedSweep {
  readonly sweep: SweepRow;
  readonly trials: readonly TrialRow[];
  readonly reports: ReadonlyMap<string, readonly ReportRow[]>;
}

/** Uniform in [0, 1) from two integers (a 32-bit mix; quality enough for a picture). */
export function uniform(seed: number, n: number): number {
  let x = (seed * 0x9e3779b1 + n * 0x85ebca6b) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
}

/** `done`: trials that have ended; `running` more train, the rest waits. */
export function scriptedSweep(options: {
  readonly id: number;
  readonly name: string;
  readonly trials: number;
  readonly done: number;
  readonly running: number;
  readonly now: number;
}): ScriptedSweep {
  const { id, trials: total, done, running, now } = options;
  const startedAt = now - Math.ceil((done + running) / LANES) * EPOCHS * EPOCH_MILLIS;
  const trials: TrialRow[] = [];
  const reports = new Map<string, readonly ReportRow[]>();
  for (let number = 0; number < total; number++) {
    const epochs =
      number < done ? EPOCHS : number < done + running ? 1 + Math.floor(uniform(id, number * 11 + 7) * 8) : 0;
    const { row, curve } = scriptedTrial(id, number, epochs, startedAt, number < done + running);
    trials.push(row);
    reports.set(row.id, curve);
  }
  return { sweep: sweepRow(options, trials, startedAt), trials, reports };
}

/** A trial as it stands after `epochs` epochs. */
export function scriptedTrial(
  sweep: number,
  number: number,
  epochs: number,
  startedAt: number,
  started: boolean,
): { readonly row: TrialRow; readonly curve: readonly ReportRow[] } {
  const draw = (purpose: number) => uniform(sweep, number * 11 + purpose);
  const learningRate = 10 ** (-5 + 4 * draw(1));
  const l2 = draw(2) < 0.15 ? 0 : 10 ** (-7 + 6 * draw(3));
  const id = `${sweep}/${number}`;
  const divergesAt = learningRate > 0.045 ? 1 + Math.floor(draw(4) * 3) : Number.POSITIVE_INFINITY;
  const distance = Math.log10(learningRate) + 2.6;
  const top =
    0.992 - 0.035 * distance ** 2 - 0.35 * Math.max(0, Math.log10(l2 + 1e-9) + 2.3) ** 2 + 0.01 * (draw(5) - 0.5);
  const pace = Math.min(2.2, 0.25 + Math.sqrt(learningRate) * 14);
  const curve: ReportRow[] = [];
  for (let epoch = 1; epoch <= Math.min(epochs, divergesAt); epoch++) {
    const wobble = 0.012 * (uniform(sweep, number * 997 + epoch) - 0.5);
    const accuracy = Math.max(0.1, Math.min(0.9985, 0.1 + (top - 0.1) * (1 - Math.exp(-pace * epoch)) + wobble));
    const bad = epoch === divergesAt;
    curve.push({
      trial: id,
      epoch,
      metrics: {
        train_loss: bad ? "nan" : 2.3 * (1 - accuracy) + 0.02,
        train_accuracy: bad ? 0.098 : Math.min(0.9999, accuracy + 0.008),
        val_loss: bad ? "inf" : 2.35 * (1 - accuracy) + 0.03,
        val_accuracy: bad ? 0.098 : accuracy,
        learning_rate: learningRate,
        images_per_second: 9_200 + 900 * wobble,
      },
    });
  }
  const diverged = epochs >= divergesAt;
  const good = curve.filter((report) => report.epoch !== divergesAt);
  const values = good.map((report) => Number(report.metrics["val_accuracy"]));
  const best = values.length === 0 ? null : Math.max(...values);
  const state: TrialRow["state"] = !started
    ? "queued"
    : diverged
      ? "failed"
      : epochs < EPOCHS
        ? "running"
        : "completed";
  const begun = started ? startedAt + Math.floor(number / LANES) * EPOCHS * EPOCH_MILLIS : null;
  return {
    row: {
      id,
      sweep,
      number,
      state,
      cause: diverged ? `diverged in epoch ${divergesAt}, step ${Math.floor(draw(6) * 900)}` : "",
      origin: "sampled",
      parameters: { learning_rate: learningRate, l2, batch_size: [32, 64, 128][Math.floor(draw(8) * 3)] ?? 32 },
      best,
      bestEpoch: best === null ? null : values.indexOf(best) + 1,
      last: curve.length === 0 ? null : (curve.at(-1)?.metrics["val_accuracy"] ?? null),
      epoch: curve.length,
      metrics: curve.at(-1)?.metrics ?? {},
      attempts: started ? 1 : 0,
      worker: started ? (number % LANES < 6 ? "lab-1" : "attic") : null,
      device: started ? (number % LANES < 6 ? "cuda:0" : "cpu") : null,
      createdAt: startedAt,
      startedAt: begun,
      endedAt: begun === null || state === "running" ? null : begun + curve.length * EPOCH_MILLIS,
    },
    curve,
  };
}

function sweepRow(
  options: { readonly id: number; readonly name: string; readonly trials: number; readonly now: number },
  trials: readonly TrialRow[],
  startedAt: number,
): SweepRow {
  const counts = {
    queued: 0,
    leased: 0,
    running: 0,
    paused: 0,
    completed: 0,
    stopped: 0,
    failed: 0,
    lost: 0,
    cancelled: 0,
  };
  let best: SweepRow["best"] = null;
  let epochs = 0;
  for (const row of trials) {
    counts[row.state] += 1;
    epochs += row.state === "completed" || row.state === "failed" ? EPOCHS : row.epoch;
    if (row.state !== "failed" && row.best !== null && (best === null || row.best > best.value)) {
      best = { trial: row.id, value: row.best };
    }
  }
  const over = counts.queued + counts.running === 0;
  const progress = epochs / (options.trials * EPOCHS);
  return {
    id: options.id,
    name: options.name,
    state: over ? "completed" : "running",
    cause: over ? "run_cap" : "",
    metric: "val_accuracy",
    goal: "maximize",
    target: null,
    method: "random",
    network: "lenet-dropout",
    dataset: "mnist",
    runCap: options.trials,
    epochs: EPOCHS,
    seed: 7,
    parameters: [
      { name: "learning_rate", scale: "log" },
      { name: "l2", scale: "log" },
      { name: "batch_size", scale: "category" },
    ],
    counts,
    best,
    progress,
    etaMillis: over || progress === 0 ? null : ((options.now - startedAt) * (1 - progress)) / progress,
    createdAt: startedAt,
    endedAt: over ? options.now : null,
  };
}

const BUSY = {
  utilization: 0.87,
  memoryUsed: 9 * 2 ** 30,
  memoryTotal: 140.4 * 2 ** 30,
  temperature: 61,
  power: 412.3,
};

export function scriptedWorkers(now: number): readonly WorkerRow[] {
  return [
    {
      id: "lab-1",
      host: "lab-1.example",
      state: "connected",
      version: "0.1.0",
      devices: [{ id: "cuda:0", name: "NVIDIA H200", backend: "cuda", lanes: 16, busy: 6, use: BUSY }],
      connectedAt: now - 600_000,
      lastSeen: now,
    },
    {
      id: "attic",
      host: "attic.example",
      state: "away",
      version: "0.1.0",
      devices: [{ id: "cpu", name: "2 cores, AVX2", backend: "cpu", lanes: 2, busy: 2, use: null }],
      connectedAt: now - 500_000,
      lastSeen: now - 7_000,
    },
  ];
}

/** The next epoch of a running trial, as the feed says it. */
export function nextEpoch(row: TrialRow, startedAt: number): readonly FeedChange[] {
  const next = scriptedTrial(row.sweep, row.number, row.epoch + 1, startedAt, true);
  const report = next.curve.at(-1);
  return [
    { kind: "trial", row: next.row },
    ...(report === undefined ? [] : [{ kind: "report" as const, row: report }]),
  ];
}
