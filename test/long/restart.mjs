/**
 * From SIGKILL of a coordinator with a long history to serving again.
 *
 * usage: node test/long/restart.mjs [--reports 1000000] [--epochs 10] [--rounds 5] [--store FOLDER]
 *
 * The store is filled with finished trials of --epochs reports of six metrics each. A model worker of 64 lanes reports all
 * the while; the coordinator gets SIGKILL in the middle of that and is started again at once on its port. `up_ms`: from the
 * kill to the line that says it is up; `ack_ms`: to the first report acknowledged to the worker, which tries to come back
 * every 0.1 s. Prints one JSON line.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { fillStore } from "./filled-store.mjs";
import { ModelWorker } from "./model-worker.mjs";
import { machineLoad, Site, sleep } from "./processes.mjs";

const { values: flags } = parseArgs({
  options: {
    reports: { type: "string", default: "1000000" },
    epochs: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    store: { type: "string" },
  },
});
const epochs = Number(flags.epochs);
const trials = Math.ceil(Number(flags.reports) / epochs);

const site = new Site(flags.store);
try {
  fillStore(site.store, trials, epochs);
  let { address } = await site.up();
  await site.submit({ epochs: 1_000 });
  let acked = null;
  let before = 0;
  const worker = new ModelWorker({
    address,
    credentials: credentials.createInsecure(),
    token: site.workerToken(),
    name: "restart",
    lanes: 64,
    epochs: 1_000,
    epochMillis: 100,
    retryMillis: 100,
    // What the killed one still had on the wire does not count.
    onAcked: () => worker.links > before && acked?.(performance.now()),
  });
  worker.open();
  const rounds = [];
  for (let round = 0; round < Number(flags.rounds); round += 1) {
    await sleep(3_000 + 300 * round);
    const killed = performance.now();
    before = worker.links;
    await site.kill();
    const firstAck = new Promise((resolve) => {
      acked = resolve;
    });
    ({ address } = await site.up({ listen: address }));
    const up = performance.now() - killed;
    const ack = (await firstAck) - killed;
    rounds.push({ up_ms: Math.round(up), ack_ms: Math.round(ack) });
  }
  worker.close();
  const megabytes = Math.round(statSync(join(site.store, "convsweep.db")).size / 2 ** 20);
  const line = { reports: trials * epochs, trials, database_mb: megabytes, rounds, machine_load: machineLoad() };
  process.stdout.write(`${JSON.stringify(line)}\n`);
} finally {
  await site.remove();
}
