/**
 * Images a second of each catalogue network, with 1 lane and with 8, beside PyTorch where it is installed.
 *
 * usage: npm run bench -- [--networks a,b] [--threads N] [--seconds S] [--rounds R] [--python PATH] [--json]
 *
 * Everything of one network is measured in one run, ours and PyTorch's in turn, and the medians of the rounds compared.
 * PyTorch is taken at its best of 1 or all threads, channels first or last, and for 8 trials of one process a core at 1
 * thread each, which on a CPU is the fastest way to run several there. A step is a training step: batch from a resident set,
 * forward, loss, backward, update.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { hyperparameters } from "../../dist/native/hyperparameters.js";
import { loadEngine } from "../../dist/native/index.js";
import { networks } from "../../dist/native/networks/index.js";
import { recipeFor } from "../../dist/native/networks/recipe-for.js";
import { inferShapes } from "../../dist/native/networks/shapes.js";

const { values: flags } = parseArgs({
  options: {
    networks: { type: "string" },
    threads: { type: "string", default: String(availableParallelism()) },
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: "python3" },
    json: { type: "boolean", default: false },
  },
});
const threads = Number(flags.threads);
const seconds = Number(flags.seconds);
const rounds = Number(flags.rounds);
const wanted = flags.networks?.split(",") ?? networks.map((network) => network.name);
for (const name of wanted) {
  if (!networks.some((network) => network.name === name)) {
    process.stderr.write(`no network ${name}; there are ${networks.map((network) => network.name).join(", ")}\n`);
    process.exit(2);
  }
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const engine = loadEngine();
const script = fileURLToPath(new URL("pytorch_images_per_second.py", import.meta.url));
const torch = spawnSync(flags.python, ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8" });
const torchVersion = torch.status === 0 ? torch.stdout.trim() : null;
if (torchVersion === null) process.stderr.write(`no PyTorch for ${flags.python}; measuring the engine alone\n`);

function benchRecipe(network) {
  const train = Math.max(6_000, network.defaults.batch_size * 4);
  const dataset = {
    name: "bench",
    shape: network.input,
    classes: 10,
    validation: 10,
    train_images: train,
    test_images: 0,
    seed: null,
    ...(network.text ? { text: { path: "/bench", sha256: "", characters: "abcdefghij" } } : {}),
  };
  return recipeFor(network, dataset, { epochs: 1_000_000, hyperparameters: { learning_rate: 1e-4 } });
}

function registerImages(recipe) {
  const { shape, classes, train_images: count, name } = recipe.dataset;
  const digest = `${name} ${shape.join("x")} ${count}`;
  if (engine.hasDataset(digest)) return digest;
  const pixels = shape[0] * shape[1] * shape[2];
  if (recipe.dataset.text) {
    const none = new Uint8Array(0);
    const trainImages = Uint8Array.from({ length: count * pixels + 1 }, (_, i) => (i * 7) % classes);
    const arrays = { shape, classes, text: true, trainImages, trainLabels: none, testImages: none, testLabels: none };
    engine.registerDataset(digest, arrays);
    return digest;
  }
  const images = Uint8Array.from({ length: count * pixels }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  engine.registerDataset(digest, {
    shape,
    classes,
    trainImages: images,
    trainLabels: labels,
    testImages: new Uint8Array(0),
    testLabels: new Uint8Array(0),
  });
  return digest;
}

/** Images a second of all lanes together, over about `seconds`, evaluation left out. */
function measureEngine(recipe, lanes) {
  const session = engine.createSession({
    recipe: JSON.stringify(recipe),
    device: "cpu",
    dataset: registerImages(recipe),
    lanes,
    threads,
    isa: "auto",
    control: null,
  });
  const vector = Float64Array.from(hyperparameters, ({ name }) => recipe.hyperparameters[name] ?? Number.NaN);
  for (let lane = 0; lane < lanes; lane += 1)
    session.addLane({ seed: BigInt(lane + 1), hyperparameters: vector, checkpoint: null });
  const steps = () => session.runSlice({ maxMillis: 1, maxSteps: 1 }).positions.reduce((sum, at) => sum + at.step, 0);
  session.runSlice({ maxMillis: 300, maxSteps: null });
  const before = steps();
  const started = performance.now();
  do session.runSlice({ maxMillis: 200, maxSteps: null });
  while (performance.now() - started < 1000 * seconds);
  const took = (performance.now() - started) / 1000;
  const rate = ((steps() - before) * recipe.batch_size) / took;
  session.close();
  return rate;
}

/** Runs `count` PyTorch processes at once; the sum of their rates. */
async function measureTorch(file, count, threadsEach, layout) {
  const one = () =>
    new Promise((resolve, reject) => {
      const child = spawn(flags.python, [script, file, String(threadsEach), String(seconds), layout], {
        env: { ...process.env, OMP_NUM_THREADS: String(threadsEach) },
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      child.stdout.on("data", (chunk) => (text += chunk));
      child.on("error", reject);
      child.on("close", (code) =>
        code === 0 ? resolve(JSON.parse(text).images_per_second) : reject(new Error(`PyTorch ended with ${code}`)),
      );
    });
  const rates = await Promise.all(Array.from({ length: count }, one));
  return rates.reduce((sum, rate) => sum + rate, 0);
}

const folder = mkdtempSync(join(tmpdir(), "convsweep-bench-"));
const results = [];
try {
  for (const network of networks.filter(({ name }) => wanted.includes(name))) {
    const recipe = benchRecipe(network);
    const file = join(folder, `${network.name}.json`);
    writeFileSync(file, JSON.stringify(recipe));
    const ours = { 1: [], 8: [] };
    const theirs = { 1: new Map(), 8: new Map() };
    const push = (map, key, value) => map.set(key, [...(map.get(key) ?? []), value]);
    for (let round = 0; round < rounds; round += 1) {
      for (const lanes of [1, 8]) ours[lanes].push(measureEngine(recipe, lanes));
      if (torchVersion === null) continue;
      for (const layout of network.input[0] === 1 && !network.layers.some((layer) => layer.op === "conv2d")
        ? ["nchw"]
        : ["nchw", "nhwc"]) {
        for (const n of new Set([1, threads]))
          push(theirs[1], `${n} threads ${layout}`, await measureTorch(file, 1, n, layout));
        push(theirs[8], `${threads} processes ${layout}`, await measureTorch(file, threads, 1, layout));
      }
    }
    const best = (map) =>
      [...map].map(([how, rates]) => ({ how, rate: median(rates) })).sort((a, b) => b.rate - a.rate)[0] ?? null;
    const single = best(theirs[1]);
    const many = [best(theirs[8]), single].filter(Boolean).sort((a, b) => b.rate - a.rate)[0] ?? null;
    const work = inferShapes(network.layers, network.input).reduce((sum, layer) => sum + layer.multiplyAdds, 0);
    const result = {
      network: network.name,
      batch: recipe.batch_size,
      threads,
      forwardMultiplyAdds: work,
      engine: { 1: median(ours[1]), 8: median(ours[8]) },
      torch: { 1: single, 8: many, version: torchVersion },
    };
    results.push(result);
    if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else print(result, results.length === 1);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function print({ network, batch, engine: own, torch: peer }, first) {
  const rate = (value) => Math.round(value).toLocaleString("en").padStart(10);
  const ratio = (mine, other) => (other === null ? "" : `${(mine / other.rate).toFixed(2)}x`.padStart(8));
  if (first) {
    process.stdout.write(
      `training images a second, ${threads} threads, median of ${rounds} rounds of ${seconds} s${torchVersion ? `, PyTorch ${torchVersion} at its best` : ""}\n`,
    );
    process.stdout.write(
      `${"network".padEnd(15)}${"batch".padStart(6)}${"1 lane".padStart(11)}${"8 lanes".padStart(11)}${torchVersion ? `${"PyTorch 1".padStart(11)}${"PyTorch 8".padStart(11)}${"ratio 1".padStart(9)}${"ratio 8".padStart(8)}` : ""}\n`,
    );
  }
  const torchText =
    peer[1] === null
      ? ""
      : ` ${rate(peer[1].rate)} ${rate(peer[8].rate)} ${ratio(own[1], peer[1])}${ratio(own[8], peer[8])}`;
  process.stdout.write(
    `${network.padEnd(15)}${String(batch).padStart(6)} ${rate(own[1])} ${rate(own[8])}${torchText}\n`,
  );
}
