/** The scheduler's place in the core, with a small successive halving that pauses, promotes and stops. */
import { describe, expect, it } from "vitest";
import { ALGORITHMS } from "../../coordinator/core/environment.js";
import type { Scheduler, SchedulerEnd, SchedulerReport } from "../../coordinator/core/schedulers/scheduler.js";
import type { Json } from "../../coordinator/core/types.js";
import { sweepId } from "../../proto/contract.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

interface Heard {
  readonly reports: readonly SchedulerReport[];
  readonly ends: readonly SchedulerEnd[];
}

function heard(state: Json): Heard {
  return (state ?? { reports: [], ends: [] }) as unknown as Heard;
}

/** Pauses every trial after its first epoch; promotes the best two once four are paused. */
const halving: Scheduler = {
  check: () => null,
  init: () => null,
  onReport(state, report) {
    const { reports, ends } = heard(state);
    const again = reports.some(({ number, epoch }) => number === report.number && epoch === report.epoch);
    const next = { reports: again ? reports : [...reports, report], ends } as unknown as Json;
    return [next, report.epoch === 1 && !again ? "pause" : "continue"];
  },
  onEnd(state, end) {
    const { reports, ends } = heard(state);
    return { reports, ends: [...ends, end] } as unknown as Json;
  },
  promote(state, paused) {
    const { reports } = heard(state);
    const rung = reports.filter(({ epoch }) => epoch === 1).sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
    const best = rung.length < 4 ? [] : rung.slice(0, 2).map(({ number }) => number);
    return [state, best.find((number) => paused.includes(number)) ?? null];
  },
};

function bench(runCap = 4): { rig: Rig; worker: FakeWorker; next: () => Assign | undefined } {
  const rig = new Rig({ ...ALGORITHMS, schedulers: new Map([["none", halving]]) });
  const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
  worker.hello();
  rig.submit({ runCap });
  return {
    rig,
    worker,
    next: () => rig.take().flatMap(({ message }) => (message.kind === "Assign" ? [message] : []))[0],
  };
}

const VALUES = [0.1, 0.4, 0.2, 0.3];

describe("a scheduler", () => {
  it("pauses, promotes the best, and the rest are stopped with the sweep", () => {
    const { rig, worker, next } = bench();
    const order: string[] = [];
    for (let assign = next(); assign !== undefined; assign = next()) {
      order.push(assign.attempt);
      const value = VALUES[Number(assign.attempt.split(/[/#]/)[1])] ?? 0;
      worker.start(assign);
      worker.report(assign, 1, value);
      if (rig.attempt(assign.attempt)?.stopping === "paused") {
        worker.end(assign, { kind: "stopped", weightsHash: null });
        continue;
      }
      worker.report(assign, 2, value);
      worker.report(assign, 3, value);
      worker.complete(assign);
    }
    expect(order).toEqual(["1/0#1", "1/1#1", "1/2#1", "1/3#1", "1/1#2", "1/3#2"]);
    expect(rig.trialStates(1)).toEqual(["stopped", "completed", "stopped", "completed"]);
    expect(rig.trial(1, 0).cause).toBe("never resumed by the scheduler");
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "run_cap" });
    const { reports, ends } = heard(rig.sweep(1).schedulerState);
    expect(reports.map(({ number, epoch }) => `${number}:${epoch}`)).toEqual([
      "0:1",
      "1:1",
      "2:1",
      "3:1",
      "1:2",
      "1:3",
      "3:2",
      "3:3",
    ]);
    expect(ends.map(({ number, state, value }) => [number, state, value])).toEqual([
      [1, "completed", 0.4],
      [3, "completed", 0.3],
      [0, "stopped", 0.1],
      [2, "stopped", 0.2],
    ]);
  });

  it("is not asked to stop a trial at its last epoch, nor heard for one that stops already", () => {
    const { rig, worker, next } = bench(1);
    const assign = next();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    worker.report(assign, 1, 0.5);
    expect(rig.take().map(({ message }) => message.kind)).toEqual(["Stop"]);
    worker.report(assign, 2, 0.5);
    expect(rig.take()).toEqual([]);
    worker.end(assign, { kind: "stopped", weightsHash: null });
    expect(rig.trialStates(1)).toEqual(["stopped"]);
  });

  it("holds its paused trials while the user pauses the sweep", () => {
    const { rig, worker, next } = bench(1);
    const assign = next();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    worker.report(assign, 1, 0.5);
    rig.ask((call) => ({ kind: "SweepPaused", call, sweep: sweepId(1) }));
    worker.end(assign, { kind: "stopped", weightsHash: null });
    expect(rig.trialStates(1)).toEqual(["paused"]);
    expect(rig.sweep(1).state).toBe("paused");
    rig.ask((call) => ({ kind: "SweepResumed", call, sweep: sweepId(1) }));
    expect(rig.sweep(1).state).toBe("completed");
  });

  it("that paused the last trials of a cancelled sweep does not keep it", () => {
    const { rig, worker, next } = bench(2);
    const assign = next();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.start(assign);
    worker.report(assign, 1, 0.5);
    worker.end(assign, { kind: "stopped", weightsHash: null });
    rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: sweepId(1) }));
    expect(rig.trialStates(1)).toEqual(["cancelled", "cancelled"]);
    expect(rig.sweep(1).state).toBe("cancelled");
  });
});
