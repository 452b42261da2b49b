import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { openAdminClient } from "../../coordinator/shell/admin-client.js";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { ConvsweepError, LIMITS, sweepId, trialId } from "../../proto/contract.js";
import type { FeedMessage } from "../../proto/feed.js";
import { rejection, SPEC, scratch, start } from "./fixture.js";
import { ScriptedWorker } from "./scripted-worker.js";

const trial = (number: number) => trialId(sweepId(1), number);

describe("the admin service", () => {
  it("submits, pauses, resumes, extends, cancels a sweep", async () => {
    const store = openMemoryStore();
    const { admin } = await start({ openStore: () => store });
    expect(await admin.submitSweep("sweep.yaml", JSON.stringify({ name: "mine" }))).toEqual({
      sweep: 1,
      warnings: ["a warning"],
    });
    const state = () => store.load().sweeps[0]?.state;
    await admin.controlSweep(1, "pause");
    expect(state()).toBe("paused");
    await admin.controlSweep(1, "resume");
    expect(state()).toBe("running");
    await admin.extendSweep(1, 3, 0);
    expect(store.load().sweeps[0]?.spec.runCap).toBe(SPEC.runCap + 3);
    await admin.controlSweep(1, "cancel");
    expect(state()).toBe("cancelled");
  });

  it("enqueues, stops and reruns trials", async () => {
    const store = openMemoryStore();
    const { admin, coordinator, storeDir } = await start({ openStore: () => store });
    await admin.submitSweep("f", JSON.stringify({ runCap: 1 }));
    expect(await admin.enqueueTrial(1, { learning_rate: 0.003 })).toBe("1/0");
    expect(store.load().trials[0]).toMatchObject({
      parameters: { learning_rate: 0.003 },
      origin: { kind: "enqueued" },
    });
    await admin.stopTrial("1/0");
    expect(store.load().trials[0]?.state).toBe("cancelled");

    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    const held = await worker.next("assign");
    for (const epoch of [1, 2, 3]) worker.report(held, epoch, 0.5);
    await worker.durable(worker.completed(held));
    const rerun = await admin.rerunTrial("1/1", true);
    expect(await worker.next("assign")).toMatchObject({ attempt: `${rerun}#1`, alone: true, seed: held.seed });
  });

  it("compares a verified rerun with reports that are decided in the same turn", async () => {
    const store = openMemoryStore();
    const { admin, coordinator, storeDir } = await start({ openStore: () => store });
    await admin.submitSweep("f", JSON.stringify({ runCap: 1 }));
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    const train = async (): Promise<void> => {
      const held = await worker.next("assign");
      worker.started(held);
      for (const epoch of [1, 2, 3]) worker.report(held, epoch, epoch / 7);
      await worker.durable(worker.completed(held));
    };
    await train();
    await admin.rerunTrial("1/0", true);
    await train();
    expect(store.load().trials.find((one) => one.id === trial(1))?.verified).toMatchObject({ equal: true });
  });

  it("gives errors back whole", async () => {
    const { admin } = await start();
    const compile = await rejection(admin.submitSweep("sweep.yaml", "?"));
    expect(compile.toData()).toEqual({
      code: "BAD_INPUT",
      message: "sweep.yaml:1:1: no sweep",
      path: "sweep.yaml:1:1",
      expected: "{",
      found: "?",
    });
    expect(await rejection(admin.controlSweep(9, "pause"))).toMatchObject({ code: "NOT_FOUND" });
    expect(await rejection(admin.controlSweep(1, "explode" as "pause"))).toMatchObject({
      code: "BAD_INPUT",
      path: "action",
    });
    expect(await rejection(admin.controlSweep(0, "pause"))).toMatchObject({ code: "BAD_INPUT", path: "sweep" });
    expect(await rejection(admin.stopTrial("1-2"))).toMatchObject({ code: "BAD_INPUT", path: "trial", found: "1-2" });
    expect(await rejection(admin.stopTrial("1/2"))).toMatchObject({ code: "NOT_FOUND" });
    expect(await rejection(admin.extendSweep(1, 0, 0))).toMatchObject({ code: "BAD_INPUT" });
    expect(await rejection(admin.submitSweep("f", "x".repeat(LIMITS.sweepFileBytes + 1)))).toMatchObject({
      code: "TOO_LARGE",
    });
    expect(await rejection(admin.query("x".repeat(LIMITS.queryTextBytes + 1)))).toMatchObject({
      code: "TOO_LARGE",
      path: "sql",
    });
    expect(await rejection(admin.backup("relative.db"))).toMatchObject({ code: "BAD_INPUT", path: "path" });
    const huge = await rejection(admin.submitSweep("f", `{"${"é".repeat(200_000)}`));
    expect(huge.code).toBe("INTERNAL");
  });

  it("answers queries, two at a time", async () => {
    let running = 0;
    let most = 0;
    const release: (() => void)[] = [];
    const { admin } = await start({
      runQuery: async (_dir, sql, values) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise<void>((resolve) => void release.push(resolve));
        running -= 1;
        return { columns: ["sql", "values"], rows: [[sql, JSON.stringify(values)]], truncated: true };
      },
    });
    const answers = Promise.all([1, 2, 3].map((n) => admin.query(`select ${n}`, [n, "é", null])));
    for (let n = 0; n < 3; n += 1) {
      while (release.length === 0) await new Promise((resolve) => setImmediate(resolve));
      release.shift()?.();
    }
    const got = await answers;
    expect(got[2]).toEqual({ columns: ["sql", "values"], rows: [["select 3", '[3,"é",null]']], truncated: true });
    expect(most).toBe(2);
  });

  it("says its status with a fresh login link each time, and where it is in coordinator.json", async () => {
    const { admin, coordinator, storeDir } = await start();
    const first = await admin.getStatus();
    const second = await admin.getStatus();
    expect(first).toMatchObject({ version: "1.2.3", pid: process.pid });
    expect(first.dashboard).toMatch(new RegExp(`^http://${coordinator.httpAddress}/login\\?otp=[\\w-]{43}$`));
    expect(second.dashboard).not.toBe(first.dashboard);
    const file = join(storeDir, "coordinator.json");
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
      pid: process.pid,
      grpc: coordinator.grpcAddress,
      http: coordinator.httpAddress,
      version: "1.2.3",
      ca: null,
      identity: null,
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await coordinator.close();
    expect(existsSync(file)).toBe(false);
  });

  it("streams the feed of one sweep", async () => {
    const { admin } = await start();
    await admin.submitSweep("f", JSON.stringify({ name: "one" }));
    await admin.submitSweep("f", JSON.stringify({ name: "two" }));
    const seen: FeedMessage[] = [];
    const stop = new AbortController();
    const watching = admin.watch(
      (message) => {
        seen.push(message);
        if (message.kind === "snapshot") void admin.controlSweep(1, "pause").then(() => admin.controlSweep(2, "pause"));
        if (rowsOf(seen).some((row) => row.name === "two" && row.state === "paused")) stop.abort();
      },
      stop.signal,
      2,
    );
    await watching;
    expect(new Set(rowsOf(seen).map((row) => row.name))).toEqual(new Set(["two"]));
  });

  it("tells a client that nobody answers what to do", async () => {
    const { coordinator, storeDir } = await start();
    await coordinator.close();
    const client = openAdminClient({ address: coordinator.grpcAddress, tokenFile: tokenFile(storeDir, "admin") });
    onTestFinished(() => client.close());
    expect(await rejection(client.getStatus())).toMatchObject({
      code: "UNAVAILABLE",
      message: `no coordinator answers at ${coordinator.grpcAddress}; \`convsweep up\` on that machine starts one`,
    });
  });
});

function rowsOf(messages: readonly FeedMessage[]) {
  return messages.flatMap((message) =>
    message.kind === "snapshot"
      ? message.sweeps
      : message.kind === "delta"
        ? message.changes.flatMap((change) => (change.kind === "sweep" ? [change.row] : []))
        : [],
  );
}

describe("who may ask", () => {
  it("opens a Link with the worker token, not without one", async () => {
    const { coordinator, storeDir } = await start();
    const stranger = new ScriptedWorker(coordinator.grpcAddress, null);
    await stranger.link().catch(() => {});
    expect((await stranger.end()).code).toBe(status.UNAUTHENTICATED);
    const forger = new ScriptedWorker(coordinator.grpcAddress, `cvs_worker_${"A".repeat(43)}`);
    await forger.link().catch(() => {});
    expect((await forger.end()).code).toBe(status.UNAUTHENTICATED);
    await ScriptedWorker.of(storeDir, coordinator.grpcAddress).link();
  });
});

describe("starting", () => {
  it("keeps its tokens over restarts, readable by the owner alone", async () => {
    const storeDir = scratch();
    const first = await start({ options: { storeDir } });
    const tokens = (["admin", "worker"] as const).map((role) => readFileSync(tokenFile(storeDir, role), "utf8"));
    expect(tokens[0]).toMatch(/^cvs_admin_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}\n$/);
    expect(tokens[1]).toMatch(/^cvs_worker_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}\n$/);
    expect(statSync(tokenFile(storeDir, "admin")).mode & 0o777).toBe(0o600);
    await first.coordinator.close();
    await start({ options: { storeDir } });
    expect((["admin", "worker"] as const).map((role) => readFileSync(tokenFile(storeDir, role), "utf8"))).toEqual(
      tokens,
    );
  });

  it("refuses a token file that holds something else", async () => {
    const storeDir = scratch();
    writeFileSync(tokenFile(storeDir, "admin"), "secret\n", { mode: 0o600 });
    expect(await rejection(start({ options: { storeDir } }))).toMatchObject({ code: "CORRUPT" });
  });

  it("refuses to listen beyond this machine unless plaintext is accepted, then warns", async () => {
    const grpc = { host: "0.0.0.0", port: 0 };
    const refused = await rejection(start({ options: { grpc } }));
    expect(refused).toMatchObject({ code: "BAD_INPUT", found: "0.0.0.0" });
    expect(await rejection(start({ options: { http: { host: "::", port: 0 } } }))).toMatchObject({ code: "BAD_INPUT" });
    const warnings: string[] = [];
    const { coordinator, admin, storeDir } = await start({
      options: { grpc, insecurePlaintext: true },
      log: (level, _event, message) => void (level === "warn" && warnings.push(message)),
    });
    expect(warnings).toEqual([expect.stringContaining("INSECURE: 0.0.0.0:0 is open to the network")]);
    expect(coordinator.grpcAddress).toMatch(/^0\.0\.0\.0:/);
    const written = JSON.parse(readFileSync(join(storeDir, "coordinator.json"), "utf8")) as { grpc: string };
    expect(written.grpc).toBe(coordinator.grpcAddress.replace("0.0.0.0", "127.0.0.1"));
    expect((await admin.getStatus()).pid).toBe(process.pid);
  });

  it("names the port that is taken and leaves nothing open, or takes another when told to", async () => {
    const first = await start();
    const port = Number(first.coordinator.grpcAddress.split(":")[1]);
    const grpc = { host: "127.0.0.1", port };
    let closed = false;
    const store = openMemoryStore();
    const watched = {
      ...store,
      close: () => {
        closed = true;
        store.close();
      },
    };
    const taken = await rejection(start({ options: { grpc }, openStore: () => watched, log: silentLog }));
    expect(taken).toMatchObject({ code: "CONFLICT", found: `127.0.0.1:${port}` });
    expect(taken.message).toContain(`the gRPC port 127.0.0.1:${port} is taken by another program`);
    expect(closed).toBe(true);
    const other = await start({ options: { grpc, fallbackPort: true } });
    expect(other.coordinator.grpcAddress).not.toBe(first.coordinator.grpcAddress);
  });

  it("serves no page when told so", async () => {
    const { coordinator, admin } = await start({ options: { http: null } });
    expect(coordinator.httpAddress).toBeNull();
    expect((await admin.getStatus()).dashboard).toBe("");
    expect(coordinator.dashboardUrl).toBe("");
    await expect(coordinator.call({ kind: "SweepPaused", sweep: sweepId(4) })).rejects.toThrow(ConvsweepError);
  });
});
