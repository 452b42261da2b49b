/**
 * Load on one coordinator: model workers on real sockets, by default a thousand over mutual TLS, each with a trial that
 * reports ten times a second and lasts ten seconds: 10,000 reports/s, 100 dispatches/s.
 *
 * usage: node test/long/load.mjs [--workers 1000] [--rate 10] [--trial-seconds 10] [--seconds 30] [--burst 1]
 *          [--processes 2] [--viewers 0] [--security mtls|none] [--store FOLDER] [--profile FOLDER]
 *
 * --burst N    a worker sends N reports at once, N times as seldom
 * --processes  among which the workers are shared out; viewers have one of their own
 * --store      where the store is made; a folder in memory takes the disk out of the figures
 * --profile    the coordinator writes a V8 CPU profile there
 *
 * Generators share the machine with the coordinator; `cpu` says how many cores each side used while it was measured. A
 * report is one message with six metrics. Latencies: from the write of a report to the arrival of its acknowledgement
 * (durable), from the end of a trial to the arrival of the next one (dispatch), from the write of a report to its arrival at
 * a page (screen). Prints one JSON line.
 */
import { fork, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readClientTls } from "../../dist/proto/tls.js";
import { Histogram } from "./histogram.mjs";

const { values: flags } = parseArgs({
  options: {
    workers: { type: "string", default: "1000" },
    rate: { type: "string", default: "10" },
    "trial-seconds": { type: "string", default: "10" },
    seconds: { type: "string", default: "30" },
    burst: { type: "string", default: "1" },
    processes: { type: "string", default: "2" },
    viewers: { type: "string", default: "0" },
    security: { type: "string", default: "mtls" },
    store: { type: "string" },
    profile: { type: "string" },
  },
});
const workers = Number(flags.workers);
const rate = Number(flags.rate);
const burst = Number(flags.burst);
const secure = flags.security === "mtls";
const epochs = Math.max(1, Math.round(Number(flags["trial-seconds"]) * rate));

const cli = fileURLToPath(new URL("../../dist/coordinator/cli/main.js", import.meta.url));
if (flags.store !== undefined) mkdirSync(flags.store, { recursive: true });
const folder = mkdtempSync(join(flags.store ?? tmpdir(), "convsweep-load-"));
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

const SOCKETS_A_SESSION = 8;

/** A login link that nobody has used. */
async function freshLink() {
  const child = spawn(process.execPath, [cli, "page", "--json"], {
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part) => {
    text += part;
  });
  await new Promise((resolve) => child.once("close", resolve));
  return JSON.parse(text).page;
}

/** A process of load-generator.mjs; `ask` sends it a command and awaits its answer. */
function generator() {
  const child = fork(new URL("load-generator.mjs", import.meta.url), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  return {
    child,
    ask: (message) =>
      new Promise((resolve, reject) => {
        child.once("message", resolve);
        child.once("exit", () => reject(new Error("a generator ended")));
        child.send(message);
      }),
  };
}

let coordinator;
const generators = [];
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
  let page = "";
  for await (const line of createInterface({ input: coordinator.stdout })) {
    const event = JSON.parse(line);
    if (event.event !== "up") continue;
    address = String(event.grpc);
    page = String(event.page);
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
  const token = tls?.token?.expose() ?? readFileSync(join(store, "worker.token"), "utf8").trim();
  const processes = Number(flags.processes);
  const began = performance.now();
  const share = Math.ceil(workers / processes);
  for (let from = 0; from < workers; from += share) generators.push(generator());
  const work = { epochs, burst, epochMillis: 1000 / rate, pauseMillis: 4 * processes };
  await Promise.all(
    generators.map(({ ask }, index) => {
      const from = index * share;
      const count = Math.min(share, workers - from);
      return ask({ do: "open", address, identity, token, from, count, ...work });
    }),
  );
  const connectSeconds = (performance.now() - began) / 1000;
  const viewers = Number(flags.viewers);
  if (viewers > 0) {
    // A login each session's worth of sockets.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const origin = new URL(page).origin;
    for (let from = 0; from < viewers; from += SOCKETS_A_SESSION) {
      const link = from === 0 ? page : await freshLink();
      const answer = await fetch(link, { redirect: "manual" });
      const cookie = answer.headers.get("set-cookie").split(";")[0];
      if (from === 0) generators.push(generator());
      const count = Math.min(SOCKETS_A_SESSION, viewers - from);
      await generators.at(-1).ask({ do: "view", url: `${origin.replace("http", "ws")}/feed`, cookie, count });
    }
  }
  // Trials begin spread out; the first ones end before the window opens.
  await sleep(Number(flags["trial-seconds"]) * 1000 + 2000);

  const before = usage(coordinator.pid);
  const from = performance.now();
  await Promise.all(generators.map(({ ask }) => ask({ do: "measure" })));
  await sleep(Number(flags.seconds) * 1000);
  const seconds = (performance.now() - from) / 1000;
  const after = usage(coordinator.pid);
  const said = await Promise.all(generators.map(({ ask }) => ask({ do: "report" })));
  const merged = (what) => {
    const all = new Histogram();
    for (const one of said) all.merge({ counts: one[what] });
    return all.summary();
  };
  const sum = (what) => said.reduce((total, one) => total + one[what], 0);
  const dispatch = merged("dispatch");
  process.stdout.write(
    `${JSON.stringify({
      workers,
      security: flags.security,
      burst,
      processes: generators.length,
      connect_seconds: Number(connectSeconds.toFixed(2)),
      offered_per_second: workers * rate,
      reports_per_second: Math.round(sum("acked") / seconds),
      ack_ms: merged("ack"),
      dispatches_per_second: Math.round(dispatch.n / seconds),
      dispatch_ms: dispatch,
      ...(viewers > 0 ? { viewers, screen_ms: merged("screen") } : {}),
      links_lost: sum("downs"),
      cpu: {
        coordinator: Number(((after.cpu - before.cpu) / seconds).toFixed(2)),
        generators: Number(sum("share").toFixed(2)),
      },
      coordinator_rss_mb: Math.round(after.rss / 2 ** 20),
    })}\n`,
  );
} finally {
  for (const { child } of generators) child.kill("SIGKILL");
  if (coordinator) {
    coordinator.kill("SIGTERM");
    await Promise.race([new Promise((resolve) => coordinator.once("close", resolve)), sleep(10_000)]);
    coordinator.kill("SIGKILL");
  }
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
