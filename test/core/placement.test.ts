/** Which trial goes to which lane. */
import { describe, expect, it } from "vitest";
import { sweepId, trialId } from "../../proto/contract.js";
import type { Assign, Sent } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

function assignsOf(sent: readonly Sent[]): readonly (Assign & { readonly worker: string })[] {
  return sent.flatMap(({ worker, message }) => (message.kind === "Assign" ? [{ ...message, worker }] : []));
}

describe("placement", () => {
  it("fills every lane and no more, the least loaded device first", () => {
    const rig = new Rig();
    rig.submit({ runCap: 100 });
    new FakeWorker(rig, "a", [deviceOf(2)]).hello();
    new FakeWorker(rig, "b", [deviceOf(4, { id: "cuda:0" }), deviceOf(1)]).hello();
    const where = assignsOf(rig.take()).map(({ worker, device }) => `${worker} ${device}`);
    expect(where).toHaveLength(7);
    expect(where.filter((place) => place === "b cuda:0")).toHaveLength(4);
  });

  it("spreads few trials over the workers rather than piling them on one", () => {
    const rig = new Rig();
    new FakeWorker(rig, "a", [deviceOf(4)]).hello();
    new FakeWorker(rig, "b", [deviceOf(4)]).hello();
    rig.submit({ runCap: 4 });
    const where = assignsOf(rig.take()).map(({ worker }) => worker);
    expect(where.sort()).toEqual(["a", "a", "b", "b"]);
  });

  it("draws a trial only when a lane is free", () => {
    const rig = new Rig();
    rig.submit({ runCap: 10 });
    expect(rig.sweep(1).nextTrial).toBe(0);
    const worker = new FakeWorker(rig, "w", [deviceOf(2)]);
    worker.hello();
    expect(rig.sweep(1).nextTrial).toBe(2);
    const [first] = assignsOf(rig.take());
    if (first === undefined) throw new Error("nothing assigned");
    worker.train(first);
    expect(rig.sweep(1).nextTrial).toBe(3);
  });

  it("prefers, among waiting trials, those of a cohort on the device, over lower numbers", () => {
    const rig = new Rig();
    const space = [
      { name: "batch_size", distribution: { kind: "categorical", values: [32, 64, 128], probabilities: null } },
    ] as const;
    rig.submit({ runCap: 3, structural: ["batch_size"], space, sampler: { name: "grid", options: null } });
    rig.submit({
      runCap: 1,
      recipeDigest: "d1",
      structural: ["batch_size"],
      space: [{ name: "batch_size", distribution: { kind: "constant", value: 128 } }],
    });
    // Numbers 0, 1, 2 of sweep 1 (32, 64, 128) and one trial of 128 of sweep 2 go out and come back.
    const first = new FakeWorker(rig, "first", [deviceOf(4)]);
    first.hello();
    const held = assignsOf(rig.take());
    first.draining();
    const keeper = new FakeWorker(rig, "keeper", [deviceOf(1)]);
    keeper.hello();
    for (const assign of held)
      if (assign.attempt.startsWith("2/")) first.end(assign, { kind: "released", reason: "test" });
    expect(assignsOf(rig.take()).map((assign) => assign.cohortKey)).toEqual(['d1:{"batch_size":128}']);
    for (const assign of held)
      if (assign.attempt.startsWith("1/")) first.end(assign, { kind: "released", reason: "test" });
    expect(rig.trialStates(1)).toEqual(["queued", "queued", "queued"]);
    keeper.devices = [deviceOf(3)];
    keeper.hello([...rig.state.attempts.values()].map(({ id, token }) => ({ attempt: id, token })));
    const [joined, opened] = assignsOf(rig.take());
    expect([joined?.attempt, opened?.attempt]).toEqual(["1/2#2", "1/0#2"]);
    expect(rig.eventsOf("attempt-offered").at(-2)?.detail).toBe("lane 2 of 3 on keeper cpu, joins a cohort of 1");
    expect(rig.eventsOf("attempt-offered").at(-1)?.detail).toBe("lane 3 of 3 on keeper cpu, opens a cohort");
  });

  it("gives a second sweep its share: neither starves", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(4)]);
    worker.hello();
    rig.submit({ runCap: 40 });
    rig.submit({ runCap: 40, recipeDigest: "d2" });
    let open = assignsOf(rig.take());
    expect(open.every((assign) => assign.attempt.startsWith("1/"))).toBe(true);
    for (let round = 0; round < 8; round++) {
      const [oldest, ...rest] = open;
      if (oldest === undefined) throw new Error("nothing runs");
      worker.train(oldest);
      open = [...rest, ...assignsOf(rig.take())];
    }
    const held = open.map((assign) => assign.attempt[0]).sort();
    expect(held).toEqual(["1", "1", "2", "2"]);
  });

  it("puts trials given by hand before all others, in the order they came", () => {
    const rig = new Rig();
    rig.submit({ runCap: 5 });
    rig.submit({ runCap: 5 });
    const enqueue = (sweep: number): void => {
      rig.now += 1;
      rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: sweepId(sweep), parameters: { l2: 0 } }));
    };
    enqueue(2);
    enqueue(1);
    enqueue(2);
    new FakeWorker(rig, "w", [deviceOf(4)]).hello();
    const order = assignsOf(rig.take()).map((assign) => assign.attempt);
    expect(order.slice(0, 3)).toEqual(["2/0#1", "1/0#1", "2/1#1"]);
    expect(order).toHaveLength(4);
  });

  it("verifies on the kind of device that the original had, alone, and waits for it while it is there", () => {
    const rig = new Rig();
    const gpu = new FakeWorker(rig, "gpu", [deviceOf(1, { id: "cuda:0", fingerprint: "cuda-f32-1" })]);
    gpu.hello();
    rig.submit({ runCap: 1 });
    const [original] = assignsOf(rig.take());
    if (original === undefined) throw new Error("nothing assigned");
    gpu.start(original, "cuda-f32-1");
    gpu.report(original, 1, 0.5);
    gpu.complete(original);
    rig.submit({ runCap: 9 });
    const [busy] = assignsOf(rig.take());
    new FakeWorker(rig, "cpu", [deviceOf(1)]).hello();
    rig.take();
    rig.ask((call) => ({ kind: "TrialRerun", call, trial: trialId(sweepId(1), 0), verify: true }));
    expect(rig.trial(1, 1).state).toBe("queued");
    if (busy === undefined) throw new Error("nothing assigned");
    gpu.train(busy);
    expect(assignsOf(rig.take())[0]).toMatchObject({ attempt: "1/1#1", worker: "gpu", alone: true });
    expect(rig.sweep(1)).toMatchObject({ state: "completed", nextTrial: 2 });
  });

  it("does not let a trial join one that trains alone", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    worker.hello();
    rig.submit({ runCap: 1 });
    const [original] = assignsOf(rig.take());
    if (original === undefined) throw new Error("nothing assigned");
    worker.train(original);
    rig.ask((call) => ({ kind: "TrialRerun", call, trial: trialId(sweepId(1), 0), verify: true }));
    const [rerun] = assignsOf(rig.take());
    worker.devices = [deviceOf(2)];
    if (rerun === undefined) throw new Error("nothing assigned");
    worker.hello([rerun]);
    rig.submit({ runCap: 1 });
    expect(rig.eventsOf("attempt-offered").map((event) => event.detail)).toEqual([
      "lane 1 of 1 on w cpu, opens a cohort",
      "lane 1 of 1 on w cpu, alone",
      "lane 2 of 2 on w cpu, opens a cohort",
    ]);
  });

  it("gives nothing to a worker that drains or is away, and nothing of a paused sweep", () => {
    const rig = new Rig();
    const draining = new FakeWorker(rig, "draining");
    draining.hello();
    draining.draining();
    const away = new FakeWorker(rig, "away");
    away.hello();
    away.linkLost();
    rig.submit({ runCap: 5 });
    rig.ask((call) => ({ kind: "SweepPaused", call, sweep: sweepId(1) }));
    new FakeWorker(rig, "w").hello();
    expect(assignsOf(rig.take())).toEqual([]);
    rig.ask((call) => ({ kind: "SweepResumed", call, sweep: sweepId(1) }));
    expect(assignsOf(rig.take()).map(({ worker }) => worker)).toEqual(["w", "w"]);
  });
});
