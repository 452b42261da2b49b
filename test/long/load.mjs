/**
 * Load on one coordinator: model workers on real sockets, by default a thousand over mutual TLS, each with a trial that
 * reports ten times a second and lasts ten seconds: 10,000 reports/s, 100 dispatches/s.
 *
 * usage: node test/long/load.mjs [--workers 1000] [--rate 10] [--trial-seconds 10] [--seconds 30] [--burst 1]
 *          [--processes 2] [--viewers 0] [--security mtls|none] [--store FOLDER] [--profile FOLDER] [--node=FLAGS] [--kill]
 *
 * --burst N    a worker sends N reports at once, N times as seldom
 * --processes  among which the workers are shared out; viewers have one of their own
 * --store      where the store is made; a folder in memory takes the disk out of the figures
 * --profile    the coordinator writes a V8 CPU profile there
 * --node=...   more flags for the coordinator's Node, with spaces between them
 * --kill       afterwards the coordinator gets SIGKILL under all its workers and is started again at once: `comeback` says when
 *              it was up and when its workers had their Welcome, from the kill on, and what attempts were taken from them
 *
 * Generators share the machine with the coordinator; `cpu` says how many cores each side used while it was measured. A
 * report is one message with six metrics. Latencies: from the write of a report to the arrival of its acknowledgement
 * (durable), from the end of a trial to the arrival of the next one (dispatch), from the write of a report to its arrival at
 * a page (screen). What of it is the generators' own: `generator_delay_ms`, how late their event loops were, and
 * `dispatched_within`, what share of assignments the coordinator had written so soon after the message that freed their slot
 * reached its process. Prints one JSON line.
 */
import { fork } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readClientTls } from "../../dist/proto/tls.js";
import { Histogram } from "./histogram.mjs";
import { machineLoad, Site, sleep, usage } from "./processes.mjs";

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
    node: { type: "string", default: "" },
    kill: { type: "boolean", default: false },
  },
});
const workers = Number(flags.workers);
const rate = Number(flags.rate);
const burst = Number(flags.burst);
const secure = flags.security === "mtls";
const epochs = Math.max(1, Math.round(Number(flags["trial-seconds"]) * rate));

const SOCKETS_A_SESSION = 8;

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

const site = new Site(flags.store);
const generators = [];
const more = secure ? ["--security", "mtls"] : [];

/** `{"5 ms": 0.9, ...}` of what was counted between two readings of a histogram. */
function sharesWithin(before, after) {
  const counts = [...after].map(([bound, n]) => [bound, n - (before.get(bound) ?? 0)]);
  const all = counts.at(-1)?.[1] ?? 0;
  const some = counts.filter(([bound, n]) => bound <= 0.25 && n > 0);
  return Object.fromEntries(some.map(([bound, n]) => [`${bound * 1000} ms`, Number((n / all).toFixed(4))]));
}

/** Longer than a lease: what is to run out for want of a Hello has then run out. */
const LEASES_RUN_OUT_MILLIS = 12_000;

async function comeBack(address) {
  const killed = Date.now();
  await site.kill();
  await site.up({ more, listen: address });
  const up = Date.now() - killed;
  const back = await Promise.all(generators.map(({ ask }) => ask({ do: "back", since: killed })));
  const times = back.flatMap(({ welcomes }) => welcomes).sort((a, b) => a - b);
  await sleep(LEASES_RUN_OUT_MILLIS);
  const taken = await Promise.all(generators.map(({ ask }) => ask({ do: "taken" })));
  const lost = "SELECT count(*) AS lost FROM attempts WHERE state IN ('lost', 'revoked')";
  const record = JSON.parse(await site.command("query", lost, "--format", "json"));
  return {
    up_ms: up,
    welcome_ms: { p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)], last: times.at(-1) },
    taken_from_workers: taken.reduce((sum, one) => sum + one.taken, 0),
    record,
  };
}

try {
  let identity = null;
  if (secure) {
    await site.command("certs", "init");
    identity = join(site.folder, "load.pem");
    await site.command("certs", "issue", "load", "--out", identity);
  }
  const { address, page } = await site.up({
    nodeFlags: [
      ...flags.node.split(" ").filter((flag) => flag !== ""),
      ...(flags.profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", flags.profile]),
    ],
    more,
  });
  const { pid } = site.coordinator;
  await site.submit({ epochs });

  const tls = secure ? readClientTls({ ca: null, identity }) : null;
  const token = tls?.token?.expose() ?? site.workerToken();
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
      const link = from === 0 ? page : await site.freshLink();
      const answer = await fetch(link, { redirect: "manual" });
      const cookie = answer.headers.get("set-cookie").split(";")[0];
      if (from === 0) generators.push(generator());
      const count = Math.min(SOCKETS_A_SESSION, viewers - from);
      await generators.at(-1).ask({ do: "view", origin, cookie, count });
    }
  }
  // Trials begin spread out; the first ones end before the window opens.
  await sleep(Number(flags["trial-seconds"]) * 1000 + 2000);

  const dispatchedBefore = await site.histogram(page, "convsweep_dispatch_seconds");
  const before = usage(pid);
  const from = performance.now();
  await Promise.all(generators.map(({ ask }) => ask({ do: "measure" })));
  await sleep(Number(flags.seconds) * 1000);
  const seconds = (performance.now() - from) / 1000;
  const after = usage(pid);
  const dispatched = await site.histogram(page, "convsweep_dispatch_seconds");
  const said = await Promise.all(generators.map(({ ask }) => ask({ do: "report" })));
  const merged = (what) => {
    const all = new Histogram();
    for (const one of said) all.merge({ counts: one[what] });
    return all.summary();
  };
  const sum = (what) => said.reduce((total, one) => total + one[what], 0);
  const dispatch = merged("dispatch");
  const comeback = flags.kill ? await comeBack(address) : null;
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
      dispatched_within: sharesWithin(dispatchedBefore, dispatched),
      generator_delay_ms: merged("delay"),
      ...(viewers > 0 ? { viewers, screen_ms: merged("screen") } : {}),
      links_lost: sum("downs"),
      ...(comeback === null ? {} : { comeback }),
      cpu: {
        coordinator: Number(((after.cpu - before.cpu) / seconds).toFixed(2)),
        generators: Number(sum("share").toFixed(2)),
      },
      machine_load: machineLoad(),
      coordinator_rss_mb: Math.round(after.rss / 2 ** 20),
    })}\n`,
  );
} finally {
  for (const { child } of generators) child.kill("SIGKILL");
  await site.remove();
}
process.exit(0);
