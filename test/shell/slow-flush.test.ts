/** A store that is still waiting for its disk: what the runtime does meanwhile, and what it keeps back. */
import { expect, it } from "vitest";
import type { Mutation } from "../../coordinator/core/events.js";
import { emptyState } from "../../coordinator/core/state.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { type Origin, Runtime } from "../../coordinator/shell/runtime.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import type { Store } from "../../coordinator/store/store.js";
import { ConvsweepError, incarnation, workerId } from "../../proto/contract.js";
import { manualClock } from "./fixture.js";

const hello = (name: string) =>
  ({
    kind: "WorkerHello",
    worker: workerId(name),
    incarnation: incarnation(`incarnation-${name}`),
    host: "h",
    pid: 1,
    version: "1",
    devices: [],
    running: [],
    previous: [],
    commitsAhead: 0,
  }) as const;

/** `flush` lets the disk finish; with an error it is known that it may not have. */
function world() {
  const memory = openMemoryStore();
  const happened: string[] = [];
  const faults: ConvsweepError[] = [];
  let flush: ((failed: ConvsweepError | null) => void) | null = null;
  const store: Store = {
    ...memory,
    commitLater(batch: readonly Mutation[], durable) {
      happened.push("written");
      const done = (failed: ConvsweepError | null): void => {
        if (flush !== done) return;
        flush = null;
        happened.push(failed ? "failed" : "durable");
        if (failed === null) memory.commit(batch);
        durable(failed);
      };
      flush = done;
      return () => done(null);
    },
  };
  const runtime = new Runtime({
    state: emptyState(),
    store,
    clock: manualClock(),
    log: silentLog,
    turns: { events: 1_024, millis: 1_000, next: (turn) => setImmediate(turn), hurry: () => {}, committed: () => {} },
    listener: {
      effect: (effect) => void (effect.kind === "send" && happened.push(`${effect.message.kind} ${effect.worker}`)),
      turnEnded: () => void happened.push("turn ended"),
      fatal: (error) => void faults.push(error),
    },
  });
  const origin = (name: string): Origin => ({
    skip: () => false,
    committed: () => void happened.push(`committed ${name}`),
    failed: () => void happened.push(`refused ${name}`),
  });
  const say = (name: string): void => runtime.push(hello(name), origin(name));
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { runtime, memory, happened, faults, say, turn, flush: (failed: ConvsweepError | null) => flush?.(failed) };
}

it("lets nothing out before the disk has it, and decides nothing meanwhile", async () => {
  const { runtime, happened, say, turn, flush } = world();
  say("a");
  await turn();
  expect(happened).toEqual(["written"]);
  say("b");
  await turn();
  expect(happened).toEqual(["written"]);
  expect([runtime.waiting, runtime.state.workers.size]).toEqual([1, 1]);
  flush(null);
  expect(happened).toEqual(["written", "durable", "committed a", "Welcome a", "turn ended"]);
  await turn();
  flush(null);
  expect(happened.slice(5)).toEqual(["written", "durable", "committed b", "Welcome b", "turn ended"]);
});

it("tells whoever asks for what is durable after the turn, at once when nothing is on its way", async () => {
  const { runtime, happened, say, turn, flush } = world();
  const ask = (): void => runtime.whenDurable(() => void happened.push("asked"));
  ask();
  expect(happened.splice(0)).toEqual(["asked"]);
  say("a");
  await turn();
  ask();
  expect(happened).toEqual(["written"]);
  flush(null);
  expect(happened.slice(-2)).toEqual(["turn ended", "asked"]);
});

it("waits for the disk itself when everything has to be settled", async () => {
  const { runtime, memory, happened, say, turn } = world();
  say("a");
  await turn();
  say("b");
  runtime.settle();
  expect(happened.filter((one) => one.startsWith("Welcome"))).toEqual(["Welcome a", "Welcome b"]);
  expect(memory.load().workers.map(({ id }) => id)).toEqual(["a", "b"]);
});

it("saves what is on its way, and what waits behind it, when it is closed", async () => {
  const { runtime, memory, say, turn, faults } = world();
  say("a");
  await turn();
  say("b");
  runtime.close();
  expect(memory.load().workers.map(({ id }) => id)).toEqual(["a", "b"]);
  expect(faults).toEqual([]);
});

it("stops for good, having said nothing, when nobody knows whether the disk has it", async () => {
  const { runtime, happened, say, turn, flush, faults } = world();
  say("a");
  const answer = runtime.submit({ kind: "SweepCancelled", sweep: 1 as never });
  await turn();
  flush(new ConvsweepError("SYNC_FAILED", "no"));
  expect(faults.map(({ code }) => code)).toEqual(["SYNC_FAILED"]);
  expect(happened).toEqual(["written", "failed"]);
  expect(await answer).toMatchObject({ ok: false, error: { code: "UNAVAILABLE" } });
  say("b");
  await turn();
  expect(happened).toEqual(["written", "failed"]);
});
