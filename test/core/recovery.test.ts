/** What is left after things went wrong twice: clocks set back, older stores put back, names taken, sweeps half paused. */
import { describe, expect, it } from "vitest";
import { ALGORITHMS } from "../../coordinator/core/environment.js";
import { noScheduler } from "../../coordinator/core/schedulers/none.js";
import { attemptId, sweepId, TIMES, token, trialId } from "../../proto/contract.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

const ONE = sweepId(1);

function newest(rig: Rig): Assign {
  const assign = rig.assigns().at(-1);
  if (assign === undefined) throw new Error("nothing assigned");
  return assign;
}

describe("a restart", () => {
  it("on a machine whose clock was set back lets no trial wait longer than its back-off", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 1 });
    worker.hello();
    worker.end(newest(rig), { kind: "released", reason: "no memory" });
    expect(rig.trial(1, 0)).toMatchObject({ state: "queued", notBefore: rig.now + 2_000 });
    rig.now -= 3_600_000;
    rig.restart();
    worker.hello();
    rig.take();
    rig.pass(1_999);
    expect(rig.assigns()).toEqual([]);
    rig.pass(1);
    expect(newest(rig).attempt).toBe("1/0#2");
  });

  it("leaves a back-off that is shorter as it is", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 1 });
    worker.hello();
    worker.end(newest(rig), { kind: "released", reason: "no memory" });
    const { notBefore } = rig.trial(1, 0);
    rig.now += 1_500;
    rig.restart();
    expect(rig.trial(1, 0).notBefore).toBe(notBefore);
  });
});

describe("an older copy of the store", () => {
  it("gives no token again that a worker still holds", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 2 });
    const lost = { attempt: attemptId(trialId(ONE, 0), 1), token: token(1) };
    // As it was before the grant: the store knows of no attempt, the worker of this one.
    worker.hello([lost]);
    expect(rig.take().map(({ message }) => message)).toMatchObject([
      { kind: "Welcome", keep: [], drop: [lost] },
      { kind: "Assign", attempt: lost.attempt, token: 2 },
    ]);
    expect(rig.eventsOf("tokens-raised")).toHaveLength(1);
    // What it still had to say counts for nothing.
    worker.report(lost, 1, 0.99);
    worker.complete(lost);
    expect(rig.trial(1, 0)).toMatchObject({ state: "leased", best: null });
  });

  it("does not let one worker use up the tokens", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 1 });
    worker.hello([{ attempt: attemptId(trialId(ONE, 0), 1), token: token(Number.MAX_SAFE_INTEGER) }]);
    expect(newest(rig).token).toBe(1);
  });
});

describe("a worker that lacks the data", () => {
  const away = { kind: "released", reason: "no files of mnist" } as const;

  it("is passed over for that recipe while another can train it", () => {
    const rig = new Rig();
    const bare = new FakeWorker(rig, "bare", [deviceOf(2)]);
    const good = new FakeWorker(rig, "good", [deviceOf(1)]);
    bare.hello();
    good.hello();
    rig.submit({ runCap: 6 });
    const work = (): void => {
      for (const { worker, message } of rig.take()) {
        if (message.kind !== "Assign") continue;
        if (worker === bare.id) bare.end(message, away);
        else good.train(message);
      }
    };
    for (let round = 0; round < 20; round++) {
      work();
      rig.pass(TIMES.heartbeat);
      bare.heartbeat([]);
      good.heartbeat([]);
    }
    expect(rig.trialStates(1)).toEqual(Array.from({ length: 6 }, () => "completed"));
    expect(rig.eventsOf("attempt-lost").length).toBeLessThanOrEqual(2);
    // Another recipe is another matter.
    rig.submit({ runCap: 3, recipeDigest: "d2" });
    expect(rig.take().filter(({ worker }) => worker === bare.id)).toHaveLength(2);
  });

  it("is tried again when it is the only one, until the trial is lost", () => {
    const rig = new Rig();
    const bare = new FakeWorker(rig, "bare", [deviceOf(1)]);
    bare.hello();
    rig.submit({ runCap: 1 });
    for (let round = 0; round < 10; round++) {
      for (const { message } of rig.take()) if (message.kind === "Assign") bare.end(message, away);
      rig.pass(TIMES.heartbeat);
      bare.heartbeat([]);
    }
    expect(rig.trial(1, 0)).toMatchObject({ state: "lost", attempts: 3 });
    expect(rig.sweep(1).state).toBe("failed");
  });

  it("gets the recipe again when it has come back, or after a while", () => {
    for (const comeBack of [true, false]) {
      const rig = new Rig();
      const bare = new FakeWorker(rig, "bare", [deviceOf(1)]);
      const other = new FakeWorker(rig, "other", [deviceOf(1)]);
      bare.hello();
      rig.submit({ runCap: 2 });
      other.hello();
      const [first, held] = rig.take().flatMap(({ message }) => (message.kind === "Assign" ? [message] : []));
      if (first === undefined || held === undefined) throw new Error("nothing assigned");
      bare.end(first, away);
      rig.pass(2_000);
      expect(rig.trial(1, 0).state).toBe("queued");
      if (comeBack) bare.hello();
      else {
        for (let beat = 0; beat < 300; beat++) {
          rig.pass(TIMES.heartbeat);
          bare.heartbeat([]);
          other.heartbeat([held]);
        }
      }
      expect(rig.trial(1, 0)).toMatchObject({ state: "leased", worker: "bare" });
    }
  });
});

describe("two workers of one name", () => {
  it("both keep what they hold, the newer one gets the rest, and people are told", () => {
    const rig = new Rig();
    const first = new FakeWorker(rig, "w", [deviceOf(1)], "life-1");
    const second = new FakeWorker(rig, "w", [deviceOf(1)], "life-2");
    rig.submit({ runCap: 3 });
    first.hello();
    const a = newest(rig);
    second.hello();
    const b = newest(rig);
    expect([a.attempt, b.attempt]).toEqual(["1/0#1", "1/1#1"]);
    expect(rig.eventsOf("worker-name-taken")).toHaveLength(1);
    first.start(a);
    second.start(b);
    for (let beat = 0; beat < 10; beat++) {
      rig.pass(TIMES.heartbeat);
      first.heartbeat([a]);
      second.heartbeat([b]);
    }
    first.linkLost();
    expect(rig.worker("w")).toMatchObject({ incarnation: "life-2", state: "connected" });
    first.complete(a);
    expect(rig.trialStates(1)).toEqual(["completed", "running"]);
    second.complete(b);
    expect(rig.trialStates(1)).toEqual(["completed", "completed", "leased"]);
    expect(rig.sent.at(-1)?.incarnation).toBe("life-2");
  });

  it("says nothing when the older one is away", () => {
    const rig = new Rig();
    const first = new FakeWorker(rig, "w", [deviceOf(1)], "life-1");
    first.hello();
    first.linkLost();
    new FakeWorker(rig, "w", [deviceOf(1)], "life-2").hello();
    expect(rig.eventsOf("worker-name-taken")).toEqual([]);
  });
});

describe("a sweep with several paused trials", () => {
  const pausing = { ...noScheduler, onReport: (state: null) => [state, "pause"] as const };

  function paused(changes: Parameters<Rig["submit"]>[0]): { rig: Rig; worker: FakeWorker } {
    const rig = new Rig({ ...ALGORITHMS, schedulers: new Map([["none", pausing as typeof noScheduler]]) });
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 4, ...changes });
    worker.hello();
    for (let number = 0; number < 3; number++) {
      const assign = newest(rig);
      worker.start(assign);
      worker.report(assign, 1, 0.1 * number);
      worker.end(assign, { kind: "stopped", weightsHash: null });
    }
    expect(rig.trialStates(1)).toEqual(["paused", "paused", "paused", "leased"]);
    return { rig, worker };
  }

  it("can be cancelled, also when the user held it and nothing trains", () => {
    const { rig, worker } = paused({});
    const last = newest(rig);
    worker.start(last);
    worker.report(last, 1, 0.5);
    rig.ask((call) => ({ kind: "SweepPaused", call, sweep: ONE }));
    worker.end(last, { kind: "stopped", weightsHash: null });
    expect(rig.trialStates(1)).toEqual(["paused", "paused", "paused", "paused"]);
    expect(rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: ONE })).ok).toBe(true);
    expect(rig.trialStates(1)).toEqual(["cancelled", "cancelled", "cancelled", "cancelled"]);
    expect(rig.sweep(1).state).toBe("cancelled");
  });

  it("ends with its wall time, each trial with that cause", () => {
    const { rig, worker } = paused({ maxWallMillis: 5_000 });
    rig.ask((call) => ({ kind: "SweepPaused", call, sweep: ONE }));
    worker.end(newest(rig), { kind: "released", reason: "no memory" });
    rig.pass(5_000);
    expect(rig.trialStates(1)).toEqual(["stopped", "stopped", "stopped", "cancelled"]);
    expect(rig.trial(1, 1).cause).toBe("wall time");
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "wall time" });
  });
});

describe("a trial enqueued in a sweep that had ended", () => {
  it("does not outlive the sweep's wall time, also when no worker is there", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    rig.submit({ runCap: 1, maxWallMillis: 60_000 });
    worker.hello();
    worker.train(newest(rig));
    worker.linkLost();
    // Whatever was asked for comes and goes.
    rig.pass(30_000);
    rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: ONE, parameters: {} }));
    expect(rig.sweep(1).state).toBe("running");
    rig.pass(30_000);
    expect(rig.trialStates(1)).toEqual(["completed", "cancelled"]);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "wall time" });
  });
});
