/**
 * One of the processes that load.mjs starts: some of its model workers, or its viewers. Told over IPC what to do: `open`,
 * `measure`, `report` (answers what it saw since, and the processor time it took), `back` (waits until each of its workers has
 * been welcomed again and answers when), `taken` (attempts that the coordinator has taken away so far), `end`.
 */
import { credentials } from "@grpc/grpc-js";
import { WebSocket } from "ws";
import { nameCheck, readClientTls, secureContextOf } from "../../dist/proto/tls.js";
import { Histogram } from "./histogram.mjs";
import { ModelWorker } from "./model-worker.mjs";

let measuring = false;
let acked = 0;
let welcomed = 0;
let downs = 0;
let taken = 0;
let ack = new Histogram();
let dispatch = new Histogram();
let screen = new Histogram();
let delay = new Histogram();
let cpu = process.cpuUsage();
let since = performance.now();
const models = [];
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

async function open({ address, identity, token, from, count, epochs, burst, epochMillis, pauseMillis }) {
  const tls = identity === null ? null : readClientTls({ ca: null, identity });
  const { verify, options: named } = nameCheck(address);
  const channel =
    tls === null ? credentials.createInsecure() : credentials.createFromSecureContext(secureContextOf(tls), verify);
  for (let i = from; i < from + count; i += 1) {
    const model = new ModelWorker({
      address,
      credentials: channel,
      channel: tls === null ? {} : named,
      token,
      name: `load-${i}`,
      lanes: 1,
      epochs,
      burst,
      epochMillis,
      stamp: true,
      realBackoff: true,
      onWelcome: () => {
        welcomed += 1;
        model.welcomedAt = Date.now();
      },
      onTaken: () => {
        taken += 1;
      },
      onDown: (error) => {
        downs += 1;
        if (downs <= 3) process.stderr.write(`a link ended: ${error?.message ?? "closed"}\n`);
      },
      onAcked: (_, millis) => {
        if (!measuring) return;
        acked += 1;
        ack.add(millis);
      },
      onAssigned: (millis) => {
        if (measuring && millis !== null) dispatch.add(millis);
      },
    });
    models.push(model);
    model.open();
    if (i % 10 === 9) await sleep(pauseMillis);
  }
  while (welcomed < count) await sleep(20);
}

/** Pages. A report says in its first metric when it was sent, by the clock of this machine. */
async function view({ origin, cookie, count }) {
  const headers = { cookie, origin };
  const { csrf } = await (await fetch(`${origin}/api/session`, { headers })).json();
  const own = { method: "POST", headers: { ...headers, "content-type": "application/json", "x-csrf": csrf } };
  let open = 0;
  for (let i = 0; i < count; i += 1) {
    const { ticket } = await (await fetch(`${origin}/api/ws-ticket`, own)).json();
    const socket = new WebSocket(`${origin.replace("http", "ws")}/feed?ticket=${ticket}`, {
      headers,
      perMessageDeflate: false,
      rejectUnauthorized: false,
    });
    socket.on("error", (error) => process.stderr.write(`a viewer: ${error.message}\n`));
    socket.on("open", () => {
      open += 1;
      socket.send(JSON.stringify({ kind: "hello", resume: null }));
    });
    // Every one reads everything; one in ten looks at it, as the generator's own time counts too.
    socket.on("message", (data) => {
      if (!measuring || i % 10 !== 0) return;
      const now = performance.timeOrigin + performance.now();
      const { kind, changes } = JSON.parse(String(data));
      if (kind !== "delta") return;
      for (const change of changes) if (change.kind === "report") screen.add(now - change.row.metrics.train_loss);
    });
  }
  while (open < count) await sleep(20);
}

const LOOK_MILLIS = 10;
let due = performance.now() + LOOK_MILLIS;
setInterval(() => {
  const now = performance.now();
  if (measuring) delay.add(now - due);
  due = now + LOOK_MILLIS;
}, LOOK_MILLIS);

process.on("message", async (message) => {
  switch (message.do) {
    case "open":
      await open(message);
      process.send({ done: "open" });
      return;
    case "view":
      await view(message);
      process.send({ done: "view" });
      return;
    case "measure":
      measuring = true;
      acked = 0;
      [ack, dispatch, screen, delay] = [new Histogram(), new Histogram(), new Histogram(), new Histogram()];
      cpu = process.cpuUsage();
      since = performance.now();
      process.send({ done: "measure" });
      return;
    case "report": {
      measuring = false;
      const used = process.cpuUsage(cpu);
      const seconds = (performance.now() - since) / 1000;
      const share = (used.user + used.system) / 1e6 / seconds;
      process.send({
        done: "report",
        seconds,
        acked,
        downs,
        share,
        ack: ack.counts,
        dispatch: dispatch.counts,
        screen: screen.counts,
        delay: delay.counts,
      });
      return;
    }
    case "back":
      while (models.some(({ welcomedAt }) => welcomedAt < message.since)) await sleep(20);
      process.send({ welcomes: models.map(({ welcomedAt }) => welcomedAt - message.since) });
      return;
    case "taken":
      process.send({ taken });
      return;
    case "end":
      for (const model of models) model.close();
      process.exit(0);
  }
});
