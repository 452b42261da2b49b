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
 * At the end an independent reader of the database checks: every sweep has exactly run_cap trials, all of them completed or quarantined; a
 * completed trial has each epoch exactly once; every report that a model worker saw acknowledged is there with its value;
 * `integrity_check` is ok. Prints one JSON line; exit code 1 when anything is wrong.
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
import { ModelWorker, reportedValue } from "./model-worker.mjs";

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
  const rows = (sql) => db.prepare(sql).all();
  if (db.pragma("integrity_check", { simple: true }) !== "ok") problems.push("integrity_check is not ok");
  const states = rows("SELECT sweep, state, cause, count(*) AS n FROM trials GROUP BY 1, 2, 3");
  for (let sweep = 1; sweep <= sweeps; sweep += 1) {
    const own = states.filter((row) => row.sweep === sweep);
    const total = own.reduce((sum, row) => sum + row.n, 0);
    if (total !== RUN_CAP) problems.push(`sweep ${sweep} has ${total} trials instead of ${RUN_CAP}`);
    // Nothing in these sweeps diverges: an engine that cannot train them has tested nothing. A trial that saw three
    // workers die, the last time alone, is quarantined, and nobody can tell it from one that killed them.
    const other = own.filter(({ state, cause }) => state !== "completed" && !cause.startsWith("quarantined: "));
    if (other.length > 0) problems.push(`sweep ${sweep} has trials that are ${other.map((row) => row.state)}`);
  }
  // A trial's epochs are those of its completed attempt, and before where that went on from a checkpoint.
  const twice = rows("SELECT attempt, epoch, metric FROM reports GROUP BY 1, 2, 3 HAVING count(*) > 1");
  if (twice.length > 0) problems.push(`${twice.length} reports are there twice`);
  const incomplete = rows(
    `SELECT t.sweep, t.number FROM trials t WHERE t.state = 'completed' AND
       (SELECT count(DISTINCT r.epoch) FROM reports r WHERE r.trial = t.id AND r.metric = 'val_loss') <> ${EPOCHS}`,
  );
  if (incomplete.length > 0) problems.push(`${incomplete.length} completed trials lack an epoch`);
  const values = new Map();
  for (const { attempt, epoch, value } of rows("SELECT * FROM reports WHERE metric = 'val_loss'")) {
    values.set(`${attempt} ${epoch}`, value);
  }
  let missing = 0;
  for (const key of acked) {
    const [attempt, epoch] = key.split(" ");
    if (values.get(key) !== reportedValue(attempt, Number(epoch), "val_loss")) missing += 1;
  }
  if (missing > 0) problems.push(`${missing} acknowledged reports are missing or differ`);
  const attempts = rows("SELECT state, count(*) AS n FROM attempts GROUP BY 1");
  const total = Object.fromEntries(
    states.reduce((map, row) => map.set(row.state, (map.get(row.state) ?? 0) + row.n), new Map()),
  );
  db.close();
  return { trials: total, attempts: Object.fromEntries(attempts.map((row) => [row.state, row.n])) };
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
