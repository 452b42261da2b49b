/** Leases, fencing tokens, reconciliation: one scripted story a promise. */
import { describe, expect, it } from "vitest";
import type { HeldAttempt } from "../../coordinator/core/events.js";
import { TIMES, token } from "../../proto/contract.js";
import type { Assign, Sent } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

function bench(
  changes: Parameters<Rig["submit"]>[0] = { runCap: 1 },
  lanes = 1,
): { rig: Rig; worker: FakeWorker; assign: Assign } {
  const rig = new Rig();
  const worker = new FakeWorker(rig, "w", [deviceOf(lanes)]);
  rig.submit(changes);
  worker.hello();
  return { rig, worker, assign: first(rig) };
}

/** With a free lane, for trials that are taken from others. */
function spareOf(rig: Rig, lanes = 1): FakeWorker {
  const spare = new FakeWorker(rig, "x", [deviceOf(lanes)]);
  spare.hello();
  return spare;
}

function first(rig: Rig): Assign {
  const assign = rig.assigns().at(-1);
  if (assign === undefined) throw new Error("nothing assigned");
  return assign;
}

function kinds(sent: readonly Sent[]): readonly string[] {
  return sent.map(({ message }) => message.kind);
}

describe("a lease", () => {
  it("that ends is revoked before the lane is given to another trial: its Assign may still be on the way", () => {
    const { rig, worker, assign } = bench();
    rig.take();
    rig.pass(TIMES.lease);
    expect(kinds(rig.take())).toEqual(["Revoke"]);
    rig.pass(5_000);
    worker.hello();
    rig.now += TIMES.offer;
    rig.take();
    // Offered again and never heard of: not on the worker, by its own word.
    worker.heartbeat([]);
    const [revoke] = rig.take();
    expect(revoke?.message).toMatchObject({ kind: "Revoke", attempt: expect.not.stringMatching(assign.attempt) });
  });

  it("ends 9 s after the last message of its holder, not before", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.now += 5_000;
    worker.report(assign, 1, 0.5);
    spareOf(rig);
    rig.pass(TIMES.lease - 1);
    expect(rig.trial(1, 0).state).toBe("running");
    rig.pass(1);
    expect(rig.trial(1, 0)).toMatchObject({
      state: "queued",
      losses: 1,
      notBefore: rig.now + 2_000,
      epoch: 0,
      best: null,
    });
    expect(rig.eventsOf("attempt-lost")[0]?.detail).toBe("lease expired on w (loss 1 of 3; tried again after 2 s)");
  });

  it.each(["heartbeat", "report", "started", "repeat"])("is renewed by %s", (what) => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    worker.report(assign, 1, 0.5);
    rig.now += 8_999;
    if (what === "heartbeat") worker.heartbeat([assign]);
    if (what === "report") worker.report(assign, 2, 0.5);
    if (what === "started") worker.start(assign);
    if (what === "repeat") worker.report(assign, 1, 0.5);
    expect(rig.attempt(assign.attempt)?.leaseUntil).toBe(rig.now + TIMES.lease);
    rig.pass(8_999);
    expect(rig.trial(1, 0).state).toBe("running");
  });

  it("goes on without a link, and the result counts when the link is back", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    worker.linkLost();
    expect(rig.worker("w").state).toBe("away");
    rig.pass(8_000);
    worker.hello([assign]);
    expect(
      rig
        .take()
        .map(({ message }) => message)
        .at(-1),
    ).toEqual({ kind: "Welcome", keep: [pick(assign)], drop: [] });
    worker.report(assign, 1, 0.9);
    worker.complete(assign);
    expect(rig.trial(1, 0)).toMatchObject({
      state: "completed",
      attempts: 1,
      losses: 0,
      best: { value: 0.9, epoch: 1 },
    });
  });

  it("gets a full fresh time when the coordinator restarts, without a new attempt", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.now += 3_600_000;
    rig.restart();
    expect(rig.worker("w").state).toBe("away");
    rig.pass(8_999);
    worker.hello([assign]);
    worker.train(assign);
    expect(rig.trial(1, 0)).toMatchObject({ state: "completed", attempts: 1, losses: 0 });
  });

  it("is offered again with the same token when the offer went down with the link", () => {
    const { rig, worker, assign } = bench();
    worker.linkLost();
    rig.now += 4_000;
    rig.take();
    worker.hello();
    const sent = rig.take();
    expect(kinds(sent)).toEqual(["Welcome", "Assign"]);
    expect(sent[1]?.message).toEqual(assign);
    rig.pass(TIMES.offer - 1);
    worker.train(assign);
    expect(rig.trial(1, 0)).toMatchObject({ state: "completed", attempts: 1 });
  });

  it("survives a hello that does not list an attempt whose end is still on its way", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.now += 8_000;
    worker.linkLost();
    worker.hello([]);
    worker.report(assign, 1, 0.9);
    worker.complete(assign);
    expect(rig.trial(1, 0)).toMatchObject({ state: "completed", attempts: 1 });
  });

  it("is lost when heartbeats do not list the attempt for the length of an offer", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.now += TIMES.offer - 1;
    worker.heartbeat([]);
    expect(rig.trial(1, 0).state).toBe("running");
    rig.now += 1;
    worker.heartbeat([]);
    expect(rig.trial(1, 0).state).toBe("queued");
    expect(rig.eventsOf("attempt-lost")[0]?.detail).toContain("no longer held by w");
  });

  it("backs off 2, 4, 8, ... seconds and at most five minutes, then the trial is lost", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 1, maxAttempts: 11 });
    worker.hello();
    const waits: number[] = [];
    for (let loss = 1; loss <= 11; loss++) {
      worker.start(first(rig));
      spareOf(rig);
      rig.pass(TIMES.lease);
      const trial = rig.trial(1, 0);
      expect(trial.losses).toBe(loss);
      if (trial.state === "lost") break;
      waits.push((trial.notBefore - rig.now) / 1000);
      rig.pass(trial.notBefore - rig.now - 1);
      worker.hello();
      expect(rig.trial(1, 0).state).toBe("queued");
      rig.pass(1);
      expect(rig.trial(1, 0).state).toBe("leased");
    }
    expect(waits).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    expect(rig.trial(1, 0)).toMatchObject({ state: "lost", cause: "lease expired on w; 11 attempts lost" });
    expect(rig.sweep(1)).toMatchObject({ state: "failed", cause: "every trial failed or was lost" });
  });
});

describe("a lease that runs out while nobody else has a lane free", () => {
  it("is its holder's again when that comes back: same attempt, same token, all it has to say counts", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    worker.report(assign, 1, 0.5);
    worker.linkLost();
    rig.pass(3_600_000);
    expect(rig.trial(1, 0)).toMatchObject({ state: "running", epoch: 1, losses: 0 });
    expect(rig.worker("w").state).toBe("away");
    rig.take();
    worker.hello([assign]);
    expect(rig.take().map(({ message }) => message)).toEqual([{ kind: "Welcome", keep: [pick(assign)], drop: [] }]);
    expect(rig.attempt(assign.attempt)).toMatchObject({ leaseUntil: rig.now + TIMES.lease, cause: "" });
    worker.report(assign, 2, 0.75);
    worker.complete(assign);
    expect(rig.trial(1, 0)).toMatchObject({ state: "completed", attempts: 1, losses: 0, best: { value: 0.75 } });
    expect(rig.eventsOf("lease-lapsed").map(({ detail }) => detail)).toEqual([
      "lease expired on w; nobody else has a lane free, so it may come back to it",
    ]);
    expect(rig.eventsOf("lease-renewed")).toHaveLength(1);
  });

  it.each(["heartbeat", "report", "end"])("is its holder's again after a %s on a link that was silent", (what) => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.pass(60_000);
    if (what === "heartbeat") worker.heartbeat([assign]);
    if (what === "report") worker.report(assign, 1, 0.5);
    if (what === "end") worker.complete(assign);
    else expect(rig.attempt(assign.attempt)?.leaseUntil).toBe(rig.now + TIMES.lease);
    expect(rig.trial(1, 0)).toMatchObject({ attempts: 1, losses: 0, state: what === "end" ? "completed" : "running" });
  });

  it("is taken from it as soon as another worker has a lane free, and the trial goes there at once", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.pass(60_000);
    rig.take();
    const other = spareOf(rig);
    const again = first(rig);
    const sent = rig.take();
    expect(kinds(sent)).toEqual(["Welcome", "Revoke", "Assign"]);
    expect(sent.map(({ worker: to }) => to)).toEqual(["x", "w", "x"]);
    expect(rig.trial(1, 0)).toMatchObject({ state: "leased", attempts: 2, losses: 1, worker: "x" });
    expect(rig.eventsOf("attempt-lost")[0]?.detail).toBe("lease expired on w (loss 1 of 3; tried again at once)");
    worker.hello([assign]);
    expect(rig.take()[0]?.message).toEqual({ kind: "Welcome", keep: [], drop: [pick(assign)] });
    other.train(again);
    expect(rig.trial(1, 0)).toMatchObject({ state: "completed", attempts: 2 });
  });

  it("is taken, the oldest first, for as many lanes as are free", () => {
    const { rig, worker } = bench({ runCap: 3 }, 3);
    for (const assign of rig.assigns()) worker.start(assign);
    rig.pass(60_000);
    spareOf(rig, 2);
    expect(rig.trialStates(1)).toEqual(["leased", "leased", "running"]);
  });

  it("is lost when its holder is back and does not have it", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.pass(60_000);
    worker.hello();
    expect(rig.trial(1, 0).state).toBe("running");
    worker.heartbeat([]);
    expect(rig.eventsOf("attempt-lost")[0]?.detail).toContain("no longer held by w");
    expect(rig.trial(1, 0)).toMatchObject({ state: "leased", attempts: 2 });
  });

  it("is lost at once when the user stops the trial, or another life takes its holder's name", () => {
    const { rig, worker, assign } = bench({ runCap: 2 }, 2);
    for (const held of rig.assigns()) worker.start(held);
    rig.pass(60_000);
    rig.ask((call) => ({ kind: "TrialStopped", call, trial: rig.trial(1, 0).id }));
    rig.pass(0);
    expect(rig.trialStates(1)).toEqual(["cancelled", "running"]);
    new FakeWorker(rig, "w", [deviceOf(1)], "w-2").hello();
    expect(rig.trialStates(1)).toEqual(["cancelled", "leased"]);
    expect(assign.attempt).toBe("1/1#1");
  });

  it("starts anew when the coordinator does", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.pass(60_000);
    rig.restart();
    expect(rig.attempt(assign.attempt)).toMatchObject({ leaseUntil: rig.now + TIMES.lease, cause: "" });
    rig.pass(TIMES.lease);
    expect(rig.eventsOf("lease-lapsed")).toHaveLength(2);
  });
});

describe("waking up", () => {
  it("is asked for again after a Tick that came for something else", () => {
    const { rig, worker } = bench({ runCap: 1 });
    // Their wall times end while the lease runs, and while the back-off does.
    for (const maxWallMillis of [3_000, 10_000]) rig.submit({ runCap: 1, maxWallMillis, maxParallel: 1 });
    rig.pass(TIMES.lease);
    const { notBefore } = rig.trial(1, 0);
    expect(notBefore).toBe(rig.now + 2_000);
    rig.pass(1_500);
    expect(rig.sweep(3)).toMatchObject({ state: "completed", cause: "wall time" });
    worker.heartbeat([]);
    expect(rig.trial(1, 0).state).toBe("queued");
    rig.pass(500);
    expect(rig.trial(1, 0).state).toBe("leased");
  });
});

describe("a token", () => {
  it("grows with every grant, over restarts, and is committed with it", () => {
    const { rig, worker, assign } = bench({ runCap: 3 });
    worker.train(assign);
    rig.restart();
    worker.hello();
    worker.train(first(rig));
    const tokens = rig.mutations.flatMap((mutation) =>
      mutation.kind === "putAttempt" && mutation.attempt.state === "offered" ? [mutation.attempt.token] : [],
    );
    expect([...new Set(tokens)]).toEqual([1, 2, 3]);
    const counters = rig.mutations.flatMap((mutation) => (mutation.kind === "setTokens" ? [mutation.last] : []));
    expect(counters).toEqual([1, 2, 3]);
  });

  it("of another holder changes nothing and earns Revoke", () => {
    const { rig, worker, assign } = bench({ runCap: 2 });
    worker.start(assign);
    // Even with the same name for its life, another worker is another.
    const other = new FakeWorker(rig, "other", [deviceOf(2)], "w-1");
    const nextLife = new FakeWorker(rig, "w", [deviceOf(1)], "w-2");
    other.hello();
    const wrongToken: HeldAttempt = { ...assign, token: token(assign.token + 100) };
    const before = JSON.stringify(rig.state.trials.get(rig.trial(1, 0).id));
    for (const [sender, held] of [
      [worker, wrongToken],
      [other, assign],
      [nextLife, assign],
    ] as const) {
      const mutations = rig.mutations.length;
      for (const act of [
        () => sender.start(held),
        () => sender.report(held, 1, 0.99),
        () => sender.complete(held),
        () =>
          sender.end(held, {
            kind: "failed",
            error: { code: "INTERNAL", message: "no", path: null, expected: null, found: null },
          }),
      ]) {
        rig.take();
        act();
        expect(rig.take()).toEqual([
          {
            kind: "send",
            worker: sender.id,
            incarnation: sender.life,
            message: { kind: "Revoke", attempt: held.attempt, token: held.token },
          },
        ]);
      }
      expect(rig.mutations.length).toBe(mutations);
    }
    expect(JSON.stringify(rig.state.trials.get(rig.trial(1, 0).id))).toBe(before);
  });

  it("of a lost attempt is refused even when the trial runs elsewhere", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.pass(TIMES.lease + 2_000);
    const other = new FakeWorker(rig, "other");
    other.hello();
    const again = first(rig);
    expect(again.attempt).toBe("1/0#2");
    other.start(again);
    rig.take();
    worker.report(assign, 1, 0.9);
    worker.heartbeat([assign]);
    expect(kinds(rig.take())).toEqual(["Revoke", "Revoke"]);
    other.train(again, [0.2]);
    expect(rig.trial(1, 0)).toMatchObject({
      state: "completed",
      attempts: 2,
      losses: 1,
      best: { value: 0.2, epoch: 1 },
    });
    expect(rig.reports.map((report) => report.attempt)).toEqual(["1/0#2"]);
  });
});

describe("a report", () => {
  it("is recorded once; a repeat changes nothing, another value is refused and noted", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    worker.report(assign, 1, { val_accuracy: 0.5, images_per_second: 100 });
    worker.report(assign, 2, 0.4);
    worker.report(assign, 1, { val_accuracy: 0.5, images_per_second: 90 });
    worker.report(assign, 2, 0.4);
    expect(rig.eventsOf("report-refused")).toEqual([]);
    worker.report(assign, 1, { val_accuracy: 0.7, images_per_second: 100 });
    expect(rig.eventsOf("report-refused")[0]?.detail).toBe(
      "epoch 1 came again with another val_accuracy: 0.5 before, 0.7 now; the first stays",
    );
    expect(rig.reports).toHaveLength(2);
    expect(rig.trial(1, 0)).toMatchObject({
      epoch: 2,
      best: { value: 0.5, epoch: 1 },
      last: 0.4,
      metrics: { images_per_second: 100 },
    });
  });

  it("that is not finite is kept as what it is and is never best", () => {
    const { rig, worker, assign } = bench({
      runCap: 1,
      objective: { name: "val_accuracy", goal: "minimize", target: 0.0 },
    });
    worker.start(assign);
    worker.report(assign, 1, { val_accuracy: "nan", train_loss: Number.POSITIVE_INFINITY });
    expect(rig.trial(1, 0)).toMatchObject({
      best: null,
      last: "nan",
      metrics: { val_accuracy: "nan", train_loss: "inf" },
    });
    worker.report(assign, 2, { val_accuracy: 0.5, train_loss: Number.NaN });
    worker.report(assign, 3, { val_accuracy: Number.NEGATIVE_INFINITY, train_loss: 1 });
    expect(rig.trial(1, 0)).toMatchObject({ best: { value: 0.5, epoch: 2 }, last: "-inf", metrics: { train_loss: 1 } });
    expect(rig.reports[1]?.metrics).toEqual({ val_accuracy: 0.5, train_loss: "nan" });
  });
});

describe("a worker", () => {
  it("of another life takes nothing over: the old one's leases run out", () => {
    const { rig, worker, assign } = bench();
    worker.start(assign);
    rig.now += 3_000;
    const next = new FakeWorker(rig, "w", [deviceOf(1)], "w-2");
    rig.take();
    next.hello([assign]);
    expect(rig.take()[0]?.message).toEqual({ kind: "Welcome", keep: [], drop: [pick(assign)] });
    expect(rig.trial(1, 0).state).toBe("running");
    worker.report(assign, 1, 0.5);
    expect(rig.trial(1, 0).epoch).toBe(1);
    for (let i = 0; i < 5; i++) {
      rig.pass(2_000);
      next.heartbeat([]);
    }
    expect(rig.trial(1, 0)).toMatchObject({ losses: 1 });
  });

  it("that falls silent is given nothing more until it is heard again", () => {
    const { rig, worker, assign } = bench({ runCap: 2 });
    rig.pass(60_000);
    expect(rig.worker("w").state).toBe("gone");
    expect(rig.trialStates(1)).toEqual(["queued"]);
    worker.heartbeat([assign]);
    expect(rig.worker("w").state).toBe("connected");
    expect(kinds(rig.take()).slice(-2)).toEqual(["Revoke", "Assign"]);
  });

  it("that drains gets nothing new, and what it releases goes out at once, uncounted", () => {
    const { rig, worker, assign } = bench({ runCap: 1, maxAttempts: 1 });
    worker.start(assign);
    worker.draining();
    const other = new FakeWorker(rig, "other");
    other.hello();
    worker.end(assign, { kind: "released", reason: "SIGTERM" });
    expect(rig.trial(1, 0)).toMatchObject({ state: "leased", worker: "other", losses: 0, attempts: 2 });
    worker.linkLost();
    expect(rig.worker("w").state).toBe("gone");
  });

  it("that drains stays so over a lost link", () => {
    const { rig, worker, assign } = bench({ runCap: 2 }, 1);
    worker.start(assign);
    worker.draining();
    worker.linkLost();
    worker.hello([assign]);
    worker.complete(assign);
    expect(rig.worker("w").state).toBe("draining");
    expect(rig.trialStates(1)).toEqual(["completed"]);
  });

  it("that gives trials back without draining does not keep them in a circle", () => {
    const { rig, worker } = bench({ runCap: 1, maxAttempts: 3 });
    for (let i = 0; i < 3; i++) {
      worker.end(first(rig), { kind: "released", reason: "no such data set" });
      worker.heartbeat([]);
      rig.pass(5_000);
    }
    expect(rig.trial(1, 0)).toMatchObject({
      state: "lost",
      attempts: 3,
      cause: "released by w: no such data set; 3 attempts lost",
    });
  });
});

function pick({ attempt, token: own }: HeldAttempt): HeldAttempt {
  return { attempt, token: own };
}
