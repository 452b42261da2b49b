/**
 * Images a second of each catalogue network, with 1 lane and with 8, beside PyTorch and TensorFlow where they are
 * installed, and beside the floor: the operations of a step over the multiply-adds this processor can do.
 *
 * usage: npm run bench -- [--networks a,b] [--threads N] [--seconds S] [--rounds R] [--python PATH] [--json]
 *        npm run bench -- --profile NETWORK [--lanes N] [--threads N] [--seconds S] [--json]
 *
 * Everything of one network is measured in one run, ours and theirs in turn, and the medians of the rounds compared. A
 * step is a training step: batch from a resident set, forward, loss, backward, update. The interpreter is --python, else
 * CONVSWEEP_PYTHON, else python3. The peak is measured in every round too (native/build.mjs --bench makes the program that
 * does it); the floor counts the multiplications of the definitions, so a transformed convolution can be below it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findPeers, measurePeer, waysOf } from "./peers.mjs";
import { flopsAStep, profile } from "./profile.mjs";
import { benchRecipe, networksNamed, openSession, runFor } from "./sessions.mjs";

const { values: flags } = parseArgs({
  options: {
    networks: { type: "string" },
    profile: { type: "string" },
    lanes: { type: "string", default: "8" },
    threads: { type: "string", default: String(availableParallelism()) },
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: process.env.CONVSWEEP_PYTHON ?? "python3" },
    json: { type: "boolean", default: false },
  },
});
const threads = Number(flags.threads);
const seconds = Number(flags.seconds);
const rounds = Number(flags.rounds);

if (flags.profile !== undefined) {
  for (const network of networksNamed([flags.profile]))
    profile(network, { lanes: Number(flags.lanes), threads, seconds, json: flags.json });
  process.exit(0);
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? null;
const peers = findPeers(flags.python);
if (peers.length === 0)
  process.stderr.write(`neither PyTorch nor TensorFlow for ${flags.python}; measuring the engine alone\n`);

/** GFLOP/s of all threads together; null without the program. */
function measurePeak() {
  const program = fileURLToPath(new URL("../build/cmake/bench_kernels", import.meta.url));
  if (!existsSync(program)) return null;
  const run = spawnSync(program, ["--json", "--threads", String(threads), "--only", "nothing"], { encoding: "utf8" });
  return run.status === 0 ? JSON.parse(run.stdout.split("\n")[0]).gflops : null;
}

/** Images a second of all lanes together, evaluation left out. */
function measureEngine(recipe, lanes) {
  const session = openSession(recipe, { lanes, threads, profile: false });
  session.runSlice({ maxMillis: 300, maxSteps: null });
  const run = runFor(session, seconds);
  session.close();
  return (run.steps * recipe.batch_size) / run.seconds;
}

async function measure(network, file) {
  const recipe = benchRecipe(network);
  writeFileSync(file, JSON.stringify(recipe));
  const flat = !network.layers.some((layer) => layer.op !== "flatten" && layer.op !== "linear" && layer.op !== "relu");
  const ours = { 1: [], 8: [] };
  const peaks = [];
  const theirs = peers.flatMap((peer) => waysOf(peer, threads, flat).map((way) => ({ peer, way, rates: [] })));
  for (let round = 0; round < rounds; round += 1) {
    peaks.push(measurePeak());
    for (const lanes of [1, 8]) ours[lanes].push(measureEngine(recipe, lanes));
    for (const { peer, way, rates } of theirs) {
      const rate = await measurePeer(peer, flags.python, file, seconds, way);
      if (rate !== null) rates.push(rate);
    }
  }
  // Several trials may also run one after another, each as one alone does.
  const best = (name, trials) =>
    theirs
      .filter(({ peer, way, rates }) => peer.name === name && way.trials <= trials && rates.length > 0)
      .map(({ way, rates }) => ({ ...way, rate: median(rates) }))
      .sort((a, b) => b.rate - a.rate)[0] ?? null;
  const flops = flopsAStep(network);
  const peak = peaks.includes(null) ? null : median(peaks);
  return {
    network: network.name,
    batch: recipe.batch_size,
    threads,
    flopsAStep: flops,
    peakGflops: peak,
    floor: peak === null ? null : (recipe.batch_size * peak * 1e9) / flops,
    engine: { 1: median(ours[1]), 8: median(ours[8]) },
    peers: Object.fromEntries(
      peers.map(({ name, version }) => [name, { version, 1: best(name, 1), 8: best(name, 8) }]),
    ),
  };
}

const rate = (value, width = 11) => (value === null ? "-" : Math.round(value).toLocaleString("en")).padStart(width);
const ratio = (mine, other) => (other === null ? "-" : (mine / other.rate).toFixed(2)).padStart(7);

function printHead() {
  const versions = peers.map(({ name, version }) => `${name} ${version}`).join(", ");
  process.stdout.write(
    `training images a second, ${threads} threads, median of ${rounds} rounds of ${seconds} s${versions ? `; ${versions}, each at its best` : ""}\n`,
  );
  const columns = peers.flatMap(({ name }) =>
    [1, 8].map((trials) => `${`${name} ${trials}`.padStart(13)}${"x".padStart(7)}`),
  );
  process.stdout.write(
    `${"network".padEnd(15)}${"batch".padStart(6)}${"floor".padStart(11)}${"1 lane".padStart(11)}${"8 lanes".padStart(11)}${"% floor".padStart(9)}${columns.join("")}\n`,
  );
}

function print(result) {
  const { network, batch, floor, engine: own } = result;
  const others = Object.values(result.peers).flatMap((peer) =>
    [1, 8].map((trials) => `${rate(peer[trials]?.rate ?? null, 13)}${ratio(own[trials], peer[trials])}`),
  );
  const share = floor === null ? "-" : ((100 * own[8]) / floor).toFixed(0);
  process.stdout.write(
    `${network.padEnd(15)}${String(batch).padStart(6)}${rate(floor)}${rate(own[1])}${rate(own[8])}${share.padStart(9)}${others.join("")}\n`,
  );
}

const folder = mkdtempSync(join(tmpdir(), "convsweep-bench-"));
try {
  if (!flags.json) printHead();
  for (const network of networksNamed(flags.networks?.split(","))) {
    const result = await measure(network, join(folder, `${network.name}.json`));
    if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else print(result);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
