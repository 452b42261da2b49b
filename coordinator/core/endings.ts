/**
 * How trials and sweeps come to an end.
 *
 * Guarantees: a trial ends once; its scheduler hears of it in the same decision; a sweep ends as soon as every trial asked
 * for is final and none will be drawn, and not before. A sweep that is running with a cause is winding up: it draws
 * nothing more and waits for its last trials. Not here: why a trial ends (ingest.ts, attempts.ts, stopping.ts).
 */
import { ConvsweepError, millis } from "../../proto/contract.js";
import { changedSweep, changedTrial } from "./changed.js";
import type { Draft } from "./draft.js";
import { aboutTrial } from "./draft.js";
import { AT_THE_START } from "./objective.js";
import { suggest } from "./sampling.js";
import type { Scheduler, SchedulerContext } from "./schedulers/scheduler.js";
import { indexOf, trialsOf } from "./state.js";
import type { SweepIndex } from "./sweep-index.js";
import { isEnded } from "./transitions.js";
import type { Sweep, SweepState, Trial, TrialState } from "./types.js";

export const CAUSES = {
  runCap: "run_cap",
  exhausted: "space exhausted",
  target: "target reached",
  wallTime: "wall time",
  cancelled: "cancelled by user",
  failed: "every trial failed",
} as const;

export type FinalState = Extract<TrialState, "completed" | "stopped" | "failed" | "lost" | "cancelled">;

/** The trial is over; `more` holds what else is known at its end. */
export function endTrial(
  draft: Draft,
  trial: Trial,
  state: FinalState,
  cause: string,
  more: Partial<Trial> = {},
): Trial {
  const ended = closeTrial(draft, trial, state, cause, more);
  settleSweep(draft, trial.sweep);
  return ended;
}

/** Nothing new will be drawn; what is drawn already trains to its end. */
export function markExhausted(draft: Draft, sweep: Sweep): void {
  const drawn = indexOf(draft.state, sweep.id).total;
  draft.record(
    "sweep-exhausted",
    { sweep: sweep.id },
    `the space holds ${drawn} trials of ${sweep.spec.runCap} asked for`,
  );
  draft.putSweep(changedSweep(sweep, { cause: CAUSES.exhausted, spec: { ...sweep.spec, runCap: drawn } }));
  settleSweep(draft, sweep.id);
}

/** Ends the sweep if nothing is left to do for it. */
export function settleSweep(draft: Draft, id: Sweep["id"]): void {
  const sweep = draft.sweep(id);
  if (isEnded(sweep.state)) return;
  const index = indexOf(draft.state, id);
  const { queued, leased, running, paused } = index.counts;
  if (queued + leased + running > 0) return;
  if (sweep.cause === "" && index.total < sweep.spec.runCap) {
    if (paused === 0 && suggest(draft, sweep).kind === "exhausted") markExhausted(draft, sweep);
    return;
  }
  if (paused > 0) {
    // A user's pause holds everything as it is, the scheduler's choice included.
    if (sweep.state === "paused") return;
    if ((sweep.cause === "" || sweep.cause === CAUSES.exhausted) && promotePaused(draft, sweep) !== null) return;
    for (const trial of [...trialsOf(draft.state, sweep)]) {
      if (trial.state === "paused") closeTrial(draft, trial, "stopped", "never resumed by the scheduler");
    }
  }
  finishSweep(draft, draft.sweep(id), index);
}

/** Lets the scheduler send a paused trial on; answers the queued trial, or `null`. */
export function promotePaused(draft: Draft, sweep: Sweep): Trial | null {
  const paused = [...trialsOf(draft.state, sweep)].filter((trial) => trial.state === "paused");
  const [state, number] = schedulerOf(draft, sweep).promote(
    sweep.schedulerState,
    paused.map((trial) => trial.number),
    contextOf(sweep),
  );
  if (state !== sweep.schedulerState) draft.putSweep(changedSweep(sweep, { schedulerState: state }));
  const trial = paused.find((candidate) => candidate.number === number);
  if (trial === undefined) return null;
  draft.placementDue = true;
  draft.record("trial-promoted", aboutTrial(trial), `by ${sweep.spec.scheduler.name} after epoch ${trial.epoch}`);
  return draft.putTrial(toQueue(trial, millis(0)));
}

/**
 * The trial as it waits for another attempt. Where that begins, at a checkpoint or at the start, is known when it has
 * started: until then what earlier ones reported is no longer its.
 */
export function toQueue(trial: Trial, notBefore: Trial["notBefore"], losses = trial.losses): Trial {
  return changedTrial(changedTrial(trial, WAITING), { notBefore, losses });
}

const WAITING: Partial<Trial> = {
  ...AT_THE_START,
  state: "queued",
  cause: "",
  startedAt: null,
  fingerprint: null,
  worker: null,
  device: null,
  verified: null,
  weightsHash: null,
};

export function schedulerOf(draft: Draft, sweep: Sweep): Scheduler {
  const scheduler = draft.algorithms.schedulers.get(sweep.spec.scheduler.name);
  if (scheduler === undefined)
    throw new ConvsweepError("INTERNAL", `no scheduler is called ${sweep.spec.scheduler.name}`);
  return scheduler;
}

export function contextOf({ spec }: Sweep): SchedulerContext {
  return { options: spec.scheduler.options, objective: spec.objective, epochs: spec.epochs };
}

/** As `endTrial`; the sweep is not looked at. */
export function closeTrial(
  draft: Draft,
  trial: Trial,
  state: FinalState,
  cause: string,
  more: Partial<Trial> = {},
): Trial {
  const end: Partial<Trial> = { state, cause, endedAt: draft.now, checkpoints: [] };
  const ended = draft.putTrial(changedTrial(changedTrial(trial, more), end));
  if (trial.checkpoints.length > 0) draft.keepCheckpoints(trial.id, []);
  const sweep = draft.sweep(trial.sweep);
  draft.record(
    `trial-${state}`,
    { sweep: trial.sweep, trial: trial.id, worker: trial.worker },
    cause === "" ? resultOf(sweep, ended) : cause,
  );
  if (trial.origin.kind === "rerun") return ended;
  const ending = { number: trial.number, state, epoch: ended.epoch, value: ended.best?.value ?? null };
  const schedulerState = schedulerOf(draft, sweep).onEnd(sweep.schedulerState, ending, contextOf(sweep));
  if (schedulerState !== sweep.schedulerState) draft.putSweep(changedSweep(sweep, { schedulerState }));
  return ended;
}

/** What it reached, in words. */
function resultOf({ spec }: Sweep, { epoch, best }: Trial): string {
  const reached =
    best === null ? `no ${spec.objective.name}` : `${spec.objective.name} ${best.value} at epoch ${best.epoch}`;
  return `after epoch ${epoch}, best ${reached}`;
}

function finishSweep(draft: Draft, sweep: Sweep, index: SweepIndex): void {
  const [state, cause] = verdictOf(sweep, index);
  draft.putSweep(changedSweep(sweep, { state, cause, endedAt: draft.now }));
  const { completed, stopped, failed, lost, cancelled } = index.counts;
  const counts = { completed, stopped, failed, lost, cancelled };
  const detail = Object.entries(counts).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []));
  draft.record(`sweep-${state}`, { sweep: sweep.id }, `${cause}: ${detail.join(", ") || "no trials"}`);
}

function verdictOf(sweep: Sweep, { counts, total }: SweepIndex): readonly [SweepState, string] {
  if (sweep.cause === CAUSES.cancelled) return ["cancelled", sweep.cause];
  if (total > 0 && counts.failed === total) return ["failed", CAUSES.failed];
  if (total > 0 && counts.failed + counts.lost === total) return ["failed", "every trial failed or was lost"];
  return ["completed", sweep.cause === "" ? CAUSES.runCap : sweep.cause];
}
