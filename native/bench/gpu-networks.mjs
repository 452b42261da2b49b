/**
 * Images a second of catalogue networks on a GPU, with 1 lane and with many, beside PyTorch on the same GPU in the same run.
 *
 * usage: node native/bench/gpu-networks.mjs [--device cuda:0] [--networks a,b] [--lanes 64] [--seconds S] [--rounds R]
 *        [--python PATH] [--json FILE]
 *
 * A step is a training step: batch from a resident set, forward, loss, backward, update. PyTorch's ways are a plain loop
 * (eager), the whole step in one CUDA graph, and as many trials as there are lanes in one vmapped step, in one graph; TF32
 * allowed (its tensor cores), and once more without. Ours is float32. Medians of the rounds; ours and theirs in turn.
 * TFLOP/s counts the multiplications and additions of the definitions.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { flopsAStep } from "./profile.mjs";
import { benchRecipe, engine, networksNamed, openSession, runFor } from "./sessions.mjs";

const { values: flags } = parseArgs({
  options: {
    device: { type: "string", default: "cuda:0" },
    networks: { type: "string", default: "tinycnn,lenet-dropout,convnet5" },
    lanes: { type: "string", default: "64" },
    seconds: { type: "string", default: "1" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: process.env.CONVSWEEP_PYTHON ?? "python3" },
    json: { type: "string" },
  },
});
const seconds = Number(flags.seconds);
const lanes = Number(flags.lanes);
const script = fileURLToPath(new URL("pytorch_gpu_images_per_second.py", import.meta.url));
const found = engine.devices().find(({ id }) => id === flags.device);
if (found === undefined || found.unusable !== null) {
  process.stderr.write(`gpu-networks: ${flags.device}: ${found?.unusable ?? "no such device"}\n`);
  process.exit(2);
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? null;

/** Images a second of all lanes together, evaluation left out. */
function ours(recipe, count) {
  const session = openSession(recipe, { device: flags.device, lanes: count, threads: 1, profile: false });
  session.runSlice({ maxMillis: 300, maxSteps: null });
  const run = runFor(session, seconds);
  session.close();
  return (run.steps * recipe.batch_size) / run.seconds;
}

/** Null where the interpreter lacks PyTorch, or PyTorch the network or the memory. */
function theirs(file, way, more = []) {
  const run = spawnSync(flags.python, [script, file, way, String(seconds), ...more], { encoding: "utf8" });
  return run.status === 0 ? JSON.parse(run.stdout).images_per_second : null;
}

const ways = [
  ["eager", "eager", []],
  ["graph", "graph", []],
  ["graph float32", "graph", ["--float32"]],
  [`vmap ${lanes}`, `vmap:${lanes}`, []],
  [`vmap ${lanes} float32`, `vmap:${lanes}`, ["--float32"]],
];
const rate = (value, width) => (value === null ? "-" : Math.round(value).toLocaleString("en")).padStart(width);
const results = [];
const folder = mkdtempSync(join(tmpdir(), "convsweep-bench-"));
try {
  process.stdout.write(
    `${found.name}; training images a second, medians of ${flags.rounds} rounds of ${seconds} s; PyTorch with TF32 unless it says float32\n` +
      `${"network".padEnd(15)}${"batch".padStart(6)}${"1 lane".padStart(12)}${"µs/step".padStart(9)}${`${lanes} lanes`.padStart(12)}` +
      `${"µs/trial".padStart(9)}${"TFLOP/s".padStart(9)}${ways.map(([name]) => name.padStart(16)).join("")}\n`,
  );
  for (const network of networksNamed(flags.networks.split(","))) {
    const recipe = benchRecipe(network);
    const file = join(folder, `${network.name}.json`);
    writeFileSync(file, JSON.stringify(recipe));
    const rates = { 1: [], [lanes]: [], peers: ways.map(() => []) };
    for (let round = 0; round < Number(flags.rounds); round += 1) {
      for (const count of new Set([1, lanes])) rates[count].push(ours(recipe, count));
      for (const [i, [, way, more]] of ways.entries()) rates.peers[i].push(theirs(file, way, more));
    }
    const alone = median(rates[1]);
    const together = median(rates[lanes]);
    const peers = rates.peers.map((all) => (all.includes(null) ? null : median(all)));
    const tflops = (together / recipe.batch_size) * flopsAStep(network) * 1e-12;
    const micros = (value) => ((recipe.batch_size / value) * 1e6).toFixed(1).padStart(9);
    process.stdout.write(
      `${network.name.padEnd(15)}${String(recipe.batch_size).padStart(6)}${rate(alone, 12)}${micros(alone)}${rate(together, 12)}` +
        `${micros(together)}${tflops.toFixed(1).padStart(9)}${peers.map((value) => rate(value, 16)).join("")}\n`,
    );
    results.push({
      network: network.name,
      batch: recipe.batch_size,
      lanes,
      alone,
      together,
      tflops,
      pytorch: Object.fromEntries(ways.map(([name], i) => [name, peers[i]])),
    });
  }
  if (flags.json) writeFileSync(flags.json, JSON.stringify({ device: found.name, seconds, results }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
