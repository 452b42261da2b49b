import { describe, expect, it } from "vitest";
import { emptyState } from "../../coordinator/core/state.js";
import { LinkSession } from "../../coordinator/shell/link-session.js";
import { Links } from "../../coordinator/shell/links.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { type Origin, Runtime } from "../../coordinator/shell/runtime.js";
import type { RequestBody } from "../../coordinator/shell/wire.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import type { Store } from "../../coordinator/store/store.js";
import { ConvsweepError, LIMITS, PROTOCOL, workerId } from "../../proto/contract.js";
import type { Hello, LinkResponse, Numbered } from "../../proto/gen/convsweep/v1/worker.js";
import { manualClock } from "./fixture.js";

const HELLO: Extract<RequestBody, { readonly $case: "hello" }> = {
  $case: "hello",
  value: {
    protocolMajor: PROTOCOL.major,
    protocolMinor: 0,
    worker: "w",
    incarnation: "incarnation-1",
    host: "h",
    pid: 1,
    version: "1",
    devices: [{ id: "cpu", name: "", backend: "cpu", fingerprint: "f", memoryBytes: 0, lanes: 1 }],
    running: [],
    previous: [],
    seenStore: "",
    seenGeneration: 0,
    seenCommit: 0,
    seenOpening: "",
  },
};
const POSITION = () => ({ uuid: "store", generation: 0, commit: 0, openings: [] });
const DRAINING = { $case: "draining", value: {} } as const;

/** Links without sockets: the runtime turns only when the test lets it. */
function world(store: Store = openMemoryStore()) {
  const clock = manualClock();
  const links = new Links();
  const faults: ConvsweepError[] = [];
  const runtime = new Runtime({
    state: emptyState(),
    store,
    clock,
    log: silentLog,
    listener: {
      effect: (effect) => {
        if (effect.kind === "send") links.send(effect);
      },
      turnEnded: () => links.turnEnded(),
      fatal: (error) => void faults.push(error),
    },
  });
  const turn = (): Promise<void> => new Promise((resolve) => runtime.whenQuiet(resolve));
  const open = () => {
    const written: LinkResponse[] = [];
    const seen = { written, end: undefined as ConvsweepError | null | undefined, backlog: 0, paused: false };
    const session = new LinkSession(
      {
        write: (message) => void written.push(message),
        backlog: () => seen.backlog,
        end: (error) => {
          seen.end = error;
        },
        pause: () => {
          seen.paused = true;
        },
        resume: () => {
          seen.paused = false;
        },
      },
      { runtime, links, clock, log: silentLog, store: POSITION },
      "test",
    );
    const hello = async (as: Partial<Hello> = {}): Promise<void> => {
      session.receive({ seq: 0, ack: 0, body: { ...HELLO, value: { ...HELLO.value, ...as } } });
      await turn();
    };
    return { session, seen, hello };
  };
  return { clock, links, runtime, turn, open, faults };
}

describe("LinkSession", () => {
  it("acknowledges nothing before the commit, then all of a turn at once", async () => {
    const { open, turn } = world();
    const { session, seen, hello } = open();
    await hello();
    expect(seen.written.map((message) => message.body?.$case)).toEqual(["welcome"]);
    for (let seq = 1; seq <= 100; seq += 1) session.receive({ seq, ack: 0, body: DRAINING });
    expect(seen.written).toHaveLength(1);
    await turn();
    expect(seen.written.slice(1)).toEqual([{ seq: 0, ack: 100, body: undefined, commit: 0 }]);
  });

  it("puts no number on a message that goes out before the commit", async () => {
    const { open } = world();
    const { session, seen, hello } = open();
    await hello();
    session.receive({ seq: 1, ack: 0, body: DRAINING });
    session.send({ kind: "Drain" });
    expect(seen.written.at(-1)).toMatchObject({ seq: 1, ack: 0, body: { $case: "drain" } });
  });

  it("acknowledges nothing after a message that the core refused, and asks for it again", () => {
    const { clock, links, runtime } = world();
    const origins: Origin[] = [];
    const stub = new Proxy(runtime, {
      get: (target, key) =>
        key === "push"
          ? (_event: unknown, origin: Origin | null) => origin && origins.push(origin)
          : Reflect.get(target, key, target),
    });
    const open = () => {
      const written: LinkResponse[] = [];
      const ends: (ConvsweepError | null)[] = [];
      const stream = {
        write: (message: LinkResponse) => void written.push(message),
        backlog: () => 0,
        end: (error: ConvsweepError | null) => void ends.push(error),
        pause: () => {},
        resume: () => {},
      };
      const session = new LinkSession(stream, { runtime: stub, links, clock, log: silentLog, store: POSITION }, "test");
      session.receive({ seq: 0, ack: 0, body: HELLO });
      return { session, written, ends };
    };
    const { session, ends } = open();
    for (const seq of [1, 2, 3]) session.receive({ seq, ack: 0, body: DRAINING });
    const [hello, first, second, third] = origins;
    hello?.committed();
    first?.committed();
    second?.failed(new ConvsweepError("INTERNAL", "a fault of the core"));
    expect(third?.skip()).toBe(true);
    expect(ends).toMatchObject([{ code: "INTERNAL" }]);
    const next = open();
    next.session.send({ kind: "Welcome", keep: [], drop: [] });
    expect(next.written).toMatchObject([{ ack: 1, body: { $case: "welcome", value: { received: 1 } } }]);
  });

  it("counts what was decided before a refused message of the same turn", async () => {
    const { runtime, open, turn } = world();
    const { session, hello } = open();
    await hello();
    session.receive({ seq: 1, ack: 0, body: DRAINING });
    await turn();
    let armed = true;
    const poisoned = new Proxy(runtime.state.workers, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== "function") return member;
        return (...args: unknown[]): unknown => {
          if (key === "get" && armed && runtime.waiting === 0) throw new Error("a fault of the core");
          return (member as (...given: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    Object.assign(runtime.state, { workers: poisoned });
    for (const seq of [2, 3]) session.receive({ seq, ack: 0, body: DRAINING });
    await turn();
    armed = false;
    const next = open();
    await next.hello();
    expect(next.seen.written[0]).toMatchObject({ body: { $case: "welcome", value: { received: 2 } } });
    next.session.receive({ seq: 3, ack: 0, body: DRAINING });
    await turn();
    expect(next.seen.end).toBeUndefined();
    expect(next.seen.written.at(-1)).toMatchObject({ ack: 3 });
  });

  it("ends when more than the window waits for its ack", async () => {
    const { open } = world();
    const { session, seen, hello } = open();
    await hello();
    for (let seq = 1; seq <= LIMITS.linkWindow; seq += 1) session.receive({ seq, ack: 0, body: DRAINING });
    expect(seen.end).toBeUndefined();
    session.receive({ seq: LIMITS.linkWindow + 1, ack: 0, body: DRAINING });
    expect(seen.end).toMatchObject({ code: "TOO_LARGE" });
  });

  it("takes the numbers of a life it does not know from where they stand", async () => {
    const { open, turn } = world();
    const { session, seen, hello } = open();
    await hello();
    session.receive({ seq: 1_001, ack: 0, body: DRAINING });
    session.receive({ seq: 1_002, ack: 0, body: DRAINING });
    await turn();
    expect(seen.written.at(-1)).toEqual({ seq: 0, ack: 1_002, body: undefined, commit: 0 });
    session.receive({ seq: 1_004, ack: 0, body: DRAINING });
    expect(seen.end).toMatchObject({ code: "BAD_INPUT", path: "seq", expected: "1003", found: "1004" });
  });

  it("takes a batch as its messages one by one, and acknowledges the last", async () => {
    const { open, turn, runtime } = world();
    const { session, seen, hello } = open();
    await hello();
    const batch = (seq: number, count: number): void =>
      session.receive({
        seq,
        ack: 0,
        body: { $case: "batch", value: { messages: Array(count).fill({ body: DRAINING }) } },
      });
    batch(1, 3);
    expect(runtime.waiting).toBe(3);
    session.receive({ seq: 4, ack: 0, body: DRAINING });
    batch(5, 1);
    await turn();
    expect(seen.written.slice(1)).toEqual([{ seq: 0, ack: 5, body: undefined, commit: 0 }]);
    // Sent again on a new Link the lots may be others.
    batch(4, 4);
    expect(runtime.waiting).toBe(2);
    await turn();
    expect(seen.written.at(-1)).toMatchObject({ ack: 7 });
    batch(9, 2);
    expect(seen.end).toMatchObject({ code: "BAD_INPUT", path: "seq", expected: "8", found: "9" });
  });

  it.each([
    ["nothing in it", [], "batch.messages.length: expected a whole number 1 .. 256, found 0"],
    ["more than may be ahead", Array(257).fill({ body: DRAINING }), "expected a whole number 1 .. 256, found 257"],
    ["a gap", [{ body: DRAINING }, { body: undefined }], 'batch.messages[1].body: expected a message, found "nothing"'],
  ])("ends a Link for a batch with %s", async (_what, messages: Numbered[], message) => {
    const { open } = world();
    const { session, seen, hello } = open();
    await hello();
    session.receive({ seq: 1, ack: 0, body: { $case: "batch", value: { messages } } });
    expect(seen.end).toMatchObject({ code: "BAD_INPUT", message: expect.stringContaining(message) });
  });

  it("takes nothing of a batch that comes while nothing can be recorded, and asks for all of it again", async () => {
    const disk = { full: false };
    const memory = openMemoryStore();
    const { clock, open, runtime } = world({
      ...memory,
      commit: (mutations) => {
        if (disk.full) throw new ConvsweepError("DISK_FULL", "no room");
        memory.commit(mutations);
      },
    });
    const [batching, other] = [open(), open()];
    await batching.hello();
    await other.hello({ worker: "other", incarnation: "incarnation-2" });
    disk.full = true;
    other.session.receive({ seq: 1, ack: 0, body: DRAINING });
    expect(() => runtime.settle()).not.toThrow();
    expect(runtime.trouble).toMatchObject({ code: "DISK_FULL" });
    const messages = Array(3).fill({ body: DRAINING });
    batching.session.receive({ seq: 1, ack: 0, body: { $case: "batch", value: { messages } } });
    expect(batching.seen.end).toMatchObject({ code: "DISK_FULL" });
    disk.full = false;
    clock.advance(1_000);
    expect(runtime.trouble).toBeNull();
    const again = open();
    await again.hello();
    expect(again.seen.written).toMatchObject([{ ack: 0, body: { $case: "welcome", value: { received: 0 } } }]);
  });

  it("takes no batch without a number, nor as the first message", async () => {
    const { open } = world();
    const body: RequestBody = { $case: "batch", value: { messages: [{ body: DRAINING }] } };
    const first = open();
    first.session.receive({ seq: 1, ack: 0, body });
    expect(first.seen.end).toMatchObject({ code: "BAD_INPUT", message: "body: a Link begins with Hello" });
    const later = open();
    await later.hello();
    later.session.receive({ seq: 0, ack: 0, body });
    expect(later.seen.end).toMatchObject({ code: "BAD_INPUT", path: "seq" });
  });

  it("holds a batch to the window, as its messages alone", async () => {
    const { open } = world();
    const { session, seen, hello } = open();
    await hello();
    session.receive({ seq: 1, ack: 0, body: DRAINING });
    const messages = Array(LIMITS.linkWindow).fill({ body: DRAINING });
    session.receive({ seq: 2, ack: 0, body: { $case: "batch", value: { messages } } });
    expect(seen.end).toMatchObject({ code: "TOO_LARGE" });
  });

  it("takes no hello of a life that its successor has named dead, while that is linked", async () => {
    const { open, runtime, turn } = world();
    const [second, first, other] = [open(), open(), open()];
    await second.hello({ incarnation: "incarnation-2", previous: ["incarnation-1", "incarnation-2"] });
    first.session.receive({ seq: 0, ack: 0, body: HELLO });
    expect(first.seen.end).toMatchObject({ code: "CONFLICT", path: "hello.incarnation", found: "incarnation-1" });
    expect(runtime.state.workers.get(workerId("w"))).toMatchObject({
      incarnation: "incarnation-2",
      state: "connected",
    });
    // Another worker's word does not count, nor its own about itself.
    await other.hello({ worker: "v", incarnation: "incarnation-3", previous: ["incarnation-2"] });
    const again = open();
    await again.hello({ incarnation: "incarnation-2" });
    expect(again.seen.end).toBeUndefined();
    again.session.lost();
    await turn();
    const late = open();
    await late.hello();
    expect(late.seen.written).toMatchObject([{ body: { $case: "welcome" } }]);
  });

  it("ends when no hello comes, and not after one", async () => {
    const { clock, open } = world();
    const silent = open();
    const polite = open();
    await polite.hello();
    clock.advance(5_000);
    polite.session.receive({ seq: 0, ack: 0, body: { $case: "heartbeat", value: { running: [], use: [] } } });
    clock.advance(5_000);
    expect(silent.seen.end).toMatchObject({ code: "TIMEOUT" });
    expect(polite.seen.end).toBeUndefined();
  });

  it("lets a worker go that says nothing for a lease, but not while it is not listened to", async () => {
    const { open, clock } = world();
    const quiet = open();
    await quiet.hello();
    clock.advance(8_999);
    expect(quiet.seen.end).toBeUndefined();
    clock.advance(9_000);
    expect(quiet.seen.end).toMatchObject({ code: "TIMEOUT" });
  });

  it("reads a worker more slowly that says too much, and nobody else", async () => {
    const { open, clock, turn } = world();
    const loud = open();
    const calm = open();
    await loud.hello();
    const heartbeat: RequestBody = { $case: "heartbeat", value: { running: [], use: [] } };
    for (let n = 0; n < 9_999; n += 1) loud.session.receive({ seq: 0, ack: 0, body: heartbeat });
    await turn();
    expect(loud.seen.paused).toBe(false);
    loud.session.receive({ seq: 0, ack: 0, body: heartbeat });
    expect([loud.seen.paused, calm.seen.paused]).toEqual([true, false]);
    await turn();
    clock.advance(100);
    expect(loud.seen.paused).toBe(false);
    expect(loud.seen.end).toBeUndefined();
  });

  it("counts every message of a batch against what a worker may say", async () => {
    const { open, turn } = world();
    const { session, seen, hello } = open();
    await hello();
    const messages = Array(100).fill({ body: DRAINING });
    let said = 0;
    for (; !seen.paused; said += 100) {
      session.receive({ seq: said + 1, ack: 0, body: { $case: "batch", value: { messages } } });
      await turn();
    }
    // Its Hello is the ten thousandth.
    expect(said).toBe(10_000);
    expect(seen.end).toBeUndefined();
  });

  it("lets a worker go that does not read", async () => {
    const { open } = world();
    const { session, seen, hello } = open();
    await hello();
    seen.backlog = 16 << 20;
    session.send({ kind: "Drain" });
    expect(seen.end).toMatchObject({ code: "TOO_LARGE" });
  });

  it("keeps the core's messages until its welcome", async () => {
    const { open, turn } = world();
    const { session, seen } = open();
    session.receive({ seq: 0, ack: 0, body: HELLO });
    session.send({ kind: "Drain" });
    expect(seen.written).toEqual([]);
    await turn();
    expect(seen.written.map((message) => [message.seq, message.body?.$case])).toEqual([
      [0, "welcome"],
      [1, "drain"],
    ]);
  });

  it("refuses an incarnation that belongs to another worker", async () => {
    const { open } = world();
    await open().hello();
    const thief = open();
    thief.session.receive({ seq: 0, ack: 0, body: { $case: "hello", value: { ...HELLO.value, worker: "other" } } });
    expect(thief.seen.end).toMatchObject({ code: "BAD_INPUT", path: "hello.incarnation" });
  });

  it("asks the other process of a name to say hello again when the newer one ends", async () => {
    const { open, turn } = world();
    const older = open();
    await older.hello();
    const newer = open();
    newer.session.receive({
      seq: 0,
      ack: 0,
      body: { ...HELLO, value: { ...HELLO.value, incarnation: "incarnation-2" } },
    });
    await turn();
    expect(older.seen.end).toBeUndefined();
    newer.session.lost();
    expect(older.seen.end).toMatchObject({ code: "CONFLICT", message: expect.stringContaining("say hello again") });
  });

  it("reads no further while the runtime is far behind", async () => {
    const { open, turn, clock } = world();
    const { session, seen, hello } = open();
    await hello();
    for (let i = 0; i < 20_000; i += 1) {
      session.receive({ seq: 0, ack: 0, body: { $case: "heartbeat", value: { running: [], use: [] } } });
    }
    expect(seen.paused).toBe(true);
    while (seen.paused) {
      await turn();
      // Its own allowance was used up too.
      clock.advance(100);
    }
  });
});
