/**
 * A real sweep through coordinator and worker on a GPU: `lenet-dropout` on MNIST, 64 trials as lanes of cohorts.
 *
 * usage: node native/bench/gpu-sweep.mjs [--devices cuda:0] [--trials 64] [--epochs 3] [--lanes N] [--data DIR]
 *        [--limit SECONDS] [--store DIR] [--json FILE]
 *
 * Needs a built checkout (dist/, node_modules/, native/build/engine.node) and a Node; nothing else of a machine, no
 * network. MNIST is read from --data, else CONVSWEEP_DATA; without it generated digits are trained on, and it says so.
 * What the user would type is run: `devices`, `doctor`, `up` with a local worker, `run`, `trials`, `workers`,
 * `trial rerun --verify` of the best trial. Prints their output and a table, with what NVML said of the devices four times a
 * second while the sweep ran; --json also writes one JSON file.
 *
 * Exit code 0 when every trial ended and the rerun was equal to the bit, 1 when not, 2 when something it takes is missing.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));
const main = join(root, "dist/coordinator/cli/main.js");

function lacks(what) {
  process.stderr.write(`gpu-sweep: ${what}\n`);
  process.exit(2);
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        devices: { type: "string", default: "cuda:0" },
        trials: { type: "string", default: "64" },
        epochs: { type: "string", default: "3" },
        lanes: { type: "string" },
        data: { type: "string", default: process.env.CONVSWEEP_DATA },
        limit: { type: "string", default: "300" },
        store: { type: "string" },
        json: { type: "string" },
      },
    }).values;
  } catch (error) {
    return lacks(`${error.message}; see the head of ${fileURLToPath(import.meta.url)}`);
  }
}

const flags = readFlags();
const [trials, epochs, limit] = ["trials", "epochs", "limit"].map((name) => {
  if (/^[1-9][0-9]{0,5}$/.test(flags[name])) return Number(flags[name]);
  return lacks(`--${name}: expected a whole number from 1, found \`${flags[name]}\``);
});
const store = flags.store === undefined ? mkdtempSync(join(tmpdir(), "convsweep-gpu-")) : resolve(flags.store);
const environment = { ...process.env, ...(flags.data === undefined ? {} : { CONVSWEEP_DATA: resolve(flags.data) }) };

/** Starts a verb of the command line; every line of its standard output goes to `onLine` as it comes. */
function start(args, onLine = () => undefined, json = true) {
  const child = spawn(process.execPath, [main, ...args, "--store", store, ...(json ? ["--json"] : [])], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = [];
  let errors = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    onLine(line);
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    errors += text;
    process.stderr.write(text);
  });
  const ended = new Promise((done, fail) =>
    child.once("error", fail).once("close", (code) => done({ code, lines, errors })),
  );
  return { child, ended };
}

async function finished(args, json = true) {
  const { child, ended } = start(args, undefined, json);
  const timer = setTimeout(() => child.kill("SIGKILL"), limit * 1_000);
  const result = await ended;
  clearTimeout(timer);
  return result;
}

/** The verb's last line as a value. */
async function answer(args) {
  const { code, lines, errors } = await finished(args);
  if (lines.length === 0) throw new Error(`${args.join(" ")} ended with ${code} and said: ${errors}`);
  return { code, value: JSON.parse(lines.at(-1)) };
}

/** As a person sees it. */
async function shown(args) {
  process.stdout.write(`\n$ convsweep ${args.join(" ")}\n`);
  const { code, lines } = await finished(args, false);
  process.stdout.write(`${lines.join("\n")}\n`);
  return { command: args.join(" "), code, lines };
}

async function rows(sql) {
  const { lines } = await finished(["query", sql, "--format", "jsonl"]);
  return lines.map((line) => JSON.parse(line));
}

/** Ends with exit code 2 unless everything is there. Answers the devices that will be used. */
async function requireEverything() {
  if (!existsSync(main)) lacks(`this checkout is not built: ${main} is missing; run \`npm ci && npm run build\``);
  try {
    const Database = createRequire(pathToFileURL(main))("better-sqlite3");
    new Database(":memory:").close();
  } catch (error) {
    lacks(`better-sqlite3 does not work here: ${error.message.split("\n")[0]}; run \`npm ci\` on this kind of machine`);
  }
  const { code, lines, errors } = await finished(["devices"]);
  if (code !== 0) lacks(`the engine does not work here: ${errors}`);
  const { devices } = JSON.parse(lines.at(-1));
  const wanted = flags.devices.split(",");
  for (const id of wanted) {
    const found = devices.find((device) => device.id === id);
    const there = devices.map((device) => `${device.id}${device.unusable ? ` (${device.unusable})` : ""}`).join(", ");
    if (!found) lacks(`there is no device ${id}; there are: ${there}`);
    if (found.unusable) lacks(`${id} cannot be used: ${found.unusable}`);
  }
  return devices.filter((device) => wanted.includes(device.id));
}

async function chooseDataset() {
  const { value } = await answer(["data", "list"]);
  const mnist = value.datasets.find((set) => set.name === "mnist");
  if (mnist.state !== "missing") return "mnist";
  process.stdout.write(`MNIST is not in ${value.folder}: training on generated digits instead\n`);
  return "synthetic-digits";
}

/** `up` with a local worker on the devices; answers once a worker is connected. */
async function bringUp() {
  const lanes = flags.lanes ?? String(Math.ceil(trials / flags.devices.split(",").length));
  const args = ["up", "--workers", "1", "--devices", flags.devices, "--lanes", lanes];
  let up;
  const ready = new Promise((done) => {
    up = start([...args, "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0"], (line) => done(JSON.parse(line)));
  });
  await Promise.race([ready, up.ended.then(({ code }) => Promise.reject(new Error(`up ended with ${code}`)))]);
  for (;;) {
    const [worker] = await rows("SELECT * FROM workers WHERE state = 'connected'");
    if (worker !== undefined) return up;
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** What the devices say of themselves four times a second; `stop` answers means and greatest values by device. */
async function watchUse(devices) {
  const { loadEngine } = await import(pathToFileURL(join(root, "dist/native/index.js")));
  const engine = loadEngine();
  const watched = devices.filter((device) => device.bus !== null);
  const samples = watched.map(() => []);
  let over = watched.length === 0;
  const watching = (async () => {
    while (!over) {
      const answers = await engine.deviceUse(
        watched.map((device) => device.bus),
        null,
      );
      for (const [i, answer] of answers.entries()) samples[i].push(answer);
      await new Promise((done) => setTimeout(done, 250));
    }
  })();
  const summary = (values) => {
    const known = values.filter((value) => value !== null);
    if (known.length === 0) return null;
    return { mean: known.reduce((sum, value) => sum + value, 0) / known.length, most: Math.max(...known) };
  };
  return async () => {
    over = true;
    await watching;
    return watched.map(({ id }, i) => ({
      device: id,
      samples: samples[i].length,
      ...Object.fromEntries(
        ["utilization", "memoryUsed", "temperature", "power"].map((name) => [
          name,
          summary(samples[i].map((sample) => sample[name])),
        ]),
      ),
    }));
  };
}

/** Runs the sweep to its end; `workers` is looked at once in the midst of it. */
async function runSweep(file) {
  const begin = performance.now();
  let midway = null;
  let first = null;
  const { child, ended } = start(["run", file], (line) => {
    if (!line.includes('"event":"report"') || midway !== null) return;
    first = performance.now();
    midway = finished(["workers"], false);
  });
  const timer = setTimeout(() => child.kill("SIGINT"), limit * 1_000);
  const { code, lines } = await ended;
  clearTimeout(timer);
  const seconds = (performance.now() - begin) / 1_000;
  const summary = lines.map((line) => JSON.parse(line)).find((line) => line.event === "summary") ?? null;
  const firstReport = first === null ? null : (first - begin) / 1_000;
  return { code, seconds, firstReport, summary, midway: midway === null ? [] : (await midway).lines };
}

async function measure(devices) {
  const { parse, stringify } = createRequire(pathToFileURL(main))("yaml");
  const dataset = await chooseDataset();
  // No target: every trial is to run to its end.
  const metric = { name: "val_accuracy", goal: "maximize" };
  const example = parse(readFileSync(join(root, "examples/mnist-lenet-dropout.yaml"), "utf8"));
  const sweep = { ...example, dataset, epochs, run_cap: trials, test_at_end: false, metric };
  const file = join(store, "sweep.yaml");
  const before = [await shown(["devices"]), await shown(["doctor"])];
  const up = await bringUp();
  try {
    writeFileSync(file, stringify(sweep));
    process.stdout.write(`\n$ convsweep run ${file}\n`);
    const stopWatching = await watchUse(devices);
    const run = await runSweep(file);
    const use = await stopWatching();
    if (run.summary === null) throw new Error(`the sweep did not end within ${limit} s (exit code ${run.code})`);
    process.stdout.write(`\n$ convsweep workers   # as the first epoch was reported\n${run.midway.join("\n")}\n`);
    const id = run.summary.sweep;
    const after = [await shown(["trials", String(id), "--limit", "5"]), await shown(["workers"])];
    const [{ images }] =
      await rows(`SELECT count(*) * (recipe ->> '$.dataset.train_images' - recipe ->> '$.dataset.validation') AS images
      FROM reports JOIN sweeps ON sweeps.id = sweep WHERE sweep = ${id} AND reports.metric = 'train_loss'`);
    const rerunBegin = performance.now();
    const rerun = await answer(["trial", "rerun", run.summary.best.trial, "--verify"]);
    const used = await rows(
      `SELECT device, fingerprint, count(*) AS attempts FROM attempts GROUP BY device, fingerprint`,
    );
    return {
      date: new Date().toISOString(),
      devices,
      attempts: used,
      network: sweep.network,
      dataset,
      trials,
      epochs,
      summary: run.summary,
      ended: run.summary.completed + run.summary.stopped + run.summary.failed,
      seconds: run.seconds,
      secondsToFirstReport: run.firstReport,
      use,
      images,
      imagesPerSecond: images / run.seconds,
      rerun: { ...rerun.value, seconds: (performance.now() - rerunBegin) / 1_000 },
      outputs: [...before, { command: "workers, midway", code: 0, lines: run.midway }, ...after],
    };
  } finally {
    up.child.kill("SIGTERM");
    await up.ended;
  }
}

function useText({ utilization, memoryUsed, temperature, power, samples }) {
  const parts = [
    utilization &&
      `${Math.round(100 * utilization.mean)} % busy in the mean (${Math.round(100 * utilization.most)} % at most)`,
    memoryUsed && `${(memoryUsed.most / 2 ** 30).toFixed(1)} GiB`,
    temperature && `${temperature.most} °C`,
    power && `${Math.round(power.mean)} W in the mean`,
  ];
  const said = parts.filter((part) => part !== null);
  return said.length === 0 ? "NVML says nothing" : `${said.join(", ")}; ${samples} samples`;
}

function table(result) {
  const { summary, rerun } = result;
  const cells = [
    ["devices", result.devices.map((device) => `${device.id} ${device.name}`).join("; ")],
    ["sweep", `${result.network} on ${result.dataset}, ${trials} trials of ${epochs} epochs`],
    ["trials ended", `${result.ended} of ${trials} (${summary.completed} completed, ${summary.failed} failed)`],
    [
      "seconds",
      `${result.seconds.toFixed(2)}, the first epoch reported after ${result.secondsToFirstReport?.toFixed(2)}`,
    ],
    ["images/s", `${Math.round(result.imagesPerSecond).toLocaleString("en")} of the whole stack`],
    ...result.use.map((use) => [`use of ${use.device}`, useText(use)]),
    ["best", `${summary.metric} ${summary.best.value} (trial ${summary.best.trial})`],
    ["rerun", `${rerun.verified?.detail ?? rerun.cause} (${rerun.seconds.toFixed(2)} s, alone)`],
  ];
  return cells.map(([name, value]) => `${name.padEnd(16)} ${value}\n`).join("");
}

const devices = await requireEverything();
let failed = true;
try {
  const result = await measure(devices);
  process.stdout.write(`\n${table(result)}`);
  if (flags.json !== undefined) {
    writeFileSync(flags.json, `${JSON.stringify(result, null, 1)}\n`);
    process.stdout.write(`written to ${flags.json}\n`);
  }
  failed = result.ended !== trials || result.rerun.verified?.equal !== true;
} catch (error) {
  process.stderr.write(`gpu-sweep: ${error.message}\n`);
  const log = join(store, "logs/worker-local-1.log");
  if (existsSync(log)) process.stderr.write(`${readFileSync(log, "utf8").split("\n").slice(-20).join("\n")}\n`);
} finally {
  if (flags.store === undefined) rmSync(store, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
