import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { ERROR_DETAIL_KEY } from "../../coordinator/shell/errors.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { PROTOCOL, sweepId, TIMES, trialId } from "../../proto/contract.js";
import { ErrorDetail } from "../../proto/gen/convsweep/v1/types.js";
import { manualClock, SPEC, start } from "./fixture.js";
import { HASH, ScriptedWorker } from "./scripted-worker.js";

const trial = (number: number) => trialId(sweepId(1), number);

describe("a Link", () => {
  it("welcomes, assigns, records, acknowledges, and fills the lane again", async () => {
    const store = openMemoryStore();
    const { coordinator, storeDir } = await start({ openStore: () => store });
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    const welcome = await worker.link();
    expect(welcome).toEqual({
      store: store.info().uuid,
      opening: store.position().openings.at(-1)?.id,
      lost: 0,
      generation: 0,
      commit: 2,
      heartbeatMillis: TIMES.heartbeat,
      leaseMillis: TIMES.lease,
      keep: [],
      drop: [],
      received: 0,
      protocolMinor: PROTOCOL.minor,
    });

    await coordinator.submitSweep({ ...SPEC, runCap: 3 });
    const first = await worker.next("assign");
    const second = await worker.next("assign");
    expect([first.attempt, second.attempt]).toEqual(["1/0#1", "1/1#1"]);
    expect(JSON.parse(first.recipe)).toEqual(SPEC.recipe);
    expect(first.recipe).toBe(
      '{"batch_size":100,"dataset":{"name":"mnist"},"epochs":3,"network":{"name":"lenet"},"version":1}',
    );
    expect(first.seed).toMatch(/^[0-9a-f]{16}$/);
    expect(second.token).toBeGreaterThan(first.token);

    worker.started(first);
    for (const epoch of [1, 2, 3]) worker.report(first, epoch, epoch / 4);
    const last = worker.completed(first);
    await worker.durable(last);
    expect(store.reports(trial(0)).map((report) => [report.epoch, report.metrics["val_accuracy"]])).toEqual([
      [1, 0.25],
      [2, 0.5],
      [3, 0.75],
    ]);
    const recorded = store.load().trials.find((one) => one.id === trial(0));
    expect([recorded?.state, recorded?.weightsHash, recorded?.best]).toEqual([
      "completed",
      HASH,
      { value: 0.75, epoch: 3 },
    ]);
    expect((await worker.next("assign")).attempt).toBe("1/2#1");
  });

  it("takes what comes in one message as if it came alone", async () => {
    const store = openMemoryStore();
    const { coordinator, storeDir } = await start({ openStore: () => store });
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await coordinator.submitSweep({ ...SPEC, runCap: 3 });
    const held = await worker.next("assign");
    await worker.next("assign");
    const { attempt, token } = held;
    const report = (epoch: number, value: number) => ({
      $case: "report" as const,
      value: {
        attempt,
        token,
        epoch,
        step: epoch,
        metrics: [{ name: "val_accuracy", value: { $case: "number" as const, value } }],
      },
    });
    const last = worker.batch([
      { $case: "started", value: { attempt, token, fingerprint: "cpu-1", fromEpoch: 0 } },
      report(1, 0.25),
      report(2, 0.5),
      report(3, 0.125),
      { $case: "ended", value: { attempt, token, outcome: { $case: "completed", value: { weightsHash: HASH } } } },
    ]);
    expect(last).toBe(5);
    expect((await worker.next("assign")).attempt).toBe("1/2#1");
    await worker.durable(last);
    expect(store.reports(trial(0)).map(({ epoch, metrics }) => [epoch, metrics["val_accuracy"]])).toEqual([
      [1, 0.25],
      [2, 0.5],
      [3, 0.125],
    ]);
    expect(store.load().trials.find((one) => one.id === trial(0))).toMatchObject({
      state: "completed",
      weightsHash: HASH,
    });
  });

  it("acknowledges a burst with few acks", async () => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await coordinator.submitSweep({ ...SPEC, epochs: 200 });
    const held = await worker.next("assign");
    worker.started(held);
    for (let epoch = 1; epoch < 200; epoch += 1) worker.report(held, epoch, 0.5);
    await worker.durable(200);
    // One a message would be 200; how many share a turn depends on the machine alone, so only that some do is asserted.
    expect(worker.bareAcks).toBeLessThan(200);
  });

  it("drops repeats, and says after a reconnect how far it has come", async () => {
    const store = openMemoryStore();
    const { coordinator, storeDir } = await start({ openStore: () => store });
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await coordinator.submitSweep(SPEC);
    const held = await worker.next("assign");
    const other = await worker.next("assign");
    worker.started(held);
    worker.report(held, 1, 0.5);
    await worker.durable(2);
    worker.cut();

    const welcome = await worker.link([held, other]);
    expect(welcome.received).toBe(2);
    expect(welcome.keep.map((one) => one.attempt).sort()).toEqual([held.attempt, other.attempt]);
    // As if the acks had been lost: both again, the second with another value, then a new one.
    worker.seq = 0;
    worker.started(held);
    worker.report(held, 1, 0.9);
    await worker.durable(worker.report(held, 2, 0.6));
    expect(store.reports(trial(0)).map((report) => report.metrics["val_accuracy"])).toEqual([0.5, 0.6]);
  });

  it("is replaced by a newer one of the same process, whose worker stays connected", async () => {
    const { coordinator, storeDir, admin } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    const newer = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await newer.link();
    expect(await worker.end()).toMatchObject({ code: status.ALREADY_EXISTS });
    worker.cut();
    await admin.submitSweep("f", JSON.stringify(SPEC));
    await newer.next("assign");
    expect(await workerStates(coordinator)).toEqual(["connected"]);
    newer.cut();
    await feedUntil(coordinator, (states) => states[0] === "away");
  });

  it("revokes what another token holds, and changes nothing", async () => {
    const store = openMemoryStore();
    const clock = manualClock();
    const { coordinator, storeDir } = await start({ openStore: () => store, clock });
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await coordinator.submitSweep({ ...SPEC, runCap: 1 });
    const held = await worker.next("assign");
    await worker.durable(worker.started(held));
    worker.cut();
    await changed(store, () => store.load().workers[0]?.state === "away");
    // Silence for the length of a lease: another worker with a lane free gets the trial.
    clock.advance(TIMES.lease + 1);
    const next = ScriptedWorker.of(storeDir, coordinator.grpcAddress, {
      worker: "other",
      incarnation: "incarnation-2",
    });
    await next.link();
    const again = await next.next("assign");
    expect(again.attempt).toBe("1/0#2");
    expect(again.token).toBeGreaterThan(held.token);

    const welcome = await worker.link([held]);
    expect(welcome.drop).toEqual([{ attempt: held.attempt, token: held.token }]);
    const late = worker.report(held, 1, 0.99);
    expect(await worker.next("revoke")).toEqual({ attempt: held.attempt, token: held.token });
    await worker.durable(late);
    expect(store.reports(trial(0))).toEqual([]);
  });

  it.each([
    ["no hello first", { seq: 1, ack: 0, body: { $case: "draining", value: {} } }, "body"],
    ["nothing first", { seq: 0, ack: 0, body: undefined }, "body"],
  ] as const)("ends on %s", async (_name, message, path) => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    worker.open();
    worker.raw(message);
    const end = await worker.end();
    expect(end.code).toBe(status.INVALID_ARGUMENT);
    expect(detailOf(end)).toMatchObject({ code: "BAD_INPUT", path });
  });

  it("refuses another major protocol in words", async () => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress, { protocolMajor: 2 });
    await worker.link().catch(() => {});
    const end = await worker.end();
    expect(end.code).toBe(status.FAILED_PRECONDITION);
    expect(end.details).toBe(
      "the worker speaks protocol 2, this coordinator 1: install the same version of convsweep on both",
    );
  });

  it.each([
    ["a worker's name with a line break", { worker: "a\nb" }, "hello.worker"],
    ["no worker's name", { worker: "" }, "hello.worker"],
    ["a short incarnation", { incarnation: "x" }, "hello.incarnation"],
    ["no devices", { devices: [] }, "hello.devices.length"],
    ["a device without lanes", { devices: [device({ lanes: 0 })] }, "hello.devices[0].lanes"],
    ["a device twice", { devices: [device({}), device({})] }, "hello.devices"],
    ["an attempt that is none", { running: [{ attempt: "1/0", token: 1 }] }, "hello.running[0].attempt"],
    ["a token of 0", { running: [{ attempt: "1/0#1", token: 0 }] }, "hello.running[0].token"],
  ])("refuses a hello with %s", async (_name, hello, path) => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress, hello);
    await worker.link((hello as { running?: [] }).running ?? []).catch(() => {});
    const end = await worker.end();
    expect(end.code).toBe(status.INVALID_ARGUMENT);
    expect(detailOf(end).path).toBe(path);
  });

  it("names the wrong field of a message, ends that stream alone, and takes the right message on the next", async () => {
    const store = openMemoryStore();
    const { coordinator, storeDir } = await start({ openStore: () => store });
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    const bystander = ScriptedWorker.of(storeDir, coordinator.grpcAddress, {
      worker: "b",
      incarnation: "incarnation-b",
    });
    await worker.link();
    await coordinator.submitSweep(SPEC);
    const held = await worker.next("assign");
    const other = await worker.next("assign");
    await bystander.link();
    const theirs = await bystander.next("assign");
    await worker.durable(worker.started(held));
    worker.report(held, 1, Number.NaN);
    const end = await worker.end();
    expect(end.code).toBe(status.INVALID_ARGUMENT);
    expect(detailOf(end).path).toBe("report.metrics[0].value");
    expect((await worker.link([held, other])).received).toBe(1);
    worker.seq = 1;
    await worker.durable(worker.report(held, 1, 0.5));
    await bystander.durable(bystander.started(theirs));
    expect(store.reports(trial(0))).toHaveLength(1);
  });

  it("ends when a number is left out, or what was never sent is acknowledged", async () => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await worker.durable(worker.send({ $case: "draining", value: {} }));
    worker.seq = 2;
    worker.send({ $case: "draining", value: {} });
    expect(await worker.end()).toMatchObject({ code: status.INVALID_ARGUMENT, details: "seq: message 2 is missing" });

    await worker.link();
    worker.raw({ seq: 0, ack: 5, body: undefined });
    expect(detailOf(await worker.end())).toMatchObject({ path: "ack", found: "5" });
  });

  it("D14: ends when one worker makes up name after name for metrics", async () => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    const report = (from: number, count: number): number => {
      const metrics = Array.from({ length: count }, (_, n) => ({
        name: `m${from + n}`,
        value: { $case: "number" as const, value: 1 },
      }));
      return worker.send({ $case: "report", value: { attempt: "1/0#1", token: 1, epoch: 1, step: 1, metrics } });
    };
    for (let from = 0; from < 1_000; from += 250) await worker.durable(report(from, 250));
    await worker.durable(report(0, 250));
    report(1_000, 1);
    expect(detailOf(await worker.end())).toMatchObject({ path: "report.metrics", found: "1001" });
  });

  it("takes a stream of garbage without harm", async () => {
    const { coordinator, storeDir } = await start();
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    worker.raw({
      seq: 0,
      ack: 0,
      body: { $case: "heartbeat", value: { running: [{ attempt: "\u0000", token: 2 ** 53 }], use: [] } },
    });
    expect((await worker.end()).code).not.toBe(status.OK);
    await worker.link();
  });
});

function device(more: object) {
  return { id: "cpu", name: "A CPU", backend: "cpu", fingerprint: "f", memoryBytes: 1, lanes: 1, ...more };
}

function detailOf(end: Awaited<ReturnType<ScriptedWorker["end"]>>): ErrorDetail {
  const [encoded] = end.metadata.get(ERROR_DETAIL_KEY);
  return ErrorDetail.decode(encoded as Buffer);
}

type Coordinator = Awaited<ReturnType<typeof start>>["coordinator"];

/** States of the workers, as soon as the feed shows some that satisfy. */
function feedUntil(coordinator: Coordinator, met: (states: readonly string[]) => boolean): Promise<readonly string[]> {
  return new Promise((resolve) => {
    const states = new Map<string, string>();
    const leave = coordinator.watch((message) => {
      const rows = message.kind === "snapshot" ? message.workers : [];
      for (const row of rows) states.set(row.id, row.state);
      if (message.kind === "delta") {
        for (const change of message.changes) if (change.kind === "worker") states.set(change.row.id, change.row.state);
      }
      if (!met([...states.values()])) return;
      queueMicrotask(() => leave());
      resolve([...states.values()]);
    });
  });
}

const workerStates = (coordinator: Coordinator) => feedUntil(coordinator, () => true);

/** Resolves once a commit makes it true. */
async function changed(store: ReturnType<typeof openMemoryStore>, met: () => boolean): Promise<void> {
  while (!met()) {
    const before = store.info().commitSeq;
    while (store.info().commitSeq === before) await new Promise((resolve) => setImmediate(resolve));
  }
}
