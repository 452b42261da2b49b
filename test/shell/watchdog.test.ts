/** A coordinator that runs and does nothing ends itself after thirty seconds that it lived; one that has a reason does not. */
import { expect, it } from "vitest";
import type { Clock } from "../../coordinator/shell/clock.js";
import { DEAD_SECONDS, type VitalSigns, watchOver } from "../../coordinator/shell/watchdog.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { millis } from "../../proto/contract.js";
import { type ManualClock, manualClock, SPEC, start } from "./fixture.js";

/** Vital signs that a test changes, and what the watchdog called. */
function patient() {
  const clock = manualClock();
  const said: string[] = [];
  const now = { listening: true, durable: true, waiting: 0, decided: 0, excused: false };
  const flushed: (() => void)[] = [];
  const signs: VitalSigns = {
    listening: () => now.listening,
    whenDurable: (action) => {
      if (now.durable) action();
      else flushed.push(action);
    },
    waiting: () => now.waiting,
    decided: () => now.decided,
    excused: () => now.excused,
  };
  const stop = watchOver(clock, signs, (why) => said.push(why));
  const flush = (): void => {
    for (const action of flushed.splice(0)) action();
  };
  return { clock, said, now, flush, stop };
}

const seconds = (clock: ManualClock, count: number): void => clock.advance(count * 1_000);

it("says nothing of one that is idle, or busy", () => {
  const { clock, said, now } = patient();
  seconds(clock, 1_000);
  now.waiting = 500;
  for (let n = 0; n < 1_000; n += 1) {
    now.decided += 1;
    seconds(clock, 1);
  }
  expect(said).toEqual([]);
});

it("calls one dead, once, that does not listen, whose commit does not end, or that decides nothing, for thirty seconds", () => {
  const deaths: readonly (readonly [(now: ReturnType<typeof patient>["now"]) => void, RegExp])[] = [
    [(now) => Object.assign(now, { listening: false }), /^a port takes no more connections for 30 s$/],
    [(now) => Object.assign(now, { durable: false }), /^the disk does not end a commit for 30 s$/],
    [(now) => Object.assign(now, { waiting: 1 }), /^events wait and none is decided for 30 s$/],
  ];
  for (const [die, why] of deaths) {
    const { clock, said, now } = patient();
    seconds(clock, 100);
    die(now);
    // The first look at a commit only asks to be told of its end.
    seconds(clock, DEAD_SECONDS - 1);
    expect(said).toEqual([]);
    seconds(clock, 100);
    expect(said).toEqual([expect.stringMatching(why)]);
  }
});

it("begins anew with every sign of life", () => {
  const { clock, said, now, flush } = patient();
  for (let n = 0; n < 20; n += 1) {
    Object.assign(now, { listening: false, durable: false, waiting: 1 });
    seconds(clock, DEAD_SECONDS - 1);
    Object.assign(now, { listening: true, durable: true, decided: now.decided + 1 });
    flush();
    seconds(clock, 1);
  }
  expect(said).toEqual([]);
});

it("waits with one whose disk is full", () => {
  const { clock, said, now } = patient();
  Object.assign(now, { waiting: 1, excused: true });
  seconds(clock, 1_000);
  expect(said).toEqual([]);
});

it("counts no time in which the process was stopped", () => {
  let at = 0;
  const timer = { fire: (): void => {} };
  const clock: Clock = {
    now: () => millis(at),
    schedule(_at, action) {
      timer.fire = action;
      return () => {};
    },
  };
  const said: string[] = [];
  const signs = { listening: () => false, waiting: () => 0, decided: () => 0, excused: () => false };
  watchOver(clock, { ...signs, whenDurable: (action) => action() }, (why) => said.push(why));
  for (let look = 1; look < DEAD_SECONDS; look += 1) {
    // A timer fires once, however late it comes.
    at += 3_600_000;
    timer.fire();
  }
  expect(said).toEqual([]);
  timer.fire();
  expect(said).toHaveLength(1);
});

it("is not asked any more once the coordinator closes", () => {
  const { clock, said, now, stop } = patient();
  now.listening = false;
  seconds(clock, 10);
  stop();
  seconds(clock, 100);
  expect(said).toEqual([]);
});

it("ends a coordinator whose disk does not answer, after saying why", async () => {
  const clock = manualClock();
  const memory = openMemoryStore();
  const said: string[] = [];
  let stuck = false;
  let aborted = 0;
  const { admin, coordinator } = await start({
    clock,
    openStore: () => ({
      ...memory,
      commitLater(batch, durable) {
        if (stuck) return () => {};
        memory.commit(batch);
        setImmediate(() => durable(null));
        return () => {};
      },
    }),
    log: (level, event, message) => void (level === "error" && said.push(`${event}: ${message}`)),
    abort: () => {
      aborted += 1;
    },
  });
  await admin.submitSweep("one", JSON.stringify(SPEC));
  seconds(clock, 2 * DEAD_SECONDS);
  expect([aborted, said]).toEqual([0, []]);
  stuck = true;
  const never = coordinator.submitSweep(SPEC).catch(() => "closed");
  await new Promise((resolve) => setTimeout(resolve, 0));
  while (aborted === 0) {
    seconds(clock, 1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(said).toEqual(["coordinator-stopping: the coordinator ends itself: the disk does not end a commit for 30 s"]);
  await coordinator.close();
  expect(await never).toBe("closed");
});
