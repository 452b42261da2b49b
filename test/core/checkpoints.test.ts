/** Going on from a checkpoint: who may add one, what an attempt begins with, what the trial is then. */
import { describe, expect, it } from "vitest";
import { reportsOf } from "../../coordinator/core/checkpoints.js";
import { incarnation } from "../../proto/contract.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

function bench(fingerprint = "cpu-f32-1") {
  const rig = new Rig();
  rig.submit({ runCap: 1, epochs: 5, maxAttempts: 5 });
  const worker = (name: string) => {
    const it = new FakeWorker(rig, name, [deviceOf(1, { fingerprint: name === "foreign" ? "cuda" : fingerprint })]);
    it.hello();
    return it;
  };
  const first = worker("first");
  const last = (): Assign => {
    const assign = rig.assigns().at(-1);
    if (assign === undefined) throw new Error("nothing assigned");
    return assign;
  };
  /** The holder falls silent; the trial waits for somebody else. */
  const lose = (): void => rig.pass(9_000 + 5_000);
  return { rig, first, worker, last, lose };
}

const epochs = (assign: Assign): readonly number[] => assign.checkpoints.map(({ epoch }) => epoch);

describe("a checkpoint", () => {
  it("takes the next attempt to where the trial stood, and no report of it comes twice", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    for (const [epoch, value] of [
      [1, 0.5],
      [2, 0.9],
      [3, 0.7],
    ] as const)
      first.report(held, epoch, value);
    first.save(held, 2, "two");
    lose();
    const second = worker("second");
    expect(rig.trial(1, 0)).toMatchObject({ state: "leased", epoch: 0, best: null });
    const again = last();
    expect(again.checkpoints).toEqual([{ epoch: 2, digest: "two", bytes: 100 }]);
    second.start(again, "cpu-f32-1", 2);
    expect(rig.trial(1, 0)).toMatchObject({
      state: "running",
      epoch: 2,
      best: { value: 0.9, epoch: 2 },
      last: 0.9,
      metrics: { val_accuracy: 0.9 },
    });
    expect(rig.attempt(again.attempt)).toMatchObject({ fromEpoch: 2, lastEpoch: 2 });
    for (const [epoch, value] of [
      [3, 0.7],
      [4, 0.8],
      [5, 0.6],
    ] as const)
      second.report(again, epoch, value);
    second.complete(again);
    const trial = rig.trial(1, 0);
    expect(trial).toMatchObject({ state: "completed", epoch: 5, best: { value: 0.9, epoch: 2 }, checkpoints: [] });
    const whole = reportsOf(rig.history, trial);
    expect(whole.map(({ epoch, attempt }) => [epoch, attempt])).toEqual([
      [1, held.attempt],
      [2, held.attempt],
      [3, again.attempt],
      [4, again.attempt],
      [5, again.attempt],
    ]);
    expect(rig.kept(trial.id)).toEqual([]);
  });

  it("is one of two: the oldest goes, and a coordinator that comes back offers both", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    for (const epoch of [1, 2, 3]) {
      first.report(held, epoch, epoch / 10);
      first.save(held, epoch, `digest ${epoch}`);
    }
    expect(rig.kept(rig.trial(1, 0).id)).toEqual(["digest 3", "digest 2"]);
    rig.restart();
    lose();
    worker("second");
    expect(epochs(last())).toEqual([3, 2]);
  });

  it("B7: that cannot be used is noted, and the one before, or the start, takes its place", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    for (const epoch of [1, 2]) {
      first.report(held, epoch, epoch / 10);
      first.save(held, epoch, `digest ${epoch}`);
    }
    lose();
    const second = worker("second");
    second.start(last(), "cpu-f32-1", 1);
    expect(rig.eventsOf("checkpoint-unusable").map(({ detail }) => detail)).toEqual([
      "epoch 2 (digest 2) could not be used; goes on from epoch 1",
    ]);
    expect(rig.trial(1, 0)).toMatchObject({ epoch: 1, best: { value: 0.1, epoch: 1 } });
    expect(rig.kept(rig.trial(1, 0).id)).toEqual(["digest 1"]);
    lose();
    const third = worker("third");
    third.start(last());
    expect(rig.trial(1, 0)).toMatchObject({ epoch: 0, best: null, checkpoints: [] });
    expect(rig.eventsOf("checkpoint-unusable")).toHaveLength(2);
    third.report(last(), 1, 0.1);
    expect(rig.trial(1, 0).epoch).toBe(1);
  });

  it("has a lineage: what another kind of device reported in between is not the trial's", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    first.report(held, 1, 0.5);
    first.save(held, 1, "one");
    lose();
    const foreign = worker("foreign");
    const elsewhere = last();
    foreign.start(elsewhere, "cuda", 0);
    foreign.report(elsewhere, 1, 0.6);
    foreign.report(elsewhere, 2, 0.1);
    lose();
    const third = worker("third");
    const again = last();
    third.start(again, "cpu-f32-1", 1);
    third.report(again, 2, 0.4);
    const trial = rig.trial(1, 0);
    expect(trial).toMatchObject({ best: { value: 0.5, epoch: 1 }, lineage: [{ n: 1, epoch: 1 }] });
    expect(reportsOf(rig.history, trial).map(({ attempt, metrics }) => [attempt, metrics["val_accuracy"]])).toEqual([
      [held.attempt, 0.5],
      [again.attempt, 0.4],
    ]);
    // A lane that is saved now goes on from both.
    third.save(again, 2, "two");
    expect(rig.trial(1, 0).checkpoints[0]?.progress).toMatchObject({ lineage: [{ n: 1, epoch: 1 }], epoch: 2 });
  });

  it("counts for the device the attempt was given to, whoever has the worker's name since", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    first.report(held, 1, 0.5);
    first.save(held, 1, "one");
    lose();
    const second = worker("second");
    const again = last();
    new FakeWorker(rig, "second", [deviceOf(1, { fingerprint: "cuda" })], "namesake").hello();
    second.start(again, "cpu-f32-1", 1);
    expect(rig.trial(1, 0)).toMatchObject({ state: "running", epoch: 1, losses: 1 });
    expect(rig.eventsOf("attempt-lost")).toHaveLength(1);
  });

  it("of another kind of device is not offered", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    first.report(held, 1, 0.5);
    first.save(held, 1, "one");
    lose();
    const foreign = worker("foreign");
    expect(last().checkpoints).toEqual([]);
    foreign.start(last(), "cuda");
    expect(rig.eventsOf("checkpoint-unusable")).toEqual([]);
    expect(rig.trial(1, 0).epoch).toBe(0);
  });

  it("B2: of a token that is no longer current changes nothing", () => {
    const { rig, first, worker, last, lose } = bench();
    const held = last();
    first.start(held);
    first.report(held, 1, 0.5);
    lose();
    const second = worker("second");
    second.start(last());
    rig.take();
    first.save(held, 1, "stale");
    expect(rig.trial(1, 0).checkpoints).toEqual([]);
    expect(rig.take().map(({ message }) => message.kind)).toEqual(["Revoke"]);
  });

  it.each([
    ["of an epoch not reported", 3],
    ["older than the newest", 1],
  ])("%s is refused and its file goes", (_, epoch) => {
    const { rig, first, last } = bench();
    const held = last();
    first.start(held);
    first.report(held, 1, 0.5);
    first.report(held, 2, 0.5);
    first.save(held, 2, "two");
    first.save(held, epoch, "odd");
    expect(rig.trial(1, 0).checkpoints.map(({ digest }) => digest)).toEqual(["two"]);
    expect(rig.eventsOf("checkpoint-refused")).toHaveLength(1);
    expect(rig.kept(rig.trial(1, 0).id)).toEqual(["two"]);
  });

  it("of an epoch that was passed over in the reports is refused", () => {
    const { rig, first, last } = bench();
    const held = last();
    first.start(held);
    first.report(held, 3, 0.5);
    first.save(held, 2, "never reported");
    expect(rig.trial(1, 0).checkpoints).toEqual([]);
    expect(rig.eventsOf("checkpoint-refused")).toHaveLength(1);
  });

  it("that comes again changes nothing", () => {
    const { rig, first, last } = bench();
    const held = last();
    first.start(held);
    first.report(held, 1, 0.5);
    first.save(held, 1, "one");
    first.report(held, 2, 0.6);
    first.save(held, 1, "one");
    expect(rig.trial(1, 0).checkpoints).toHaveLength(1);
    expect(rig.eventsOf("checkpoint-refused")).toEqual([]);
  });

  it("that nobody offered begins no attempt", () => {
    const { rig, first, last } = bench();
    first.start(last(), "cpu-f32-1", 4);
    expect(rig.trial(1, 0)).toMatchObject({ state: "queued", losses: 1 });
  });
});

describe("the process after a dead one", () => {
  it("B1: takes over what it lists; the rest is lost at once, not when its lease ends", () => {
    const rig = new Rig();
    rig.submit({ runCap: 2 });
    const old = new FakeWorker(rig, "w", [deviceOf(2)]);
    old.hello();
    const [a, b] = rig.assigns();
    if (!a || !b) throw new Error("two were due");
    old.start(a);
    old.start(b);
    const next = new FakeWorker(rig, "w", [deviceOf(2)], "w-2");
    next.hello([a], { previous: [old.life] });
    expect(rig.trial(1, 1)).toMatchObject({ state: "queued", losses: 1 });
    expect(rig.eventsOf("attempt-lost").at(-1)?.detail).toBe(
      "the process of w ended (loss 1 of 3; tried again after 2 s)",
    );
    next.report(a, 1, 0.5);
    expect(rig.trial(1, 0)).toMatchObject({ state: "running", epoch: 1 });
    old.report(a, 2, 0.9);
    expect(rig.trial(1, 0).epoch).toBe(1);
    next.end(a, { kind: "released", reason: "its process ended", died: true });
    expect(rig.trial(1, 0)).toMatchObject({ state: "queued", losses: 1 });
    // The device is no worse for it.
    expect(rig.worker("w").devices[0]?.refused).toBeUndefined();
  });

  it("B1: takes over from several, where all but the first died before they were welcomed", () => {
    const rig = new Rig();
    rig.submit({ runCap: 3 });
    const [first, second, third] = [1, 2, 3].map((n) => new FakeWorker(rig, "w", [deviceOf(3)], `w-life-${n}`));
    if (!first || !second || !third) throw new Error("three lives");
    first.hello();
    const [a, b, c] = rig.assigns();
    if (!a || !b || !c) throw new Error("three were due");
    for (const held of [a, b, c]) first.start(held);
    // The second takes `a` over, and does not live to hear of it; b and c are the first's on record no more.
    second.hello([a, b], { previous: [first.life] });
    third.hello([a, c], { previous: [first.life, second.life] });
    third.report(a, 1, 0.5);
    expect(rig.trial(1, 0)).toMatchObject({ state: "running", epoch: 1 });
    for (const number of [1, 2]) expect(rig.trial(1, number)).toMatchObject({ state: "queued", losses: 1 });
  });

  it("B1: takes over from one that died while its successor never got in", () => {
    const rig = new Rig();
    rig.submit({ runCap: 2 });
    const first = new FakeWorker(rig, "w", [deviceOf(2)], "w-life-1");
    first.hello();
    const [a, b] = rig.assigns();
    if (!a || !b) throw new Error("two were due");
    for (const held of [a, b]) first.start(held);
    const third = new FakeWorker(rig, "w", [deviceOf(2)], "w-life-3");
    third.hello([a], { previous: [first.life, incarnation("w-life-2")] });
    third.report(a, 1, 0.5);
    expect(rig.trial(1, 0)).toMatchObject({ state: "running", epoch: 1 });
    expect(rig.trial(1, 1)).toMatchObject({ state: "queued", losses: 1 });
  });
});

describe("a store that is older than its workers", () => {
  it("A14: is noted when a worker has heard of more commits", () => {
    const { rig, first } = bench();
    first.hello([], { commitsAhead: 12 });
    expect(rig.eventsOf("rollback-detected")[0]).toMatchObject({
      worker: "first",
      detail: "first has heard of 12 commits that this store does not have: it is an older copy",
    });
  });

  it("A19: gives no token twice: those of a new generation lie above all of the old one", () => {
    const { rig, worker, last, lose } = bench();
    const before = last().token;
    rig.restart({ tokens: 3 * 2 ** 40, notes: [{ kind: "rollback-accepted", detail: "100 commits are gone" }] });
    expect(rig.eventsOf("rollback-accepted")).toHaveLength(1);
    lose();
    worker("second");
    expect(before).toBeLessThan(10);
    expect(last().token).toBe(3 * 2 ** 40 + 1);
    rig.restart({ tokens: 3 * 2 ** 40 });
    expect(rig.state.lastToken).toBe(3 * 2 ** 40 + 1);
  });

  it("A14: gives no token twice after a crash that lost the newest grants", () => {
    const { rig } = bench();
    rig.restart({ tokens: 2 ** 16 });
    expect(rig.state.lastToken).toBe(2 ** 16);
    rig.restart({ tokens: 2 ** 16 });
    expect(rig.state.lastToken).toBe(2 ** 16);
  });
});
