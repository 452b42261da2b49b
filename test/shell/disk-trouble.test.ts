/** A store that cannot be written: nothing is acknowledged, nothing is lost, and it goes on by itself (A7 to A12). */
import { describe, expect, it } from "vitest";
import { checkInvariants } from "../../coordinator/core/invariants.js";
import { emptyState, partsOf } from "../../coordinator/core/state.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { type Origin, Runtime } from "../../coordinator/shell/runtime.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import type { Store } from "../../coordinator/store/store.js";
import { ConvsweepError, type ErrorCode, incarnation, TIMES, workerId } from "../../proto/contract.js";
import { specOf } from "../core/rig.js";
import { manualClock } from "./fixture.js";

const HELLO = {
  kind: "WorkerHello",
  worker: workerId("w"),
  incarnation: incarnation("incarnation-1"),
  host: "h",
  pid: 1,
  version: "1",
  devices: [{ id: "cpu", name: "", backend: "cpu", fingerprint: "f", memoryBytes: 0, lanes: 1 }],
  running: [],
} as const;

function world() {
  const disk = { fault: null as ErrorCode | null, room: 0 };
  const memory = openMemoryStore();
  const check = (): void => {
    if (disk.fault !== null) throw new ConvsweepError(disk.fault, "no");
  };
  const store: Store = {
    ...memory,
    commit(batch) {
      check();
      memory.commit(batch);
    },
    makeRoom: () => {
      disk.room += 1;
    },
    tryWriting: check,
  };
  const clock = manualClock();
  const faults: ConvsweepError[] = [];
  const sent: string[] = [];
  const runtime = new Runtime({
    state: emptyState(),
    store,
    clock,
    log: silentLog,
    listener: {
      effect: (effect) => {
        if (effect.kind === "send") sent.push(effect.message.kind);
      },
      turnEnded: () => {},
      fatal: (error) => void faults.push(error),
    },
  });
  const heard: string[] = [];
  const origin: Origin = {
    skip: () => false,
    committed: () => void heard.push("committed"),
    failed: (error) => void heard.push(error.code),
  };
  const settle = (): void => {
    try {
      runtime.settle();
    } catch {
      // It had to stop: `faults` says so.
    }
  };
  return { runtime, memory, clock, disk, faults, sent, heard, origin, settle };
}

describe.each<ErrorCode>(["DISK_FULL", "READ_ONLY", "IO_ERROR"])("a store that answers %s", (code) => {
  it("acknowledges and sends nothing, leaves memory as the store is, and goes on when it can", () => {
    const { runtime, memory, clock, disk, faults, sent, heard, origin, settle } = world();
    runtime.push(HELLO, origin);
    settle();
    expect(heard).toEqual(["committed"]);
    const before = JSON.stringify(partsOf(runtime.state));

    disk.fault = code;
    const replies: unknown[] = [];
    runtime.ask({ kind: "SweepSubmitted", spec: specOf() }, (reply) => replies.push(reply));
    runtime.push({ kind: "Heartbeat", worker: HELLO.worker, incarnation: HELLO.incarnation, running: [] }, origin);
    settle();
    expect(JSON.stringify(partsOf(runtime.state))).toBe(before);
    expect(checkInvariants(runtime.state)).toEqual([]);
    expect(replies).toMatchObject([{ ok: false, error: { code } }]);
    expect(heard).toEqual(["committed", code]);
    expect(sent).toEqual(["Welcome"]);
    expect(runtime.trouble?.code).toBe(code);
    expect(disk.room).toBe(1);
    expect(faults).toEqual([]);

    // Whoever comes meanwhile is refused at once, and no lease is judged.
    runtime.push(HELLO, origin);
    runtime.ask({ kind: "SweepSubmitted", spec: specOf() }, (reply) => replies.push(reply));
    expect(heard.at(-1)).toBe(code);
    expect(replies).toHaveLength(2);
    clock.advance(60_000);
    expect(runtime.trouble?.code).toBe(code);

    disk.fault = null;
    clock.advance(1_000);
    expect(runtime.trouble).toBeNull();
    settle();
    runtime.ask({ kind: "SweepSubmitted", spec: specOf() }, (reply) => replies.push(reply));
    settle();
    expect(replies.at(-1)).toMatchObject({ ok: true });
    expect(memory.events({ sweep: null, trial: null, limit: 100 }).map(({ kind }) => kind)).toContain("store-degraded");
  });

  it("gives every lease a fresh time afterwards", () => {
    const { runtime, clock, disk, settle } = world();
    runtime.push(HELLO);
    runtime.ask({ kind: "SweepSubmitted", spec: specOf({ runCap: 1 }) }, () => {});
    settle();
    const [attempt] = runtime.state.attempts.values();
    disk.fault = code;
    runtime.push({ kind: "WorkerLinkLost", worker: HELLO.worker, incarnation: HELLO.incarnation });
    settle();
    clock.advance(120_000);
    disk.fault = null;
    clock.advance(1_000);
    settle();
    clock.advance(TIMES.lease - 1);
    settle();
    expect(runtime.state.attempts.get(attempt?.id ?? ("" as never))?.state).toBe("offered");
    clock.advance(1_001);
    settle();
    expect(runtime.state.attempts.size).toBe(0);
  });
});

it.each<ErrorCode>(["SYNC_FAILED", "CORRUPT"])("A7, A8: %s ends it, once is enough", (code) => {
  const { runtime, disk, faults, heard, origin, settle } = world();
  disk.fault = code;
  runtime.push(HELLO, origin);
  settle();
  expect(faults.map((error) => error.code)).toEqual([code]);
  expect(heard).toEqual([]);
  disk.fault = null;
  runtime.push(HELLO, origin);
  expect(runtime.waiting).toBe(0);
});

it("F5: an event that no store can hold takes no other down with it", () => {
  const { runtime, memory, heard, origin, settle } = world();
  const odd = { ...HELLO, worker: workerId("odd \ud800"), incarnation: incarnation("incarnation-2") };
  const last = { ...HELLO, worker: workerId("last"), incarnation: incarnation("incarnation-3") };
  for (const event of [HELLO, odd, last]) runtime.push(event, origin);
  settle();
  expect(heard).toEqual(["committed", "BAD_INPUT", "committed"]);
  expect(memory.load().workers.map(({ id }) => id)).toEqual(["last", "w"]);
  expect([...runtime.state.workers.keys()].sort()).toEqual(["last", "w"]);
});
