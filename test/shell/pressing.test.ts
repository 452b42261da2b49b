/** Events that somebody waits for: their turn does not wait for company, and ends with the last of them. */
import fc from "fast-check";
import { afterEach, expect, it, vi } from "vitest";
import type { Event, Mutation } from "../../coordinator/core/events.js";
import { emptyState } from "../../coordinator/core/state.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { Runtime } from "../../coordinator/shell/runtime.js";
import { eventLoopTurns } from "../../coordinator/shell/turns.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { attemptId, incarnation, sweepId, token, trialId, workerId } from "../../proto/contract.js";
import { manualClock } from "./fixture.js";

afterEach(() => void vi.useRealTimers());

const WHO = { worker: workerId("w"), incarnation: incarnation("incarnation-1") } as const;
const HELD = { ...WHO, attempt: attemptId(trialId(sweepId(1), 0), 1), token: token(1) } as const;
const END: Event = { kind: "AttemptEnded", ...HELD, outcome: { kind: "stopped", weightsHash: null } };
const report = (step: number): Event => ({ kind: "Reported", ...HELD, epoch: 1, step, metrics: { loss: 1 } });
/** What every event changes, so that every turn has something to commit. */
const CHANGE: Mutation = { kind: "setSweeps", last: sweepId(1) };

/** A runtime whose core notes what it decides; a turn is taken, and a disk done, when the test says so. */
function world() {
  const decided: Event[][] = [];
  let [turn, flush]: [(() => void) | null, (() => void) | null] = [null, null];
  let hurried = false;
  let fresh = true;
  const runtime = new Runtime({
    state: emptyState(),
    store: {
      ...openMemoryStore(),
      commitLater: (_batch, durable) => {
        fresh = true;
        flush = () => {
          flush = null;
          durable(null);
        };
        return () => flush?.();
      },
    },
    clock: manualClock(),
    log: silentLog,
    turns: {
      events: 1_024,
      millis: 1_000,
      next: (soon) => {
        [turn, hurried] = [soon, false];
      },
      hurry: () => {
        hurried = true;
      },
      committed: () => undefined,
    },
    enact: (_state, event) => {
      if (fresh) decided.push([]);
      fresh = false;
      decided.at(-1)?.push(event);
      return { mutations: [CHANGE], effects: [], undo: () => undefined };
    },
    listener: {
      effect: () => undefined,
      turnEnded: () => undefined,
      fatal: (error) => {
        throw error;
      },
    },
  });
  return {
    runtime,
    decided,
    get hurried() {
      return hurried && turn !== null;
    },
    turn: (): void => {
      const taken = turn;
      turn = null;
      taken?.();
    },
    flush: () => flush?.(),
  };
}

it("decides in order; a turn ends with the last pressing event that waited for it, or with the last", () => {
  const step = fc.constantFrom("report" as const, "end" as const, "turn" as const, "flush" as const);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const here = world();
      const said: Event[] = [];
      let [number, turns] = [0, 0];
      /** Not decided yet, as the runtime should see it. */
      let waiting: Event[] = [];
      for (const what of [...steps, ...Array.from({ length: 130 }, (_, i) => (i % 2 ? "flush" : "turn"))]) {
        if (what === "report" || what === "end") {
          const event = what === "end" ? END : report(++number);
          said.push(event);
          waiting.push(event);
          here.runtime.push(event);
        } else if (what === "flush") here.flush();
        else {
          const asked = here.hurried;
          here.turn();
          if (here.decided.length === turns) continue;
          turns += 1;
          const last = waiting.lastIndexOf(END);
          expect(asked).toBe(last >= 0);
          expect(here.decided.at(-1)).toEqual(waiting.slice(0, last < 0 ? waiting.length : last + 1));
          waiting = last < 0 ? [] : waiting.slice(last + 1);
        }
      }
      expect(here.decided.flat()).toEqual(said);
    }),
  );
});

it("takes a turn at once, and once, when it is hurried while it waits for company", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] });
  let now = 0;
  const turns = eventLoopTurns(() => now);
  const taken: string[] = [];
  for (let i = 0; i < 20; i += 1) turns.committed(100);
  turns.next(() => void taken.push("waits"), 1);
  vi.advanceTimersByTime(7);
  expect(taken).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(taken).toEqual(["waits"]);
  turns.hurry();
  turns.next(() => void taken.push("hurried"), 1);
  turns.hurry();
  expect(taken).toEqual(["waits"]);
  vi.advanceTimersByTime(0);
  expect(taken).toEqual(["waits", "hurried"]);
  turns.hurry();
  vi.advanceTimersByTime(100);
  expect(taken).toEqual(["waits", "hurried"]);
  now = 8;
  turns.next(() => void taken.push("nothing was committed lately"), 1);
  vi.advanceTimersByTime(0);
  expect(taken).toHaveLength(3);
});
