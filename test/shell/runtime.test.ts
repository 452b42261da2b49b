import { describe, expect, it } from "vitest";
import type { Mutation } from "../../coordinator/core/events.js";
import { stateFrom } from "../../coordinator/core/state.js";
import { type Clock, systemClock } from "../../coordinator/shell/clock.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { type Origin, Runtime } from "../../coordinator/shell/runtime.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import type { Store } from "../../coordinator/store/store.js";
import {
  attemptId,
  type ConvsweepError,
  incarnation,
  type Millis,
  millis,
  sweepId,
  TIMES,
  token,
  trialId,
  workerId,
} from "../../proto/contract.js";
import { type ManualClock, manualClock, SPEC } from "./fixture.js";

const HELLO = {
  kind: "WorkerHello",
  worker: workerId("w"),
  incarnation: incarnation("incarnation-1"),
  host: "h",
  pid: 1,
  version: "1",
  devices: [],
  running: [],
} as const;

const DEVICE = { id: "cpu", name: "", backend: "cpu", fingerprint: "", memoryBytes: 0, lanes: 1 } as const;

/** Can also jump, firing late what was due meanwhile, as after a process was stopped. */
function stoppableClock() {
  let now = 1_000_000;
  const timers = new Map<() => void, Millis>();
  return {
    now: () => millis(now),
    schedule(at: Millis, action: () => void): () => void {
      timers.set(action, at);
      return () => void timers.delete(action);
    },
    advance(by: number): void {
      const end = now + by;
      for (;;) {
        const [next] = [...timers].filter(([, at]) => at <= end).sort(([, a], [, b]) => a - b);
        if (next === undefined) break;
        const [action, at] = next;
        timers.delete(action);
        now = Math.max(now, at);
        action();
      }
      now = end;
    },
    standStill(by: number): void {
      now += by;
      this.advance(0);
    },
  };
}

function make<C extends Clock = ManualClock>(store: Store = openMemoryStore(), clock: C = manualClock() as Clock as C) {
  const turns: (readonly Mutation[])[] = [];
  const order: string[] = [];
  const faults: ConvsweepError[] = [];
  const watched: Store = {
    ...store,
    commit(batch) {
      order.push(`commit ${batch.length}`);
      store.commit(batch);
    },
  };
  const runtime = new Runtime({
    state: stateFrom(store.load()),
    store: watched,
    clock,
    log: silentLog,
    listener: {
      effect: (effect) => void order.push(effect.kind === "send" ? effect.message.kind : effect.kind),
      turnEnded: (mutations) => void turns.push(mutations),
      fatal: (error) => void faults.push(error),
    },
  });
  const turn = (): Promise<void> => new Promise((resolve) => runtime.whenQuiet(resolve));
  return { runtime, clock, store, turns, order, faults, turn };
}

const origin = (order: string[], skip = false): Origin => ({
  skip: () => skip,
  committed: () => void order.push("committed"),
  failed: (error) => void order.push(`failed ${error.message}`),
});

describe("Runtime", () => {
  it("commits once for all that waits, tells senders, then lets effects out", async () => {
    const { runtime, order, turns, turn } = make();
    runtime.push(HELLO, origin(order));
    runtime.push({ ...HELLO, worker: workerId("v"), incarnation: incarnation("incarnation-2") }, origin(order));
    await turn();
    expect(order[0]).toMatch(/^commit /);
    expect(order.slice(1, 3)).toEqual(["committed", "committed"]);
    expect(order.filter((one) => one === "Welcome")).toHaveLength(2);
    expect(turns).toHaveLength(1);
  });

  it("does not decide what its sender took back", async () => {
    const { runtime, order, store, turn } = make();
    runtime.push(HELLO, origin(order, true));
    await turn();
    expect(order).toEqual([]);
    expect(store.load().workers).toEqual([]);
  });

  it("refuses an event that makes the core throw to its sender alone", async () => {
    const { runtime, order, faults, turn } = make();
    const poison = { ...HELLO, devices: null } as unknown as typeof HELLO;
    runtime.push(poison, origin(order));
    const answer = runtime.submit({ kind: "SweepSubmitted", spec: null as unknown as typeof SPEC });
    const good = runtime.submit({ kind: "SweepSubmitted", spec: SPEC });
    await turn();
    expect(order[0]).toMatch(/^(failed|commit)/);
    expect(order.some((one) => one.startsWith("failed"))).toBe(true);
    expect((await answer).ok).toBe(false);
    expect(await good).toMatchObject({ ok: true, value: { sweep: 1 } });
    expect(faults).toEqual([]);
  });

  it("stops for good when a commit fails, and says so to everybody once", async () => {
    const store = openMemoryStore();
    const { runtime, faults, order } = make({
      ...store,
      commit: () => {
        throw new Error("disk full");
      },
    });
    const calls = [1, 2].map(() => runtime.submit({ kind: "SweepSubmitted", spec: SPEC }));
    for (const reply of await Promise.all(calls)) {
      expect(reply).toMatchObject({ ok: false, error: { code: "UNAVAILABLE" } });
    }
    expect(faults.map((error) => error.message)).toEqual(["disk full"]);
    expect(await runtime.submit({ kind: "SweepSubmitted", spec: SPEC })).toMatchObject({ ok: false });
    runtime.push(HELLO, origin(order));
    expect(runtime.waiting).toBe(0);
    expect(order.filter((one) => !one.startsWith("commit"))).toEqual([]);
  });

  it("measures a lease from when the message came, not from when it was decided", async () => {
    const { runtime, store, clock, turn } = make();
    runtime.push({
      ...HELLO,
      devices: [{ id: "cpu", name: "", backend: "cpu", fingerprint: "", memoryBytes: 0, lanes: 1 }],
    });
    void runtime.submit({ kind: "SweepSubmitted", spec: SPEC });
    const received = clock.now();
    clock.advance(5_000);
    await turn();
    expect(store.load().attempts[0]?.leaseUntil).toBe(received + TIMES.offer);
  });

  it("shows the core the reports of its own turn", async () => {
    const { runtime, store, order, turn } = make();
    runtime.push({
      ...HELLO,
      devices: [{ id: "cpu", name: "", backend: "cpu", fingerprint: "", memoryBytes: 0, lanes: 1 }],
    });
    void runtime.submit({ kind: "SweepSubmitted", spec: SPEC });
    await turn();
    const attempt = attemptId(trialId(sweepId(1), 0), 1);
    const holder = { worker: HELLO.worker, incarnation: HELLO.incarnation, attempt, token: token(1) };
    const commits = order.filter((one) => one.startsWith("commit")).length;
    for (const val_accuracy of [0.5, 0.6]) {
      runtime.push({ kind: "Reported", ...holder, epoch: 1, step: 1, metrics: { val_accuracy } });
    }
    await turn();
    expect(order.filter((one) => one.startsWith("commit"))).toHaveLength(commits + 1);
    expect(store.attemptReports(attempt).map((report) => report.metrics)).toEqual([{ val_accuracy: 0.5 }]);
    // The second is not an equal repeat, and is said to be refused.
    const noted = store.events({ sweep: null, trial: null, limit: 100 }).filter((one) => one.detail.includes("0.6"));
    expect(noted).toMatchObject([{ attempt, kind: expect.stringContaining("refused") }]);
  });

  it("wakes the core when its earliest deadline comes, once", async () => {
    const { runtime, store, clock, turn } = make();
    runtime.push({
      ...HELLO,
      devices: [{ id: "cpu", name: "", backend: "cpu", fingerprint: "", memoryBytes: 0, lanes: 1 }],
    });
    void runtime.submit({ kind: "SweepSubmitted", spec: SPEC });
    await turn();
    clock.advance(TIMES.lease);
    await turn();
    clock.advance(TIMES.lease);
    await turn();
    expect(store.attempts(trialId(sweepId(1), 0))[0]?.state).toBe("lost");
    expect(store.load().workers[0]?.state).not.toBe("connected");
  });

  it.each([1, 3])("hears what came while it stood still before it judges a lease, %i times in a row", async (times) => {
    const { runtime, store, clock, turn } = make(openMemoryStore(), stoppableClock());
    runtime.push({ ...HELLO, devices: [DEVICE] });
    void runtime.submit({ kind: "SweepSubmitted", spec: SPEC });
    await turn();
    const held = { attempt: attemptId(trialId(sweepId(1), 0), 1), token: token(1) };
    const beat = { kind: "Heartbeat", worker: HELLO.worker, incarnation: HELLO.incarnation, running: [held] } as const;
    // Timers come before sockets when a process goes on: the wake fires first, the heartbeats follow.
    for (let time = 1; time <= times; time += 1) {
      clock.standStill(60_000);
      if (time < times) await turn();
    }
    runtime.push(beat);
    await turn();
    for (let passed = 0; passed < 2 * TIMES.lease; passed += TIMES.heartbeat) {
      clock.advance(TIMES.heartbeat);
      runtime.push(beat);
      await turn();
    }
    expect(store.load().attempts).toMatchObject([{ state: "offered", token: 1 }]);
    for (let times = 0; times < 2; times += 1) {
      clock.advance(TIMES.lease);
      await turn();
    }
    expect(store.attempts(trialId(sweepId(1), 0))[0]?.state).toBe("lost");
  });

  it("places a trial that waited although nobody is judged yet", async () => {
    const { runtime, store, clock, turn } = make(openMemoryStore(), stoppableClock());
    runtime.push({ ...HELLO, devices: [DEVICE] });
    void runtime.submit({ kind: "SweepSubmitted", spec: { ...SPEC, runCap: 1 } });
    await turn();
    const held = { attempt: attemptId(trialId(sweepId(1), 0), 1), token: token(1) };
    const { worker, incarnation } = HELLO;
    const outcome = { kind: "released", reason: "no data" } as const;
    runtime.push({ kind: "AttemptEnded", worker, incarnation, ...held, outcome });
    await turn();
    expect(store.load().trials[0]?.state).toBe("queued");
    // Longer than its back-off of two seconds, shorter than a lease from then.
    clock.standStill(5_000);
    await turn();
    expect(store.load().trials[0]?.state).toBe("leased");
    expect(store.load().workers[0]?.state).toBe("connected");
  });

  it("lets leases run out on a machine that is always late", async () => {
    const { runtime, store, clock, turn } = make(openMemoryStore(), stoppableClock());
    runtime.push({ ...HELLO, devices: [DEVICE] });
    void runtime.submit({ kind: "SweepSubmitted", spec: SPEC });
    await turn();
    for (let times = 0; times < 2; times += 1) {
      clock.standStill(TIMES.lease + 2_000);
      await turn();
    }
    expect(store.attempts(trialId(sweepId(1), 0))[0]?.state).toBe("lost");
  });

  it.each([
    ["for as long as others come back", 20_000, 29_000],
    ["but not for more than a minute after the start", 100_000, 60_000],
  ])("waits after a start for a worker that is not back yet, %s", (_how, comingMillis, givenUp) => {
    const hello = (n: number) => ({
      ...HELLO,
      worker: workerId(`w${n}`),
      incarnation: incarnation(`incarnation-${n}`),
      devices: [DEVICE],
    });
    const workers = 51;
    const before = make();
    for (let n = 0; n < workers; n += 1) before.runtime.push(hello(n));
    void before.runtime.submit({ kind: "SweepSubmitted", spec: { ...SPEC, runCap: workers } });
    before.runtime.settle();
    before.runtime.close();
    const { runtime, store, clock } = make(before.store);
    const started = clock.now();
    runtime.push({ kind: "Booted" });
    runtime.settle();
    const late = trialId(sweepId(1), [...runtime.state.attempts.values()].length - 1);
    const holder = store.attempts(late)[0]?.worker;
    const others = Array.from({ length: workers }, (_, n) => n).filter((n) => `w${n}` !== holder);
    const state = (): string | undefined => store.attempts(late)[0]?.state;
    expect(state()).toBe("offered");
    for (let passed = 0; state() === "offered"; passed += 500) {
      const next = passed % 2_000 === 0 && passed <= comingMillis ? others.shift() : undefined;
      // What it holds may have ended meanwhile, so it need not be listed.
      if (next !== undefined) runtime.push(hello(next));
      runtime.settle();
      clock.advance(500);
      runtime.settle();
    }
    expect(state()).toBe("lost");
    expect(clock.now() - started).toBe(givenUp);
  });

  it("decides what waits before it closes", () => {
    const { runtime, store } = make();
    runtime.push(HELLO);
    runtime.close();
    runtime.close();
    expect(store.load().workers).toHaveLength(1);
    runtime.push({ ...HELLO, worker: workerId("late") });
    expect(runtime.waiting).toBe(0);
  });

  it("answers a call about what is not there", async () => {
    const { runtime } = make();
    expect(await runtime.submit({ kind: "SweepPaused", sweep: sweepId(3) })).toMatchObject({
      ok: false,
      error: { code: "NOT_FOUND" },
    });
  });
});

describe("systemClock", () => {
  it("starts at the wall clock and never steps back", () => {
    const clock = systemClock(5_000);
    let last = clock.now();
    expect(last).toBeGreaterThanOrEqual(5_000);
    for (let i = 0; i < 1_000; i += 1) {
      const now = clock.now();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });

  it("fires at its time, not before, and not when cancelled", async () => {
    const clock = systemClock();
    const at = millis(clock.now() + 15);
    let cancelledFired = false;
    const cancel = clock.schedule(at, () => {
      cancelledFired = true;
    });
    cancel();
    const fired = await new Promise<number>((resolve) => void clock.schedule(at, () => resolve(clock.now())));
    expect(fired).toBeGreaterThanOrEqual(at);
    expect(cancelledFired).toBe(false);
  });

  it("waits longer than setTimeout can", async () => {
    const clock = systemClock();
    let fired = false;
    const cancel = clock.schedule(millis(clock.now() + 2 ** 33), () => {
      fired = true;
    });
    await new Promise<void>((resolve) => void clock.schedule(millis(clock.now() + 5), () => resolve()));
    cancel();
    expect(fired).toBe(false);
  });
});
