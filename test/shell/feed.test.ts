import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { apply } from "../../coordinator/core/apply.js";
import type { Mutation } from "../../coordinator/core/events.js";
import { emptyState } from "../../coordinator/core/state.js";
import type { DeviceUse, Trial, Worker } from "../../coordinator/core/types.js";
import { trialRow } from "../../coordinator/core/views.js";
import { FeedHub, type FeedSink } from "../../coordinator/shell/feed-hub.js";
import { CHANGE_BYTES, FeedRing } from "../../coordinator/shell/feed-ring.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { incarnation, millis, sweepId, trialId, workerId } from "../../proto/contract.js";
import type { FeedMessage, TrialRow } from "../../proto/feed.js";
import { manualClock, SPEC } from "./fixture.js";

type Snapshot = Extract<FeedMessage, { readonly kind: "snapshot" }>;
type Delta = Extract<FeedMessage, { readonly kind: "delta" }>;

const trialOf = (sweep: number, number: number, more: Partial<Trial> = {}): Mutation => ({
  kind: "putTrial",
  trial: {
    id: trialId(sweepId(sweep), number),
    sweep: sweepId(sweep),
    number,
    parameters: { learning_rate: 0.1 },
    seed: "00000000000000ff",
    cohortKey: "key",
    origin: { kind: "sampled" },
    state: "queued",
    cause: "",
    attempts: 0,
    losses: 0,
    notBefore: millis(0),
    epoch: 0,
    best: null,
    last: null,
    metrics: {},
    lineage: [],
    createdAt: millis(1_000),
    startedAt: null,
    endedAt: null,
    weightsHash: null,
    fingerprint: null,
    worker: null,
    device: null,
    verified: null,
    killed: [],
    checkpoints: [],
    ...more,
  },
});

const GPU = { id: "cuda:0", name: "g", backend: "cuda", fingerprint: "f", memoryBytes: 1, lanes: 1 };

const workerOf = (lastSeen: number, state: Worker["state"] = "connected", use?: DeviceUse): Mutation => ({
  kind: "putWorker",
  worker: {
    id: workerId("w"),
    incarnation: incarnation("incarnation-1"),
    host: "h",
    pid: 1,
    version: "1",
    devices: use === undefined ? [GPU] : [{ ...GPU, use }],
    state,
    connectedAt: millis(0),
    lastSeen: millis(lastSeen),
  },
});

function world(ringBytes?: number) {
  const clock = manualClock();
  const state = emptyState();
  const hub = new FeedHub({ state, clock, version: "1.2.3", log: silentLog, ...(ringBytes ? { ringBytes } : {}) });
  const change = (...mutations: Mutation[]): void => {
    for (const mutation of mutations) apply(state, mutation);
    hub.note(mutations);
  };
  for (const id of [1, 2]) {
    change(
      { kind: "setSweeps", last: sweepId(id) },
      {
        kind: "putSweep",
        sweep: {
          id: sweepId(id),
          spec: SPEC,
          state: "running",
          cause: "",
          createdAt: millis(0),
          endedAt: null,
          nextTrial: 5_000,
          samplerState: null,
          schedulerState: null,
        },
      },
    );
  }
  clock.advance(50);
  const tick = (...mutations: Mutation[]): void => {
    change(...mutations);
    clock.advance(50);
  };
  return { clock, state, hub, change, tick };
}

/** A viewer whose socket takes what it is given, until told to hold. */
function viewer() {
  const messages: FeedMessage[] = [];
  const held: (() => void)[] = [];
  const seen = { messages, backlog: 0, hold: false, closed: null as string | null, arrived: () => {} };
  const sink: FeedSink = {
    backlog: () => seen.backlog,
    send(text, flushed) {
      messages.push(JSON.parse(text) as FeedMessage);
      if (seen.hold) {
        seen.backlog += text.length;
        held.push(() => {
          seen.backlog -= text.length;
          flushed();
        });
      } else setImmediate(flushed);
      seen.arrived();
    },
    close(reason) {
      seen.closed = reason;
    },
  };
  const release = (): void => {
    seen.hold = false;
    for (const one of held.splice(0)) one();
  };
  const count = (n: number): Promise<void> =>
    new Promise((resolve) => {
      seen.arrived = () => {
        if (messages.length >= n) resolve();
      };
      seen.arrived();
    });
  return { sink, seen, messages, release, count };
}

const ANEW = { resume: null, sweep: null, parts: false };
const snapshots = (messages: readonly FeedMessage[]): Snapshot[] => messages.filter((one) => one.kind === "snapshot");
const deltas = (messages: readonly FeedMessage[]): Delta[] => messages.filter((one) => one.kind === "delta");

/** What a page would show. */
function rowsAfter(messages: readonly FeedMessage[]): Map<string, TrialRow> {
  const rows = new Map<string, TrialRow>();
  for (const message of messages) {
    if (message.kind === "snapshot") {
      rows.clear();
      for (const row of message.trials) rows.set(row.id, row);
    } else if (message.kind === "rows") for (const row of message.trials) rows.set(row.id, row);
    else for (const change of message.changes) if (change.kind === "trial") rows.set(change.row.id, change.row);
  }
  return rows;
}

describe("FeedHub", () => {
  it("gives a snapshot, then every delta with the next number", async () => {
    const { hub, tick } = world();
    const { sink, messages, count } = viewer();
    tick(trialOf(1, 0));
    hub.open(sink, ANEW);
    await count(1);
    tick(trialOf(1, 1));
    tick(trialOf(1, 2));
    expect(messages[0]).toMatchObject({ kind: "snapshot", feed: hub.feed, seq: 2, version: "1.2.3" });
    expect(snapshots(messages)[0]?.trials.map((row) => row.id)).toEqual(["1/0"]);
    expect(deltas(messages).map((delta) => delta.seq)).toEqual([3, 4]);
  });

  it("makes one delta of what changes within a tick, with the newest row of each", async () => {
    const { hub, change, clock } = world();
    const { sink, messages, count } = viewer();
    hub.open(sink, ANEW);
    await count(1);
    change(trialOf(1, 0));
    clock.advance(20);
    change(trialOf(1, 0, { state: "leased", attempts: 1 }), trialOf(1, 1));
    clock.advance(29);
    expect(messages).toHaveLength(1);
    clock.advance(1);
    expect(messages).toHaveLength(2);
    const rows = deltas(messages)[0]?.changes.flatMap((one) =>
      one.kind === "trial" ? [[one.row.id, one.row.state]] : [],
    );
    expect(rows).toEqual([
      ["1/0", "leased"],
      ["1/1", "queued"],
    ]);
  });

  it("resumes where a viewer stopped, and starts anew for another life's numbers or ones too old", async () => {
    const { hub, tick } = world();
    for (let number = 0; number < 5; number += 1) tick(trialOf(1, number));
    const back = viewer();
    hub.open(back.sink, { resume: { feed: hub.feed, seq: 3 }, sweep: null, parts: false });
    expect(deltas(back.messages).map((delta) => delta.seq)).toEqual([4, 5, 6]);
    const current = viewer();
    hub.open(current.sink, { resume: { feed: hub.feed, seq: 6 }, sweep: null, parts: false });
    expect(current.messages).toEqual([]);
    for (const resume of [
      { feed: "another life", seq: 3 },
      { feed: hub.feed, seq: 7 },
    ]) {
      const stranger = viewer();
      hub.open(stranger.sink, { resume, sweep: null, parts: false });
      await stranger.count(1);
      expect(stranger.messages.map((message) => message.kind)).toEqual(["snapshot"]);
    }
    const small = world(1_000);
    for (let number = 0; number < 50; number += 1) small.tick(trialOf(1, number));
    const late = viewer();
    small.hub.open(late.sink, { resume: { feed: small.hub.feed, seq: 1 }, sweep: null, parts: false });
    await late.count(1);
    expect(snapshots(late.messages)[0]?.trials).toHaveLength(50);
  });

  it("shows one sweep to who asked for one, with no number left out", async () => {
    const { hub, tick } = world();
    const { sink, messages, count } = viewer();
    tick(trialOf(1, 0), trialOf(2, 0));
    hub.open(sink, { resume: null, sweep: sweepId(2), parts: false });
    await count(1);
    tick(trialOf(1, 1));
    tick(trialOf(2, 1));
    expect(snapshots(messages)[0]?.sweeps.map((row) => row.id)).toEqual([2]);
    expect([...rowsAfter(messages).keys()]).toEqual(["2/0", "2/1"]);
    expect(deltas(messages).map((delta) => delta.seq)).toEqual([3, 4]);
  });

  it("holds back from a slow viewer, keeps nothing for it, and catches it up from the ring", async () => {
    const { hub, tick } = world();
    const slow = viewer();
    hub.open(slow.sink, ANEW);
    await slow.count(1);
    slow.seen.backlog = 2 << 20;
    for (let number = 0; number < 20; number += 1) tick(trialOf(1, number));
    expect(slow.messages).toHaveLength(1);
    slow.seen.backlog = 0;
    tick(trialOf(1, 20));
    expect(deltas(slow.messages).map((delta) => delta.seq)).toEqual(Array.from({ length: 21 }, (_, i) => i + 2));
    expect(snapshots(slow.messages)).toHaveLength(1);
  });

  it("gives a viewer that fell out of the ring a new snapshot", async () => {
    const { hub, state, tick } = world(2_000);
    const slow = viewer();
    hub.open(slow.sink, ANEW);
    await slow.count(1);
    slow.seen.hold = true;
    slow.seen.backlog = 1 << 20;
    for (let number = 0; number < 50; number += 1) tick(trialOf(1, number));
    slow.seen.backlog = 0;
    slow.release();
    tick(trialOf(1, 50));
    await slow.count(2);
    expect(snapshots(slow.messages)).toHaveLength(2);
    expect(rowsAfter(slow.messages).size).toBe(state.trials.size);
  });

  it("closes one whose socket takes nothing for 30 s, not one that is only slow", async () => {
    const { hub, tick, clock } = world();
    const stuck = viewer();
    const slow = viewer();
    hub.open(stuck.sink, ANEW);
    hub.open(slow.sink, ANEW);
    await stuck.count(1);
    await slow.count(1);
    stuck.seen.backlog = 2 << 20;
    slow.seen.backlog = 3 << 20;
    for (let second = 0; second < 40; second += 1) {
      slow.seen.backlog -= 1_000;
      tick(trialOf(1, second));
      clock.advance(950);
    }
    expect(stuck.seen.closed).toBe("slow");
    expect(slow.seen.closed).toBeNull();
    expect(hub.viewers).toBe(1);
  });

  it("is not flooded by heartbeats, and shows what a worker really does at once", async () => {
    const { hub, tick } = world();
    const { sink, messages, count } = viewer();
    hub.open(sink, ANEW);
    await count(1);
    tick(workerOf(0));
    for (let seen = 2_000; seen <= 30_000; seen += 2_000) tick(workerOf(seen));
    expect(deltas(messages)).toHaveLength(1 + 3);
    tick(workerOf(30_100, "away"));
    expect(deltas(messages)).toHaveLength(5);
    // That a device says something of itself is news; what it says, as seldom as the rest.
    tick(workerOf(32_000, "connected", { power: 1 }));
    expect(deltas(messages)).toHaveLength(6);
    for (let seen = 34_000; seen < 42_000; seen += 2_000) tick(workerOf(seen, "connected", { power: seen }));
    expect(deltas(messages)).toHaveLength(6);
    tick(workerOf(42_000, "connected", { power: 2 }));
    expect(deltas(messages)).toHaveLength(7);
  });

  it("writes a large snapshot in parts, and still shows the newest of everything", async () => {
    const { hub, state, tick } = world();
    tick(...Array.from({ length: 5_000 }, (_, number) => trialOf(1, number)));
    const { sink, messages, count } = viewer();
    hub.open(sink, ANEW);
    // While it is being written.
    tick(trialOf(1, 0, { state: "leased", attempts: 1 }), trialOf(1, 4_999, { state: "cancelled" }));
    await count(1);
    const rows = rowsAfter(messages);
    expect(rows.size).toBe(5_000);
    for (const id of ["1/0", "1/4999"]) {
      const trial = state.trials.get(id as Trial["id"]);
      expect(rows.get(id)).toEqual(trial && trialRow(state, trial, millis(0)));
    }
  });

  it("gives a page the best trials first and what trains, the rest within its backlog's bound, then the deltas", async () => {
    const { hub, state, tick } = world();
    const best = (number: number) => ({ value: ((number * 7919) % 5_000) / 5_000, epoch: 1 });
    tick(...Array.from({ length: 5_000 }, (_, number) => trialOf(1, number, { best: best(number) })));
    // Two that train: one of the worst, and one without a result.
    const low = SPEC.objective.goal === "maximize" ? 1 : 4_998;
    const bad =
      Array.from({ length: 5_000 }, (_, number) => number).find((one) => best(one).value === low / 5_000) ?? -1;
    tick(trialOf(1, bad, { state: "leased", best: best(bad) }), trialOf(1, 4_321, { state: "leased", best: null }));
    tick(trialOf(1, bad, { state: "running", best: best(bad) }));
    const page = viewer();
    const terminal = viewer();
    hub.open(page.sink, { ...ANEW, parts: true });
    hub.open(terminal.sink, ANEW);
    await page.count(1);
    expect(terminal.messages).toEqual([]);
    const [first] = snapshots(page.messages);
    const values = Array.from({ length: 5_000 }, (_, number) => best(number).value).sort((a, b) =>
      SPEC.objective.goal === "maximize" ? b - a : a - b,
    );
    expect(first?.trials.slice(0, 200).map((row) => row.best)).toEqual(values.slice(0, 200));
    expect(new Set(first?.trials.slice(200).map((row) => row.number))).toEqual(new Set([bad, 4_321]));
    expect(first?.rest).toBe(4_798);
    // Nothing is sent to a page that does not read, and it misses nothing.
    page.seen.backlog = 1 << 20;
    tick(trialOf(1, 0, { state: "leased", attempts: 1 }), trialOf(1, 4_999, { state: "cancelled" }));
    await terminal.count(2);
    expect(page.messages.length).toBe(1);
    page.seen.backlog = 0;
    tick(trialOf(1, 1, { state: "cancelled" }));
    await page.count(6);
    await terminal.count(3);
    expect(page.messages.map((one) => one.kind)).toEqual(["snapshot", "rows", "rows", "rows", "delta", "delta"]);
    const rows = new Map([...state.trials].map(([id, trial]) => [id, trialRow(state, trial, millis(0))]));
    expect(rowsAfter(page.messages)).toEqual(rows);
    expect(rowsAfter(terminal.messages)).toEqual(rows);
  });

  it("shows every viewer the state, whatever it missed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ number: fc.nat(8), epoch: fc.nat(5), pause: fc.boolean(), leave: fc.boolean() }), {
          maxLength: 60,
        }),
        fc.integer({ min: 500, max: 20_000 }),
        async (steps, ringBytes) => {
          const { hub, state, tick } = world(ringBytes);
          const one = viewer();
          let leave = hub.open(one.sink, ANEW);
          await one.count(1);
          let backlogged = false;
          for (const step of steps) {
            if (step.pause) {
              backlogged = !backlogged;
              one.seen.backlog = backlogged ? 2 << 20 : 0;
            }
            if (step.leave) {
              leave();
              const last = one.messages.at(-1);
              const seq = last?.seq ?? 0;
              leave = hub.open(one.sink, { resume: { feed: hub.feed, seq }, sweep: null, parts: false });
              await new Promise((resolve) => setImmediate(resolve));
            }
            tick(trialOf(1, step.number, { epoch: step.epoch }));
          }
          one.seen.backlog = 0;
          tick(trialOf(1, 9));
          await new Promise((resolve) => setImmediate(resolve));
          await new Promise((resolve) => setImmediate(resolve));
          const rows = rowsAfter(one.messages);
          expect(rows).toEqual(
            new Map([...state.trials].map(([id, trial]) => [id, trialRow(state, trial, millis(0))])),
          );
          let before: number | null = null;
          for (const message of one.messages) {
            if (message.kind === "delta") expect(message.seq).toBe((before ?? 0) + 1);
            before = message.seq;
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("FeedRing", () => {
  it("is a window of consecutive numbers within its bounds", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.array(fc.nat(3), { maxLength: 200 }),
        (atMost, bytes, sizes) => {
          const ring = new FeedRing(atMost, bytes);
          const pushes = sizes.length;
          const row = { trial: "1/0", epoch: 1, metrics: {} };
          for (const [i, size] of sizes.entries()) {
            const changes = Array.from({ length: size }, () => ({ kind: "report", row }) as const);
            expect(ring.push(changes)).toMatchObject({ seq: i + 1, text: expect.stringContaining(`"seq":${i + 1},`) });
          }
          const kept = Array.from({ length: pushes + 2 }, (_, seq) => ring.at(seq)).filter((delta) => delta !== null);
          expect(kept.map((delta) => delta.seq)).toEqual(kept.map((_, i) => pushes - kept.length + 1 + i));
          expect(kept.length).toBeLessThanOrEqual(Math.max(1, atMost));
          if (pushes > 0) expect(kept.length).toBeGreaterThan(0);
          const size = kept.reduce((sum, delta) => sum + delta.changes.length * CHANGE_BYTES, 0);
          if (kept.length > 1) expect(size).toBeLessThanOrEqual(bytes);
        },
      ),
    );
  });
});
