/**
 * Kills the coordinator, or workers, again and again in mid-sweep, and checks that exactly the trials asked for end up on
 * record.
 *
 * usage: node test/long/kill-cycles.mjs coordinator|worker [--cycles 200] [--seed 1] [--keep]
 *
 * coordinator  One real worker trains and four model workers report; the coordinator gets SIGKILL at a random instant
 *              after new reports are durable, and is started again at once on the same store.
 * worker       Two real workers train; one of them, in turn, gets SIGKILL at a random instant and is started again under
 *              its name.
 *
 * At the end an independent reader of the database (kill-reader.mjs) checks: every sweep has exactly its run_cap trials, all
 * of them completed or quarantined; a completed trial has each epoch exactly once; every report that a model worker saw
 * acknowledged is there with its values; `integrity_check` is ok. Prints one JSON line; exit code 1 when anything is wrong.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { credentials } from "@grpc/grpc-js";
import Database from "better-sqlite3";
import { readRecord } from "./kill-reader.mjs";
import { ModelWorker } from "./model-worker.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cycles: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    keep: { type: "boolean", default: false },
  },
});
const victim = positionals[0];
if (victim !== "coordinator" && victim !== "worker") {
  process.stderr.write("usage: node test/long/kill-cycles.mjs coordinator|worker [--cycles N] [--seed N]\n");
  process.exit(2);
}
const cycles = Number(flags.cycles);
const EPOCHS = 5;
const RUN_CAP = 60;

const root = fileURLToPath(new URL("../../", import.meta.url));
const cli = join(root, "dist/coordinator/cli/main.js");
const workerMain = join(root, "dist/worker/main.js");
const folder = mkdtempSync(join(tmpdir(), "convsweep-kill-"));
const store = join(folder, "store");
const environment = { ...process.env, CONVSWEEP_STORE: store, NO_COLOR: "1" };

// Park and Miller: the instants of a run can be had again from its seed.
let state = Number(flags.seed) || 1;
const random = () => {
  state = (state * 48271) % 2147483647;
  return state / 2147483647;
};
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

const children = new Set();
function start(command, args) {
  const child = spawn(command, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  child.errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    child.errors = (child.errors + text).slice(-4000);
  });
  children.add(child);
  child.ended = new Promise((resolve) =>
    child.once("close", (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    }),
  );
  return child;
}

let address = "127.0.0.1:0";
async function startCoordinator() {
  const child = start(process.execPath, [cli, "up", "--listen", address, "--page", "127.0.0.1:0", "--json"]);
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line);
    if (event.event === "up") {
      address = String(event.grpc);
      child.stdout.resume();
      return child;
    }
  }
  throw new Error(`the coordinator ended: ${child.errors}`);
}

function startWorker(name) {
  const child = start(process.execPath, [
    workerMain,
    "join",
    "--coordinator",
    address,
    "--token-file",
    join(store, "worker.token"),
    "--name",
    name,
    "--lanes",
    "2",
    "--threads",
    "1",
  ]);
  child.stdout.resume();
  return child;
}

const reader = () => new Database(join(store, "convsweep.db"), { readonly: true, fileMustExist: true });
function count(sql) {
  const db = reader();
  try {
    return Object.values(db.prepare(sql).get())[0];
  } finally {
    db.close();
  }
}

async function submit(index) {
  const file = join(folder, "sweep.json");
  const sweep = {
    name: `kill-${index}`,
    network: "logit",
    dataset: { name: "synthetic-digits", train_images: 3000, test_images: 100 },
    epochs: EPOCHS,
    batch_size: 20,
    optimizer: "momentum",
    metric: { name: "val_accuracy", goal: "maximize" },
    method: "random",
    seed: index + 1,
    run_cap: RUN_CAP,
    max_attempts: 1000,
    parameters: { learning_rate: { distribution: "log_uniform_values", min: 1e-3, max: 0.1 } },
  };
  writeFileSync(file, JSON.stringify(sweep));
  // The answer may come too late, also of a sweep that was taken: the record says whether it was.
  for (let tries = 1; count("SELECT count(*) FROM sweeps") === index; tries += 1) {
    const run = start(process.execPath, [cli, "run", file, "--detach", "--json"]);
    run.stdout.resume();
    const { code } = await run.ended;
    if (code !== 0 && tries === 5) throw new Error(`run: ${run.errors}`);
  }
}

/** Acknowledged to a model worker: `attempt epoch`. */
const acked = new Set();
const problems = [];

async function main() {
  let coordinator = await startCoordinator();
  const workers = [];
  const models = [];
  if (victim === "worker") workers.push(startWorker("w0"), startWorker("w1"));
  else {
    workers.push(startWorker("w0"));
    const token = readFileSync(join(store, "worker.token"), "utf8").trim();
    for (let i = 0; i < 4; i += 1) {
      const model = new ModelWorker({
        address,
        credentials: credentials.createInsecure(),
        token,
        name: `model-${i}`,
        lanes: 2,
        epochs: EPOCHS,
        epochMillis: 40,
        onAcked: ({ attempt, epoch }) => acked.add(`${attempt} ${epoch}`),
      });
      model.open();
      models.push(model);
    }
  }
  let sweeps = 0;
  const began = Date.now();
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    if (count("SELECT count(*) FROM sweeps WHERE state = 'running'") === 0) {
      await submit(sweeps);
      sweeps += 1;
    }
    // The instant: some time after something new is durable.
    const before = count("SELECT count(*) FROM reports");
    const deadline = Date.now() + 30_000;
    while (count("SELECT count(*) FROM reports") === before && Date.now() < deadline) {
      if (count("SELECT count(*) FROM sweeps WHERE state = 'running'") === 0) break;
      await sleep(5);
    }
    await sleep(random() * 300);
    if (victim === "coordinator") {
      coordinator.kill("SIGKILL");
      await coordinator.ended;
      coordinator = await startCoordinator();
    } else {
      const which = cycle % 2;
      workers[which].kill("SIGKILL");
      await workers[which].ended;
      workers[which] = startWorker(`w${which}`);
    }
    if (cycle % 20 === 19) process.stderr.write(`${cycle + 1} cycles, ${Math.round((Date.now() - began) / 1000)} s\n`);
  }
  const deadline = Date.now() + 180_000;
  while (count("SELECT count(*) FROM sweeps WHERE state = 'running'") > 0) {
    if (Date.now() > deadline) {
      problems.push("a sweep did not end within three minutes after the last kill");
      break;
    }
    await sleep(200);
  }
  for (const model of models) model.close();
  coordinator.kill("SIGTERM");
  await coordinator.ended;
  for (const worker of workers) worker.kill("SIGTERM");
  return { sweeps, seconds: Math.round((Date.now() - began) / 1000) };
}

function check(sweeps) {
  const db = reader();
  const { problems: found, ...counts } = readRecord(db, { sweeps, runCap: RUN_CAP, epochs: EPOCHS, acked });
  db.close();
  problems.push(...found);
  return counts;
}

let exitCode = 1;
try {
  const { sweeps, seconds } = await main();
  const found = check(sweeps);
  const result = { victim, cycles, seed: Number(flags.seed), seconds, sweeps, run_cap: RUN_CAP, ...found };
  process.stdout.write(`${JSON.stringify({ ...result, acknowledged_checked: acked.size, problems })}\n`);
  exitCode = problems.length === 0 ? 0 : 1;
} catch (error) {
  process.stdout.write(`${JSON.stringify({ victim, problems: [...problems, String(error?.stack ?? error)] })}\n`);
} finally {
  for (const child of children) child.kill("SIGKILL");
  if (flags.keep || exitCode !== 0) process.stderr.write(`the store is kept: ${store}\n`);
  else rmSync(folder, { recursive: true, force: true });
}
process.exit(exitCode);
