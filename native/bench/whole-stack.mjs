/**
 * A whole sweep, from the command to the result: `convsweep run` beside Optuna with PyTorch, the same network, data,
 * search space and epochs on the same processors.
 *
 * usage: node native/bench/whole-stack.mjs [--trials 16] [--peer-trials 4] [--epochs 1] [--rounds 3] [--python PATH] [--json]
 *
 * Needs MNIST in CONVSWEEP_DATA, and optuna and torch for --python (else CONVSWEEP_PYTHON, else python3). Seconds are
 * those of the whole process: start, reading the data, training, evaluation after every epoch, records in SQLite. Ours and
 * theirs in turn, medians of the rounds. Theirs takes so long that it runs fewer trials; images/s are compared.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import { benchRecipe, networksNamed } from "./sessions.mjs";

const { values: flags } = parseArgs({
  options: {
    trials: { type: "string", default: "16" },
    "peer-trials": { type: "string", default: "4" },
    epochs: { type: "string", default: "1" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: process.env.CONVSWEEP_PYTHON ?? "python3" },
    json: { type: "boolean", default: false },
  },
});
const [trials, peerTrials, epochs, rounds] = [flags.trials, flags["peer-trials"], flags.epochs, flags.rounds].map(
  Number,
);
const processes = availableParallelism();
const TRAINING_IMAGES = 55_000;
const data = process.env.CONVSWEEP_DATA;
if (data === undefined) {
  process.stderr.write("CONVSWEEP_DATA has to name the folder of data sets, with MNIST in it\n");
  process.exit(2);
}

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "convsweep-stack-"));
const sweep = join(folder, "sweep.yaml");
const recipe = join(folder, "recipe.json");
writeFileSync(
  sweep,
  stringify({ ...parse(readFileSync(path("../../examples/mnist-lenet.yaml"), "utf8")), epochs, run_cap: trials }),
);
writeFileSync(recipe, JSON.stringify(benchRecipe(networksNamed(["lenet"])[0])));

/** Seconds from start to end of a program, and what it printed. */
async function timed(command, args, environment) {
  const begin = performance.now();
  const child = spawn(command, args, { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk) => (text += chunk));
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return { seconds: (performance.now() - begin) / 1_000, text };
}

async function ours(round) {
  const main = path("../../dist/coordinator/cli/main.js");
  const { seconds, text } = await timed(process.execPath, [
    main,
    "run",
    sweep,
    "--store",
    join(folder, `ours-${round}`),
  ]);
  if (!text.includes(`${trials} completed`)) throw new Error(`not all trials completed:\n${text}`);
  return (trials * epochs * TRAINING_IMAGES) / seconds;
}

async function theirs(round) {
  const script = path("optuna_sweep.py");
  const database = join(folder, `theirs-${round}.db`);
  const counts = [peerTrials, processes, epochs].map(String);
  const { seconds, text } = await timed(flags.python, [script, recipe, join(data, "mnist"), database, ...counts], {
    OMP_NUM_THREADS: "1",
  });
  const { trials: done } = JSON.parse(text.trim().split("\n").at(-1));
  return (done * epochs * TRAINING_IMAGES) / seconds;
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const rates = { ours: [], theirs: [] };
try {
  for (let round = 0; round < rounds; round += 1) {
    rates.ours.push(await ours(round));
    rates.theirs.push(await theirs(round));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const result = {
  network: "lenet",
  epochs,
  processors: processes,
  convsweep: { trials, imagesPerSecond: median(rates.ours), rounds: rates.ours },
  optuna: { trials: peerTrials, imagesPerSecond: median(rates.theirs), rounds: rates.theirs },
  ratio: median(rates.ours) / median(rates.theirs),
};
if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
else {
  const row = (name, count, rate) =>
    `${name.padEnd(18)} ${String(count).padStart(6)} ${Math.round(rate).toLocaleString("en").padStart(9)}\n`;
  process.stdout.write(
    `lenet on MNIST, whole sweeps of ${epochs} epoch${epochs === 1 ? "" : "s"}, ${processes} processors, median of ${rounds} rounds\n${"".padEnd(18)} trials  images/s\n` +
      row("convsweep run", trials, result.convsweep.imagesPerSecond) +
      row("Optuna + PyTorch", peerTrials, result.optuna.imagesPerSecond) +
      `ratio ${result.ratio.toFixed(2)}\n`,
  );
}
