/** Deltas of the feed: numbers, ticks, resuming, slow viewers. Snapshots: feed-snapshot.test.ts. */
import { describe, expect, it } from "vitest";
import { sweepId } from "../../proto/contract.js";
import { ANEW, deltas, rowsAfter, snapshots, trialOf, viewer, workerOf, world } from "./feed-rig.js";

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
    const small = world({ ringBytes: 1_000 });
    for (let number = 0; number < 50; number += 1) small.tick(trialOf(1, number));
    const late = viewer();
    small.hub.open(late.sink, { resume: { feed: small.hub.feed, seq: 1 }, sweep: null, parts: false });
    await late.count(1);
    expect(snapshots(late.messages)[0]?.trials).toHaveLength(50);
  });

  it("keeps deltas for who is away for a minute, and numbers them only when nobody has looked for longer", async () => {
    const { hub, tick, clock } = world();
    const first = viewer();
    const leave = hub.open(first.sink, ANEW);
    await first.count(1);
    tick(trialOf(1, 0));
    const { seq } = hub;
    leave();
    tick(trialOf(1, 1));
    clock.advance(59_000);
    tick(trialOf(1, 2));
    const soon = viewer();
    const leaveAgain = hub.open(soon.sink, { resume: { feed: hub.feed, seq }, sweep: null, parts: false });
    expect(deltas(soon.messages).map((delta) => delta.seq)).toEqual([seq + 1, seq + 2]);
    leaveAgain();
    tick(trialOf(1, 3));
    clock.advance(60_000);
    tick(trialOf(1, 4));
    tick(workerOf(1_000));
    expect(hub.seq).toBeGreaterThan(seq + 3);
    const late = viewer();
    hub.open(late.sink, { resume: { feed: hub.feed, seq: seq + 3 }, sweep: null, parts: false });
    await late.count(1);
    expect(snapshots(late.messages)[0]?.trials).toHaveLength(5);
    const current = viewer();
    hub.open(current.sink, { resume: { feed: hub.feed, seq: hub.seq }, sweep: null, parts: false });
    const from = hub.seq;
    tick(trialOf(1, 5));
    // Unlike its row a moment before, it is news to who has only the snapshot.
    tick(workerOf(1_001));
    for (const { messages } of [late, current]) {
      expect(deltas(messages).map((delta) => delta.seq)).toEqual([from + 1, from + 2]);
    }
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
    const { hub, state, tick } = world({ ringBytes: 2_000 });
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
});
