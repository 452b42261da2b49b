/** What a bad network does to a Link (section C of the fault plan): a real coordinator, a proxy that misbehaves. */
import { describe, expect, it } from "vitest";
import type { Mutation } from "../../coordinator/core/events.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import type { Store } from "../../coordinator/store/store.js";
import { attemptId, sweepId, trialId } from "../../proto/contract.js";
import { ChaosProxy } from "./chaos-proxy.js";
import { SPEC, start } from "./fixture.js";
import { ScriptedWorker } from "./scripted-worker.js";

/** A coordinator whose commits can be awaited, and a worker with one running attempt behind a proxy. */
async function begin() {
  const store = openMemoryStore();
  const watchers = new Set<() => void>();
  const commit = store.commit.bind(store);
  const watched: Store = Object.assign(Object.create(store) as Store, {
    commit(batch: readonly Mutation[]) {
      commit(batch);
      for (const wake of watchers) wake();
    },
  });
  for (const name of ["info", "load", "reports", "attemptReports", "attempts", "events", "backup", "close"] as const)
    Object.assign(watched, { [name]: store[name].bind(store) });
  for (const name of ["position", "openingNotes"] as const) Object.assign(watched, { [name]: store[name].bind(store) });
  const started = await start({ openStore: () => watched });
  const proxy = await ChaosProxy.to(started.coordinator.grpcAddress);
  const worker = ScriptedWorker.of(started.storeDir, proxy.address);
  await worker.link();
  await started.coordinator.submitSweep({ ...SPEC, runCap: 1 });
  const held = await worker.next("assign");
  await worker.durable(worker.started(held));
  const reports = (): readonly number[] =>
    store.attemptReports(attemptId(trialId(sweepId(1), 0), 1)).map(({ epoch }) => epoch);
  const recorded = async (epochs: number): Promise<void> => {
    while (reports().length < epochs) await new Promise<void>((resolve) => void watchers.add(resolve));
  };
  return { ...started, proxy, worker, held, reports, recorded };
}

describe("a bad network", () => {
  it("C6: cut after the commit, before the acknowledgement: sent again, one row", async () => {
    const { proxy, worker, held, reports, recorded } = await begin();
    proxy.hold("down");
    const seq = worker.report(held, 1, 0.5);
    await recorded(1);
    expect(worker.acked).toBeLessThan(seq);
    proxy.reset();
    await worker.end();
    proxy.heal();
    const welcome = await worker.link([held]);
    expect(welcome.keep).toMatchObject([{ attempt: held.attempt }]);
    // The coordinator says that it has it; a worker that sends it all the same changes nothing.
    expect(welcome.received).toBe(seq);
    worker.seq = seq - 1;
    worker.report(held, 1, 0.5);
    await worker.durable(worker.report(held, 2, 0.75));
    expect(reports()).toEqual([1, 2]);
  });

  it("C5: reset again and again: every report on record once, the attempt stays", async () => {
    const { proxy, worker, held, reports, recorded } = await begin();
    for (let epoch = 1; epoch <= 3; epoch += 1) {
      for (const bytes of [40, 400]) {
        const unsaid = worker.seq;
        // Somewhere in what the coordinator answers, the Welcome included.
        proxy.cutAfter(bytes);
        worker.report(held, epoch, epoch / 10);
        await recorded(epoch);
        proxy.reset();
        await worker.end();
        proxy.heal();
        const { received, drop } = await worker.link([held]);
        expect(drop).toEqual([]);
        // The second report of an epoch may have gone down with its connection before it came in.
        expect(received).toBeGreaterThanOrEqual(unsaid);
        worker.seq = received;
      }
    }
    expect(reports()).toEqual([1, 2, 3]);
  });

  it("C4: slow both ways: nothing is lost, nothing twice", async () => {
    const { proxy, worker, held, reports } = await begin();
    proxy.delay(300);
    worker.report(held, 1, 0.1);
    worker.heartbeat([held]);
    worker.report(held, 2, 0.2);
    await worker.durable(worker.report(held, 3, 0.3));
    expect(reports()).toEqual([1, 2, 3]);
  });

  it("C1: silent for less than a lease: the same attempt goes on", async () => {
    const { proxy, worker, held, reports } = await begin();
    proxy.hold("up");
    proxy.hold("down");
    worker.heartbeat([held]);
    proxy.reset();
    await worker.end();
    proxy.heal();
    const welcome = await worker.link([held]);
    expect(welcome.keep).toMatchObject([{ attempt: held.attempt, token: held.token }]);
    worker.seq = welcome.received;
    await worker.durable(worker.report(held, 1, 0.5));
    expect(reports()).toEqual([1]);
  });
});
