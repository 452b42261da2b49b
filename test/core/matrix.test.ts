/** Every state of a trial against every event: what it becomes, written out by hand. Final states never change. */
import { describe, expect, it } from "vitest";
import { ALGORITHMS } from "../../coordinator/core/environment.js";
import type { Scheduler } from "../../coordinator/core/schedulers/scheduler.js";
import type { TrialState } from "../../coordinator/core/types.js";
import { sweepId, TIMES, trialId } from "../../proto/contract.js";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

const ONE = sweepId(1);
const TRIAL = trialId(ONE, 0);

interface Bench {
  readonly rig: Rig;
  readonly worker: FakeWorker;
  /** Of the trial's newest attempt; one that never was, for a queued trial. */
  readonly assign: Assign;
}

function always(verdict: "stop" | "pause" | "continue"): Scheduler {
  return {
    check: () => null,
    init: () => null,
    onReport: (state) => [state, verdict],
    onEnd: (state) => state,
    promote: (state) => [state, null],
  };
}

const schedulers = new Map([
  ["stopped", always("stop")],
  ["paused", always("pause")],
  ["none", always("continue")],
]);

/** Two trials are asked for and the other one waits, so that the sweep goes on and nothing happens by itself. */
function benchIn(state: TrialState): Bench {
  const rig = new Rig({ ...ALGORITHMS, schedulers });
  const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
  rig.submit({
    runCap: 2,
    maxAttempts: state === "lost" ? 1 : 3,
    scheduler: { name: schedulers.has(state) ? state : "none", options: null },
  });
  worker.hello();
  const [assign] = rig.assigns();
  if (assign === undefined) throw new Error("nothing assigned");
  if (state === "leased") return { rig, worker, assign };
  worker.start(assign);
  // Nobody takes the next one.
  if (state !== "running") worker.draining();
  if (state === "queued") worker.end(assign, { kind: "released", reason: "test" });
  if (state === "completed") worker.complete(assign);
  if (state === "failed") worker.end(assign, { kind: "diverged", epoch: 1, step: 1, what: "loss" });
  if (state === "lost") rig.pass(TIMES.lease);
  if (state === "cancelled") rig.ask((call) => ({ kind: "TrialStopped", call, trial: TRIAL }));
  if (state === "paused" || state === "stopped") worker.report(assign, 1, 0.5);
  if (state === "cancelled" || state === "paused" || state === "stopped")
    worker.end(assign, { kind: "stopped", weightsHash: null });
  return { rig, worker, assign };
}

const failure = { code: "INTERNAL", message: "no", path: null, expected: null, found: null } as const;

const EVENTS: Readonly<Record<string, (bench: Bench) => void>> = {
  AttemptStarted: ({ worker, assign }) => worker.start(assign),
  Reported: ({ worker, assign }) => worker.report(assign, 3, 0.5),
  "AttemptEnded completed": ({ worker, assign }) => worker.complete(assign),
  "AttemptEnded stopped, unasked": ({ worker, assign }) => worker.end(assign, { kind: "stopped", weightsHash: null }),
  "AttemptEnded diverged": ({ worker, assign }) =>
    worker.end(assign, { kind: "diverged", epoch: 1, step: 2, what: "weights" }),
  "AttemptEnded failed": ({ worker, assign }) => worker.end(assign, { kind: "failed", error: failure }),
  "AttemptEnded released": ({ worker, assign }) => worker.end(assign, { kind: "released", reason: "test" }),
  "Heartbeat that lists it": ({ worker, assign }) => worker.heartbeat([assign]),
  "Heartbeat that lacks it": ({ worker }) => worker.heartbeat([]),
  "Heartbeat that lacks it, 9 s later": ({ rig, worker }) => {
    rig.now += TIMES.offer;
    worker.heartbeat([]);
  },
  "WorkerHello that lists it": ({ worker, assign }) => worker.hello([assign]),
  WorkerLinkLost: ({ worker }) => worker.linkLost(),
  WorkerDraining: ({ worker }) => worker.draining(),
  Tick: ({ rig }) => rig.tick(),
  "Tick, lease over": ({ rig }) => rig.tick(TIMES.lease),
  "Tick, lease over, another lane free": ({ rig }) => {
    rig.tick(TIMES.lease - 1);
    new FakeWorker(rig, "spare", [deviceOf(9)]).hello();
    rig.tick(1);
  },
  Booted: ({ rig }) => rig.restart(),
  TrialStopped: ({ rig }) => void rig.ask((call) => ({ kind: "TrialStopped", call, trial: TRIAL })),
  SweepPaused: ({ rig }) => void rig.ask((call) => ({ kind: "SweepPaused", call, sweep: ONE })),
  SweepCancelled: ({ rig }) => void rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: ONE })),
};

const Q = "queued";
const L = "leased";
const R = "running";
const P = "paused";
const X = "cancelled";

/** What a trial that waits, is offered, trains or is paused becomes. */
const BECOMES: Readonly<Record<keyof typeof EVENTS, readonly [TrialState, TrialState, TrialState, TrialState]>> = {
  AttemptStarted: [Q, R, R, P],
  Reported: [Q, R, R, P],
  "AttemptEnded completed": [Q, "completed", "completed", P],
  "AttemptEnded stopped, unasked": [Q, Q, Q, P],
  "AttemptEnded diverged": [Q, "failed", "failed", P],
  "AttemptEnded failed": [Q, "failed", "failed", P],
  "AttemptEnded released": [Q, Q, Q, P],
  "Heartbeat that lists it": [Q, L, R, P],
  "Heartbeat that lacks it": [Q, L, R, P],
  "Heartbeat that lacks it, 9 s later": [Q, Q, Q, P],
  "WorkerHello that lists it": [Q, L, R, P],
  WorkerLinkLost: [Q, L, R, P],
  WorkerDraining: [Q, L, R, P],
  Tick: [Q, L, R, P],
  "Tick, lease over": [Q, Q, R, P],
  "Tick, lease over, another lane free": [L, Q, Q, P],
  Booted: [Q, L, R, P],
  TrialStopped: [X, X, R, X],
  SweepPaused: [Q, L, R, P],
  SweepCancelled: [X, X, R, X],
};

describe.each(Object.keys(EVENTS))("%s", (name) => {
  const [queued, leased, running, paused] = BECOMES[name] ?? [Q, Q, Q, Q];
  const rows: readonly (readonly [TrialState, TrialState])[] = [
    ["queued", queued],
    ["leased", leased],
    ["running", running],
    ["paused", paused],
    ["completed", "completed"],
    ["stopped", "stopped"],
    ["failed", "failed"],
    ["lost", "lost"],
    ["cancelled", "cancelled"],
  ];
  it.each(rows)("%s becomes %s", (from, to) => {
    const bench = benchIn(from);
    expect(bench.rig.trial(1, 0).state).toBe(from);
    const before = JSON.stringify(bench.rig.trial(1, 0));
    EVENTS[name]?.(bench);
    expect(bench.rig.trial(1, 0).state).toBe(to);
    const final = rows.findIndex(([state]) => state === from) > 3;
    if (final) expect(JSON.stringify(bench.rig.trial(1, 0)), "final trials keep every field").toBe(before);
  });
});
