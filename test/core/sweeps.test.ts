/** Sweeps and trials as people steer them: budgets, pause, cancel, extend, stop, enqueue; and how they end. */
import { describe, expect, it } from "vitest";
import { LIMITS, sweepId, trialId } from "../../proto/contract.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

function bench(
  changes: Parameters<Rig["submit"]>[0] = {},
  lanes = 2,
): { rig: Rig; worker: FakeWorker; assigns: () => readonly Assign[] } {
  const rig = new Rig();
  const worker = new FakeWorker(rig, "w", [deviceOf(lanes)]);
  rig.submit(changes);
  worker.hello();
  const assigns = (): readonly Assign[] =>
    rig.take().flatMap(({ message }) => (message.kind === "Assign" ? [message] : []));
  return { rig, worker, assigns };
}

/** Trains whatever comes until nothing more does. */
function trainAll(worker: FakeWorker, assigns: () => readonly Assign[]): number {
  let count = 0;
  for (let next = assigns(); next.length > 0; next = assigns()) {
    for (const assign of next) worker.train(assign);
    count += next.length;
  }
  return count;
}

const ONE = sweepId(1);
const T = (number: number): ReturnType<typeof trialId> => trialId(ONE, number);

describe("a sweep", () => {
  it("ends with exactly the trials asked for", () => {
    const { rig, worker, assigns } = bench({ runCap: 7 }, 3);
    expect(trainAll(worker, assigns)).toBe(7);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "run_cap", nextTrial: 7 });
    expect(rig.eventsOf("sweep-completed")[0]?.detail).toBe("run_cap: 7 completed");
  });

  it("does not end while one of its trials waits for another attempt", () => {
    const { rig, worker, assigns } = bench({ runCap: 2 }, 2);
    const [a, b] = assigns();
    if (a === undefined || b === undefined) throw new Error("nothing assigned");
    worker.end(a, { kind: "released", reason: "no room" });
    worker.train(b);
    expect(rig.trialStates(1)).toEqual(["queued", "completed"]);
    expect(rig.sweep(1).state).toBe("running");
    rig.pass(2_000);
    expect(trainAll(worker, assigns)).toBe(1);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", nextTrial: 2 });
  });

  it("holds no more than max_parallel at once", () => {
    const { rig, worker, assigns } = bench({ runCap: 5, maxParallel: 2 }, 4);
    const [a, b, ...more] = assigns();
    expect(more).toEqual([]);
    if (a === undefined || b === undefined) throw new Error("nothing assigned");
    worker.train(a);
    expect(assigns()).toHaveLength(1);
    expect(rig.trialStates(1)).toEqual(["completed", "leased", "leased"]);
  });

  it("is failed when every trial failed, completed when one did not", () => {
    for (const [failing, state, cause] of [
      [3, "failed", "every trial failed"],
      [2, "completed", "run_cap"],
    ] as const) {
      const { rig, worker, assigns } = bench({ runCap: 3 }, 3);
      for (const [index, assign] of assigns().entries()) {
        worker.start(assign);
        if (index < failing) worker.end(assign, { kind: "diverged", epoch: 1, step: 7, what: "loss" });
        else worker.train(assign);
      }
      expect(rig.sweep(1)).toMatchObject({ state, cause });
      expect(rig.trial(1, 0).cause).toBe("diverged in epoch 2, step 7 (loss not finite)");
    }
  });

  it("ends when a trial reaches the target: waiting trials are cancelled, running ones stopped", () => {
    const { rig, worker, assigns } = bench(
      { runCap: 50, objective: { name: "val_accuracy", goal: "maximize", target: 0.9 } },
      3,
    );
    const [a, b, c] = assigns();
    if (a === undefined || b === undefined || c === undefined) throw new Error("nothing assigned");
    worker.start(a);
    worker.start(b);
    worker.report(b, 1, 0.89);
    worker.report(a, 1, 0.9);
    expect(rig.trialStates(1)).toEqual(["running", "running", "cancelled"]);
    expect(rig.take().map(({ message }) => message.kind)).toEqual(["Stop", "Stop", "Revoke"]);
    expect(rig.sweep(1)).toMatchObject({ state: "running", cause: "target reached" });
    worker.end(a, { kind: "stopped", weightsHash: "h" });
    worker.end(b, { kind: "stopped", weightsHash: null });
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "target reached", nextTrial: 3 });
    expect(rig.trial(1, 0)).toMatchObject({ state: "stopped", cause: "target reached", weightsHash: "h" });
  });

  it.each([
    ["minimize", 0.1, [0.5, 0.11], [0.1]],
    ["maximize", 0.7, [0.69, 0.2], [0.71]],
  ] as const)("goal %s takes the target from the right side", (goal, target, below, reaching) => {
    const { rig, worker, assigns } = bench({ objective: { name: "val_accuracy", goal, target } }, 1);
    const [assign] = assigns();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    for (const [index, value] of below.entries()) worker.report(assign, index + 1, value);
    expect(rig.sweep(1).cause).toBe("");
    for (const value of reaching) worker.report(assign, 3, value);
    expect(rig.sweep(1).cause).toBe("target reached");
  });

  it("ends at its wall time, to the millisecond", () => {
    const { rig, worker, assigns } = bench({ runCap: 50, maxWallMillis: 5_000 }, 1);
    const [assign] = assigns();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    rig.pass(4_999);
    expect(rig.sweep(1).cause).toBe("");
    rig.pass(1);
    expect(rig.sweep(1).cause).toBe("wall time");
    worker.end(assign, { kind: "stopped", weightsHash: null });
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "wall time", endedAt: rig.now });
    expect(rig.trialStates(1)).toEqual(["stopped"]);
  });

  it("with a wall time ends though no worker ever came", () => {
    const rig = new Rig();
    rig.submit({ maxWallMillis: 1_000 });
    rig.pass(1_000);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "wall time", nextTrial: 0 });
  });

  it("paused goes on with what runs and starts nothing; resumed goes on", () => {
    const { rig, worker, assigns } = bench({ runCap: 3 }, 1);
    expect(rig.ask((call) => ({ kind: "SweepPaused", call, sweep: ONE })).ok).toBe(true);
    const [assign] = assigns();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.train(assign);
    expect(rig.trialStates(1)).toEqual(["completed"]);
    expect(rig.ask((call) => ({ kind: "SweepPaused", call, sweep: ONE }))).toMatchObject({
      ok: false,
      error: { code: "WRONG_STATE" },
    });
    expect(rig.ask((call) => ({ kind: "SweepResumed", call, sweep: ONE })).ok).toBe(true);
    expect(trainAll(worker, assigns)).toBe(2);
    expect(rig.sweep(1).state).toBe("completed");
  });

  it("cancelled cancels all; a worker that never answers delays it by one lease", () => {
    const { rig, worker, assigns } = bench({ runCap: 9 }, 2);
    const [a] = assigns();
    if (a === undefined) throw new Error("nothing assigned");
    worker.start(a);
    expect(rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: ONE })).ok).toBe(true);
    expect(rig.trialStates(1)).toEqual(["running", "cancelled"]);
    rig.pass(9_000);
    expect(rig.sweep(1)).toMatchObject({ state: "cancelled", cause: "cancelled by user" });
    expect(rig.trial(1, 0)).toMatchObject({ state: "cancelled", cause: "cancelled by user", losses: 0 });
    expect(rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: ONE }))).toMatchObject({
      ok: false,
      error: { code: "WRONG_STATE" },
    });
  });

  it.each(["completed", "cancelled", "failed"])("that is %s runs again when extended", (state) => {
    const { rig, worker, assigns } = bench({ runCap: 2 }, 2);
    if (state === "completed") trainAll(worker, assigns);
    if (state === "cancelled") rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: ONE }));
    if (state === "failed") {
      for (const assign of assigns()) {
        worker.start(assign);
        worker.end(assign, { kind: "diverged", epoch: 1, step: 1, what: "loss" });
      }
    }
    assigns();
    expect(rig.sweep(1).state).toBe(state);
    rig.now += 1_000_000;
    worker.heartbeat([]);
    expect(rig.ask((call) => ({ kind: "SweepExtended", call, sweep: ONE, trials: 3, wallMillis: 0 })).ok).toBe(true);
    expect(trainAll(worker, assigns)).toBe(3);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "run_cap", nextTrial: 5 });
  });

  it("extended after its wall time needs more of it, counted from now", () => {
    const { rig, worker, assigns } = bench({ runCap: 2, maxWallMillis: 10_000 }, 1);
    rig.pass(10_000);
    rig.now += 90_000;
    worker.hello();
    const extend = (trials: number, wallMillis: number) =>
      rig.ask((call) => ({ kind: "SweepExtended", call, sweep: ONE, trials, wallMillis }));
    expect(extend(1, 0)).toMatchObject({ ok: false, error: { code: "WRONG_STATE", path: "wall_millis" } });
    expect(extend(0, 0)).toMatchObject({ ok: false, error: { code: "BAD_INPUT" } });
    expect(extend(LIMITS.trialsPerSweep, 5_000)).toMatchObject({ ok: false, error: { code: "TOO_LARGE" } });
    assigns();
    expect(extend(0, 5_000).ok).toBe(true);
    expect(rig.sweep(1).spec.maxWallMillis).toBe(105_000);
    expect(assigns()).toHaveLength(1);
    rig.pass(5_000);
    expect(rig.sweep(1).cause).toBe("wall time");
  });

  it.each([
    [{ sampler: { name: "magic", options: null } }, "method"],
    [{ scheduler: { name: "magic", options: null } }, "early_terminate.type"],
    [{ runCap: 0 }, "run_cap"],
    [{ runCap: 2_000_000 }, "run_cap"],
    [{ maxParallel: 0.5 }, "max_parallel"],
    [{ sampler: { name: "grid", options: null } }, "parameters.learning_rate"],
  ])("that makes no sense is refused: %j", (changes, path) => {
    const rig = new Rig();
    const good = new Rig().submit().spec;
    const reply = rig.ask((call) => ({ kind: "SweepSubmitted", call, spec: { ...good, ...changes } }));
    expect(reply).toMatchObject({ ok: false, error: { path } });
    expect(rig.mutations).toEqual([]);
  });

  it("that is not there is NOT_FOUND", () => {
    const rig = new Rig();
    const none = sweepId(9);
    for (const reply of [
      rig.ask((call) => ({ kind: "SweepPaused", call, sweep: none })),
      rig.ask((call) => ({ kind: "SweepExtended", call, sweep: none, trials: 1, wallMillis: 0 })),
      rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: none, parameters: {} })),
      rig.ask((call) => ({ kind: "TrialStopped", call, trial: trialId(none, 0) })),
      rig.ask((call) => ({ kind: "TrialRerun", call, trial: trialId(none, 0), verify: true })),
    ]) {
      expect(reply).toMatchObject({ ok: false, error: { code: "NOT_FOUND" } });
    }
  });
});

describe("a trial", () => {
  it("stopped by hand is cancelled: at once while it waits, by its worker while it trains", () => {
    const { rig, worker, assigns } = bench({ runCap: 3 }, 2);
    const [a] = assigns();
    if (a === undefined) throw new Error("nothing assigned");
    worker.start(a);
    for (const number of [0, 1])
      expect(rig.ask((call) => ({ kind: "TrialStopped", call, trial: T(number) })).ok).toBe(true);
    expect(rig.trialStates(1)).toEqual(["running", "cancelled", "leased"]);
    worker.end(a, { kind: "stopped", weightsHash: null });
    expect(rig.trial(1, 0)).toMatchObject({ state: "cancelled", cause: "stopped by user" });
    const again = rig.ask((call) => ({ kind: "TrialStopped", call, trial: T(0) }));
    expect(again).toMatchObject({ ok: false, error: { code: "WRONG_STATE", found: "cancelled" } });
    trainAll(worker, assigns);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "run_cap" });
  });

  it("whose Stop went down with the link is told again", () => {
    const { rig, worker, assigns } = bench({ runCap: 1 }, 1);
    const [a] = assigns();
    if (a === undefined) throw new Error("nothing assigned");
    worker.start(a);
    rig.ask((call) => ({ kind: "TrialStopped", call, trial: T(0) }));
    rig.restart();
    rig.take();
    worker.hello([a]);
    expect(rig.take().map(({ message }) => message.kind)).toEqual(["Welcome", "Stop"]);
  });

  it("that completed while it was being stopped is completed: the result is there", () => {
    const { rig, worker, assigns } = bench({ runCap: 1 }, 1);
    const [a] = assigns();
    if (a === undefined) throw new Error("nothing assigned");
    worker.start(a);
    rig.ask((call) => ({ kind: "TrialStopped", call, trial: T(0) }));
    worker.complete(a, "hash");
    expect(rig.trial(1, 0)).toMatchObject({ state: "completed", weightsHash: "hash" });
  });

  it("enqueued raises the cap by one, goes first, and draws what is not given as any trial would", () => {
    const { rig, worker, assigns } = bench({ runCap: 2 }, 1);
    const plain = new Rig();
    plain.submit({ runCap: 5 });
    new FakeWorker(plain, "w", [deviceOf(5)]).hello();
    const [a] = assigns();
    if (a === undefined) throw new Error("nothing assigned");
    const reply = rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: ONE, parameters: { l2: 0.01 } }));
    expect(reply).toEqual({ ok: true, value: { trial: "1/1" } });
    expect(rig.trial(1, 1).parameters).toEqual({ ...plain.trial(1, 1).parameters, l2: 0.01 });
    worker.train(a);
    expect(assigns()[0]?.attempt).toBe("1/1#1");
    expect(rig.sweep(1).spec.runCap).toBe(3);
  });

  it("enqueued in a completed sweep runs it again for that one trial; a cancelled one must be extended", () => {
    const { rig, worker, assigns } = bench({ runCap: 1 }, 1);
    trainAll(worker, assigns);
    const enqueue = () => rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: ONE, parameters: {} }));
    expect(enqueue().ok).toBe(true);
    expect(rig.sweep(1)).toMatchObject({ state: "running", cause: "", endedAt: null });
    expect(trainAll(worker, assigns)).toBe(1);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", nextTrial: 2 });
    rig.ask((call) => ({ kind: "SweepExtended", call, sweep: ONE, trials: 1, wallMillis: 0 }));
    rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: ONE }));
    expect(enqueue()).toMatchObject({ ok: false, error: { code: "WRONG_STATE", found: "cancelled" } });
  });

  it.each([
    [{ lr: 0.1 }, "parameters.lr", "learning_rate, l2"],
    [{ learning_rate: 7 }, "parameters.learning_rate", "a number from 0.00001 to 0.1"],
    [{ l2: "off" }, "parameters.l2", "a number from 1e-7 to 0.1"],
  ])("enqueued outside of the space is refused: %j", (parameters, path, expected) => {
    const { rig } = bench();
    const reply = rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: ONE, parameters }));
    expect(reply).toMatchObject({ ok: false, error: { code: "BAD_INPUT", path, expected } });
  });

  it("that fails does not come back; the cause names the error", () => {
    const { rig, worker, assigns } = bench({ runCap: 1 }, 1);
    const [a] = assigns();
    if (a === undefined) throw new Error("nothing assigned");
    const error = {
      code: "ENGINE_BAD_RECIPE",
      message: "pool larger than its input",
      path: null,
      expected: null,
      found: null,
    } as const;
    worker.end(a, { kind: "failed", error });
    expect(rig.trial(1, 0)).toMatchObject({ state: "failed", cause: "pool larger than its input", losses: 0 });
    expect(assigns()).toEqual([]);
  });

  it("carries structural parameters into its recipe and its cohort", () => {
    const { rig, assigns } = bench(
      {
        runCap: 2,
        structural: ["batch_size"],
        space: [{ name: "batch_size", distribution: { kind: "int_uniform", min: 8, max: 64 } }],
      },
      2,
    );
    for (const assign of assigns()) {
      const size = assign.parameters["batch_size"];
      expect(assign.recipe).toMatchObject({ batch_size: size, epochs: 3 });
      expect(assign.cohortKey).toBe(`d1:{"batch_size":${size}}`);
    }
    expect(rig.sweep(1).spec.recipe).toMatchObject({ batch_size: 32 });
  });
});
