/**
 * What a trial costs that trains nothing: one report, one end. The built coordinator with a model worker over its socket,
 * and beside it, in the same run, Optuna on SQLite in the same folder.
 *
 * usage: node test/long/bookkeeping.mjs [--trials 4000] [--lanes 1,64] [--store FOLDER]
 *          [--python PROGRAM] [--optuna-trials 200]
 *
 * `wall_ms`: time a trial; with one lane each waits for the one before, disk included. `cpu_ms`: the coordinator's
 * processor time a trial (Optuna's: of its one process). Optuna is left out without --python, a Python that has it.
 * Prints one JSON line a measurement.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { ModelWorker } from "./model-worker.mjs";
import { machineLoad, Site, usage } from "./processes.mjs";

const { values: flags } = parseArgs({
  options: {
    trials: { type: "string", default: "4000" },
    lanes: { type: "string", default: "1,64" },
    store: { type: "string" },
    python: { type: "string" },
    "optuna-trials": { type: "string", default: "200" },
  },
});

const say = (line) => process.stdout.write(`${JSON.stringify({ ...line, machine_load: machineLoad() })}\n`);
const figure = (value) => Number(value.toFixed(3));

async function ours(lanes, trials) {
  const site = new Site(flags.store);
  try {
    const { address } = await site.up();
    // Some trials first, so that the program is warm.
    const warm = Math.ceil(trials / 4);
    await site.submit({ run_cap: warm + trials });
    let acked = 0;
    let begin = null;
    let done;
    const finished = new Promise((resolve) => {
      done = resolve;
    });
    const worker = new ModelWorker({
      address,
      credentials: credentials.createInsecure(),
      token: site.workerToken(),
      name: "bookkeeping",
      lanes,
      epochs: 1,
      epochMillis: 0,
      onAcked: () => {
        acked += 1;
        if (acked === warm) begin = { at: performance.now(), cpu: usage(site.coordinator.pid).cpu };
        if (acked === warm + trials) done();
      },
    });
    worker.open();
    await finished;
    const wall = performance.now() - begin.at;
    const cpu = (usage(site.coordinator.pid).cpu - begin.cpu) * 1000;
    worker.close();
    say({ what: "convsweep", lanes, trials, wall_ms: figure(wall / trials), cpu_ms: figure(cpu / trials) });
  } finally {
    await site.remove();
  }
}

const OPTUNA = `
import json, sys, time
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage="sqlite:///" + sys.argv[1], sampler=optuna.samplers.RandomSampler(seed=0))
def objective(trial):
    trial.suggest_float("learning_rate", 1e-3, 0.1, log=True)
    trial.report(0.5, 1)
    return 0.5
trials = int(sys.argv[2])
study.optimize(objective, n_trials=max(1, trials // 4))
wall, cpu = time.perf_counter(), time.process_time()
study.optimize(objective, n_trials=trials)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"version": optuna.__version__, "wall": wall, "cpu": cpu}))
`;

async function optuna(trials) {
  const site = new Site(flags.store);
  try {
    const text = execFileSync(flags.python, ["-c", OPTUNA, join(site.folder, "optuna.db"), String(trials)], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const { version, wall, cpu } = JSON.parse(text);
    const each = (seconds) => figure((seconds * 1000) / trials);
    say({ what: `optuna ${version}, SQLite`, lanes: 1, trials, wall_ms: each(wall), cpu_ms: each(cpu) });
  } finally {
    await site.remove();
  }
}

for (const lanes of flags.lanes.split(",").map(Number)) {
  await ours(lanes, lanes === 1 ? Math.ceil(Number(flags.trials) / 8) : Number(flags.trials));
}
if (flags.python !== undefined) await optuna(Number(flags["optuna-trials"]));
