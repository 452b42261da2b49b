/**
 * Load on one coordinator: model workers on real sockets, by default a thousand over mutual TLS, each with a trial that
 * reports ten times a second and lasts ten seconds: 10,000 reports/s, 100 dispatches/s.
 *
 * usage: node test/long/load.mjs [--workers 1000] [--rate 10] [--trial-seconds 10] [--seconds 30] [--burst 1]
 *          [--security mtls|none] [--profile FOLDER]
 *
 * --burst N    a worker sends N reports at once, N times as seldom
 * --profile    the coordinator writes a V8 CPU profile there
 *
 * The generator shares the machine with the coordinator, as its one client process. A report is one message with six
 * metrics, so six rows of the view `reports`. Latencies: from the write of a report to the arrival of its
 * acknowledgement (durable), and from the end of a trial to the arrival of the next one (dispatch). Prints one JSON line.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { nameCheck, readClientTls, secureContextOf } from "../../dist/proto/tls.js";
import { ModelWorker } from "./model-worker.mjs";

const { values: flags } = parseArgs({
  options: {
    workers: { type: "string", default: "1000" },
    rate: { type: "string", default: "10" },
    "trial-seconds": { type: "string", default: "10" },
    seconds: { type: "string", default: "30" },
    burst: { type: "string", default: "1" },
    security: { type: "string", default: "mtls" },
    profile: { type: "string" },
  },
});
const workers = Number(flags.workers);
const rate = Number(flags.rate);
const burst = Number(flags.burst);
const secure = flags.security === "mtls";
const epochs = Math.max(1, Math.round(Number(flags["trial-seconds"]) * rate));

const cli = fileURLToPath(new URL("../../dist/coordinator/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "convsweep-load-"));
const store = join(folder, "store");
const environment = { ...process.env, CONVSWEEP_STORE: store, NO_COLOR: "1" };
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

async function command(...args) {
  const child = spawn(process.execPath, [cli, ...args], { env: environment, stdio: ["ignore", "pipe", "inherit"] });
  child.stdout.resume();
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`convsweep ${args.join(" ")} ended with ${code}`);
}

/** Seconds of processor time and bytes of memory of a process so far. */
function usage(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, rss: Number(rss) * 1024 };
}

const percentiles = (values) => {
  const sorted = Float64Array.from(values).sort();
  const at = (share) =>
    Number((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN).toFixed(2));
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
};

let coordinator;
const models = [];
try {
  let identity = null;
  if (secure) {
    await command("certs", "init");
    identity = join(folder, "load.pem");
    await command("certs", "issue", "load", "--out", identity);
  }
  const profiling = flags.profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", flags.profile];
  coordinator = spawn(
    process.execPath,
    [
      ...profiling,
      cli,
      "up",
      "--listen",
      "127.0.0.1:0",
      "--page",
      "127.0.0.1:0",
      "--json",
      ...(secure ? ["--security", "mtls"] : []),
    ],
    { env: environment, stdio: ["ignore", "pipe", "inherit"] },
  );
  let address = "";
  for await (const line of createInterface({ input: coordinator.stdout })) {
    const event = JSON.parse(line);
    if (event.event !== "up") continue;
    address = String(event.grpc);
    break;
  }
  coordinator.stdout.resume();

  const file = join(folder, "sweep.json");
  const sweep = {
    network: "logit",
    dataset: "synthetic-digits",
    epochs,
    method: "random",
    run_cap: 1_000_000,
    parameters: { learning_rate: { distribution: "log_uniform_values", min: 1e-3, max: 0.1 } },
  };
  writeFileSync(file, JSON.stringify({ name: "load", ...sweep }));
  await command("run", file, "--detach");

  const tls = secure ? readClientTls({ ca: null, identity }) : null;
  const { verify, options: named } = nameCheck(address);
  const token = tls?.token?.expose() ?? readFileSync(join(store, "worker.token"), "utf8").trim();
  const channel =
    tls === null ? credentials.createInsecure() : credentials.createFromSecureContext(secureContextOf(tls), verify);

  let measuring = false;
  let acked = 0;
  const ackMillis = [];
  const dispatchMillis = [];
  let welcomed = 0;
  let downs = 0;
  const began = performance.now();
  for (let i = 0; i < workers; i += 1) {
    const model = new ModelWorker({
      address,
      credentials: channel,
      channel: tls === null ? {} : named,
      token,
      name: `load-${i}`,
      lanes: 1,
      epochs,
      burst,
      epochMillis: 1000 / rate,
      onWelcome: () => {
        welcomed += 1;
      },
      onDown: (error) => {
        downs += 1;
        if (downs <= 3) process.stderr.write(`a link ended: ${error?.message ?? "closed"}\n`);
      },
      onAcked: (_, millis) => {
        if (!measuring) return;
        acked += 1;
        ackMillis.push(millis);
      },
      onAssigned: (millis) => {
        if (measuring && millis !== null) dispatchMillis.push(millis);
      },
    });
    models.push(model);
    model.open();
    if (i % 50 === 49) await sleep(20);
  }
  while (welcomed < workers) {
    await sleep(50);
    if (performance.now() - began > 60_000) throw new Error(`only ${welcomed} of ${workers} workers got in`);
  }
  const connectSeconds = (performance.now() - began) / 1000;
  // Trials begin spread out; the first ones end before the window opens.
  await sleep(Number(flags["trial-seconds"]) * 1000 + 2000);

  measuring = true;
  const before = usage(coordinator.pid);
  const from = performance.now();
  await sleep(Number(flags.seconds) * 1000);
  measuring = false;
  const seconds = (performance.now() - from) / 1000;
  const after = usage(coordinator.pid);
  process.stdout.write(
    `${JSON.stringify({
      workers,
      security: flags.security,
      connect_seconds: Number(connectSeconds.toFixed(2)),
      reports_per_second: Math.round(acked / seconds),
      offered_per_second: workers * rate,
      rows_per_second: Math.round((acked * 6) / seconds),
      ack_ms: percentiles(ackMillis),
      dispatches_per_second: Math.round(dispatchMillis.length / seconds),
      dispatch_ms: percentiles(dispatchMillis),
      links_lost: downs,
      coordinator_cpu: Number(((after.cpu - before.cpu) / seconds).toFixed(2)),
      coordinator_rss_mb: Math.round(after.rss / 2 ** 20),
    })}\n`,
  );
} finally {
  for (const model of models) model.close();
  if (coordinator) {
    coordinator.kill("SIGTERM");
    await Promise.race([new Promise((resolve) => coordinator.once("close", resolve)), sleep(10_000)]);
    coordinator.kill("SIGKILL");
  }
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
