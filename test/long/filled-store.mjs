/** Stores that hold a long history, written through the store as the coordinator writes it, only faster. */
import { compileSweep } from "../../dist/coordinator/recipe/compile.js";
import { openSqliteStore } from "../../dist/coordinator/store/sqlite.js";

const METRICS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "images_per_second"];
const TRIALS_A_COMMIT = 500;

/** The sweep's record as the core would have made it when it was submitted. `file`: the sweep file as an object. */
export function sweepRecord(file, trials, state = "completed") {
  const { spec } = compileSweep(JSON.stringify(file), "sweep.json");
  const done = state === "completed";
  return {
    id: 1,
    spec,
    state,
    cause: "",
    createdAt: 1_000,
    endedAt: done ? 2_000 : null,
    nextTrial: trials,
    samplerState: null,
    schedulerState: null,
  };
}

const unit = (number, salt) => {
  const hash = Math.imul((number + 1) * 2654435761 + salt * 40503, 2246822519) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
};

/** A trial that ended well after `epochs`. `parameters` of the sweep's space. */
export function finishedTrial(number, epochs, parameters) {
  const metrics = Object.fromEntries(METRICS.map((name, i) => [name, unit(number, i)]));
  return {
    id: `1/${number}`,
    sweep: 1,
    number,
    parameters,
    seed: number.toString(16).padStart(16, "0"),
    cohortKey: "key",
    origin: { kind: "sampled" },
    state: "completed",
    cause: "",
    attempts: 1,
    losses: 0,
    notBefore: 0,
    epoch: epochs,
    best: { value: metrics.val_accuracy, epoch: epochs },
    last: metrics.val_accuracy,
    metrics,
    lineage: [],
    createdAt: 1_000,
    startedAt: 1_100,
    endedAt: 1_900,
    weightsHash: "ab".repeat(32),
    fingerprint: "model",
    worker: "w",
    device: "cpu",
    verified: null,
    killed: [],
    checkpoints: [],
  };
}

function finishedAttempt(number, epochs) {
  return {
    id: `1/${number}#1`,
    trial: `1/${number}`,
    n: 1,
    token: number + 1,
    worker: "w",
    incarnation: "life-of-w",
    device: "cpu",
    state: "finished",
    leaseUntil: 0,
    fromEpoch: 0,
    lastEpoch: epochs,
    offeredAt: 1_050,
    startedAt: 1_100,
    endedAt: 1_900,
    cause: "",
    fingerprint: "model",
    stopping: null,
  };
}

/** One completed sweep of `trials` finished trials with `epochs` reports of six metrics each. */
export function fillStore(folder, trials, epochs) {
  const store = openSqliteStore(folder, { create: true });
  const file = {
    name: "history",
    network: "logit",
    dataset: "synthetic-digits",
    epochs: Math.max(1, epochs),
    method: "random",
    run_cap: trials,
    parameters: { learning_rate: { distribution: "log_uniform_values", min: 1e-3, max: 0.1 } },
  };
  store.commit([
    { kind: "putSweep", sweep: sweepRecord(file, trials) },
    { kind: "setSweeps", last: 1 },
    { kind: "setTokens", last: trials },
  ]);
  for (let from = 0; from < trials; from += TRIALS_A_COMMIT) {
    const batch = [];
    for (let number = from; number < Math.min(trials, from + TRIALS_A_COMMIT); number += 1) {
      const trial = finishedTrial(number, epochs, { learning_rate: 1e-3 + 0.099 * unit(number, 9) });
      batch.push({ kind: "putTrial", trial }, { kind: "putAttempt", attempt: finishedAttempt(number, epochs) });
      for (let epoch = 1; epoch <= epochs; epoch += 1) {
        const metrics = Object.fromEntries(METRICS.map((name, i) => [name, unit(number * 1000 + epoch, i)]));
        const report = { trial: trial.id, attempt: `${trial.id}#1`, epoch, step: epoch, metrics, at: 1_100 + epoch };
        batch.push({ kind: "addReport", report });
      }
    }
    store.commit(batch);
  }
  store.close();
}
