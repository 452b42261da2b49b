import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import type { Store } from "../../coordinator/store/store.js";
import { sweepId, trialId } from "../../proto/contract.js";
import { rejection, SPEC, scratch, start } from "./fixture.js";
import { ScriptedWorker } from "./scripted-worker.js";

const trial = (number: number) => trialId(sweepId(1), number);

type Crash = "before the commit" | "after the commit";

/** The store on disk; once armed, its next commit is the coordinator's last act. */
function mortal(dir: string) {
  const store = openSqliteStore(dir, { create: true });
  let crash: Crash | null = null;
  const wrapped: Store = {
    info: () => store.info(),
    position: () => store.position(),
    openingNotes: () => store.openingNotes(),
    makeRoom: () => store.makeRoom(),
    tryWriting: () => store.tryWriting(),
    load: () => store.load(),
    reports: (id) => store.reports(id),
    attemptReports: (id) => store.attemptReports(id),
    attempts: (id) => store.attempts(id),
    artifacts: (id) => store.artifacts(id),
    artifact: (id) => store.artifact(id),
    events: (filter) => store.events(filter),
    eventsOf: (...asked) => store.eventsOf(...asked),
    backup: (path) => store.backup(path),
    close: () => store.close(),
    commit(batch) {
      if (crash === "before the commit") throw new Error("the disk is gone");
      store.commit(batch);
      if (crash === "after the commit") throw new Error("the power is gone");
    },
  };
  const crashAt = (when: Crash): void => {
    crash = when;
  };
  return { store: wrapped, crashAt };
}

async function begin() {
  const storeDir = scratch();
  const fragile = mortal(storeDir);
  const first = await start({ options: { storeDir }, openStore: () => fragile.store });
  const worker = ScriptedWorker.of(storeDir, first.coordinator.grpcAddress);
  const welcome = await worker.link();
  await first.coordinator.submitSweep({ ...SPEC, runCap: 2 });
  const held = [await worker.next("assign"), await worker.next("assign")] as const;
  worker.started(held[0]);
  worker.started(held[1]);
  await worker.durable(worker.report(held[0], 1, 0.25));
  const again = async () => {
    const second = await start({ options: { storeDir }, openStore: (dir) => openSqliteStore(dir, { create: false }) });
    const same = ScriptedWorker.of(storeDir, second.coordinator.grpcAddress);
    const back = await same.link(held);
    // Its numbers go on, and what was not acknowledged goes out again, as a worker does it.
    same.seq = worker.acked;
    return { ...second, worker: same, welcome: back };
  };
  return { ...first, storeDir, fragile, worker, held, welcome, again };
}

/** All that a query would find at the end. */
function outcome(storeDir: string) {
  const store = openSqliteStore(storeDir, { create: false });
  const { trials, sweeps } = store.load();
  const result = {
    sweep: sweeps[0]?.state,
    trials: trials.map((one) => [one.id, one.state, one.attempts]),
    reports: store.reports(trial(0)).map((report) => [report.epoch, report.metrics["val_accuracy"]]),
  };
  store.close();
  return result;
}

const FINISHED = {
  sweep: "completed",
  trials: [
    ["1/0", "completed", 1],
    ["1/1", "completed", 1],
  ],
  reports: [
    [1, 0.25],
    [2, 0.5],
    [3, 0.75],
  ],
};

describe("a coordinator that ends", () => {
  it.each<Crash>(["before the commit", "after the commit"])(
    "by a crash %s loses nothing that was acknowledged and repeats nothing",
    async (when) => {
      const { coordinator, admin, storeDir, fragile, worker, held, welcome, again } = await begin();
      const acked = worker.acked;
      fragile.crashAt(when);
      worker.report(held[0], 2, 0.5);
      await expect(coordinator.failed).rejects.toThrow(
        when === "before the commit" ? "the disk is gone" : "the power is gone",
      );
      await worker.end();
      // Nothing was said about what may not be durable.
      expect(worker.acked).toBe(acked);
      expect(await rejection(admin.getStatus())).toMatchObject({ code: "UNAVAILABLE" });
      await expect(coordinator.call({ kind: "SweepPaused", sweep: sweepId(1) })).rejects.toThrow("had to stop");

      const next = await again();
      expect(next.welcome).toMatchObject({ store: welcome.store, received: 0, drop: [] });
      expect(next.welcome.keep.map((one) => one.token).sort()).toEqual(held.map((one) => one.token).sort());
      next.worker.report(held[0], 2, 0.5);
      next.worker.report(held[0], 3, 0.75);
      next.worker.completed(held[0]);
      await next.worker.durable(next.worker.completed(held[1]));
      await next.coordinator.close();
      expect(outcome(storeDir)).toEqual(FINISHED);
    },
  );

  it("in good order saves what had come in, removes its file and lets the next one go on", async () => {
    const { coordinator, storeDir, worker, held, again } = await begin();
    const last = worker.report(held[0], 2, 0.5);
    await worker.durable(last);
    await coordinator.close();
    expect((await worker.end()).details).toBe("the coordinator is closing");
    expect(existsSync(join(storeDir, "coordinator.json"))).toBe(false);
    await expect(coordinator.close()).resolves.toBeUndefined();

    const next = await again();
    next.worker.report(held[0], 3, 0.75);
    next.worker.completed(held[0]);
    await next.worker.durable(next.worker.completed(held[1]));
    await next.coordinator.close();
    expect(outcome(storeDir)).toEqual(FINISHED);
  });

  it("keeps a second one off its store while it lives", async () => {
    const { storeDir } = await begin();
    const second = start({ options: { storeDir }, openStore: (dir) => openSqliteStore(dir, { create: false }) });
    expect((await rejection(second)).code).toBe("IN_USE");
  });

  it("does not begin to serve when its first commit fails, and leaves the store free", async () => {
    const { coordinator, storeDir, again } = await begin();
    await coordinator.close();
    const fragile = mortal(storeDir);
    fragile.crashAt("before the commit");
    const grpc = { host: "127.0.0.1", port: Number(coordinator.grpcAddress.split(":")[1]) };
    const failing = start({ options: { storeDir, grpc }, openStore: () => fragile.store });
    expect(await rejection(failing)).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("the disk is gone"),
    });
    expect((await again()).welcome.keep).toHaveLength(2);
  });

  it("is never spoken for by calls that were not saved", async () => {
    const { coordinator, fragile, storeDir } = await begin();
    fragile.crashAt("before the commit");
    expect(await rejection(coordinator.submitSweep(SPEC))).toMatchObject({ code: "UNAVAILABLE" });
    await expect(coordinator.failed).rejects.toThrow("the disk is gone");
    const store = openSqliteStore(storeDir, { create: false });
    expect(store.load().sweeps).toHaveLength(1);
    store.close();
  });
});
