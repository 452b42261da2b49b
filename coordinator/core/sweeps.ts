/**
 * What people ask of a sweep: submit, pause, resume, cancel, extend.
 *
 * Guarantees: every call gets one reply; a request that makes no sense in the sweep's state is refused with WRONG_STATE and
 * changes nothing. Not here: reading sweep files (coordinator/recipe).
 */
import type { ErrorData, SweepId } from "../../proto/contract.js";
import { LIMITS, sweepId } from "../../proto/contract.js";
import { changedSweep } from "./changed.js";
import type { Draft } from "./draft.js";
import { errorData } from "./draft.js";
import { CAUSES, contextOf, schedulerOf, settleSweep } from "./endings.js";
import type { CallId, Event } from "./events.js";
import { windUp } from "./stopping.js";
import { isEnded } from "./transitions.js";
import type { Sweep, SweepSpec } from "./types.js";

type Of<K extends Event["kind"]> = Extract<Event, { readonly kind: K }>;

export function submitSweep(draft: Draft, { call, spec }: Of<"SweepSubmitted">): void {
  const error = faultOf(draft, spec);
  if (error !== null) return draft.refuse(call, error);
  const id = sweepId(draft.state.lastSweep + 1);
  const sweep: Sweep = {
    id,
    spec,
    state: "running",
    cause: "",
    createdAt: draft.now,
    endedAt: null,
    nextTrial: 0,
    samplerState: null,
    schedulerState: null,
  };
  draft.add({ kind: "setSweeps", last: id });
  draft.putSweep(changedSweep(sweep, { schedulerState: schedulerOf(draft, sweep).init(contextOf(sweep)) }));
  const asked = `${spec.runCap} trials, sampler ${spec.sampler.name}, scheduler ${spec.scheduler.name}, seed ${spec.seed}`;
  draft.record("sweep-submitted", { sweep: id }, asked);
  if (spec.maxWallMillis !== null) draft.wakeAt(draft.now + spec.maxWallMillis);
  draft.placementDue = true;
  draft.reply(call, { sweep: id });
}

export function pauseSweep(draft: Draft, event: Of<"SweepPaused">): void {
  const sweep = sweepIn(draft, event, "pause", (candidate) => candidate.state === "running" && !isWindingUp(candidate));
  if (sweep === null) return;
  draft.putSweep(changedSweep(sweep, { state: "paused" }));
  draft.record("sweep-paused", { sweep: sweep.id }, "by user; running trials go on");
  draft.reply(event.call, {});
}

export function resumeSweep(draft: Draft, event: Of<"SweepResumed">): void {
  const sweep = sweepIn(draft, event, "resume", (candidate) => candidate.state === "paused");
  if (sweep === null) return;
  draft.putSweep(changedSweep(sweep, { state: "running" }));
  draft.record("sweep-resumed", { sweep: sweep.id }, "by user");
  draft.placementDue = true;
  draft.reply(event.call, {});
  settleSweep(draft, sweep.id);
}

export function cancelSweep(draft: Draft, event: Of<"SweepCancelled">): void {
  const sweep = sweepIn(draft, event, "cancel", (candidate) => !isEnded(candidate.state));
  if (sweep === null) return;
  windUp(draft, sweep, CAUSES.cancelled);
  draft.reply(event.call, {});
}

/** Adds trials and wall time; an ended sweep, or one that winds up, runs again. */
export function extendSweep(draft: Draft, event: Of<"SweepExtended">): void {
  const sweep = sweepIn(draft, event, "extend", () => true);
  if (sweep === null) return;
  const { call, trials, wallMillis } = event;
  const runCap = sweep.spec.runCap + trials;
  const whole = [trials, wallMillis].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!whole || trials + wallMillis === 0) {
    const found = `${trials} trials and ${wallMillis} ms`;
    return draft.refuse(
      call,
      errorData("BAD_INPUT", "nothing to add", { expected: "trials or wall time of at least 1", found }),
    );
  }
  if (runCap > LIMITS.trialsPerSweep) return draft.refuse(call, tooMany(runCap));
  const maxWallMillis = extendedWall(draft, sweep, wallMillis);
  if (maxWallMillis !== null && sweep.createdAt + maxWallMillis <= draft.now) {
    const message = `the wall time of sweep ${sweep.id} is used up: give it more`;
    return draft.refuse(
      call,
      errorData("WRONG_STATE", message, { path: "wall_millis", expected: "above 0", found: "0" }),
    );
  }
  const state = sweep.state === "paused" ? "paused" : "running";
  const spec = { ...sweep.spec, runCap, maxWallMillis };
  draft.putSweep(changedSweep(sweep, { spec, state, cause: "", endedAt: null }));
  draft.record(
    "sweep-extended",
    { sweep: sweep.id },
    `by ${trials} trials and ${wallMillis} ms of wall time; it was ${sweep.state}`,
  );
  if (maxWallMillis !== null) draft.wakeAt(sweep.createdAt + maxWallMillis);
  draft.placementDue = true;
  draft.reply(call, {});
  settleSweep(draft, sweep.id);
}

/** A sweep that may be `verb`ed; refuses the call otherwise. */
function sweepIn(
  draft: Draft,
  { call, sweep: id }: { readonly call: CallId; readonly sweep: SweepId },
  verb: string,
  allowed: (sweep: Sweep) => boolean,
): Sweep | null {
  const sweep = draft.state.sweeps.get(id);
  if (sweep === undefined) {
    draft.refuse(call, errorData("NOT_FOUND", `there is no sweep ${id}`, { path: "sweep", found: String(id) }));
    return null;
  }
  if (allowed(sweep)) return sweep;
  const found = isWindingUp(sweep) ? `${sweep.state}, winding up (${sweep.cause})` : sweep.state;
  draft.refuse(call, errorData("WRONG_STATE", `cannot ${verb} sweep ${id}: it is ${found}`, { path: "sweep", found }));
  return null;
}

export function isWindingUp(sweep: Sweep): boolean {
  return !isEnded(sweep.state) && sweep.cause !== "";
}

/** Wall time counts from the sweep's creation; the time after its end, when nothing could run, is added back. */
function extendedWall(draft: Draft, { spec, createdAt, endedAt }: Sweep, more: number): number | null {
  if (spec.maxWallMillis === null) return null;
  if (endedAt === null) return spec.maxWallMillis + more;
  const left = Math.max(0, spec.maxWallMillis - (endedAt - createdAt));
  return draft.now - createdAt + left + more;
}

function faultOf(draft: Draft, spec: SweepSpec): ErrorData | null {
  const sampler = draft.algorithms.samplers.get(spec.sampler.name);
  const scheduler = draft.algorithms.schedulers.get(spec.scheduler.name);
  if (sampler === undefined) return unknownName("method", spec.sampler.name, draft.algorithms.samplers);
  if (scheduler === undefined)
    return unknownName("early_terminate.type", spec.scheduler.name, draft.algorithms.schedulers);
  if (spec.runCap > LIMITS.trialsPerSweep) return tooMany(spec.runCap);
  const least: readonly (readonly [string, number | null])[] = [
    ["run_cap", spec.runCap],
    ["max_parallel", spec.maxParallel],
    ["max_attempts", spec.maxAttempts],
    ["max_wall_time", spec.maxWallMillis],
    ["epochs", spec.epochs],
  ];
  for (const [path, value] of least) {
    if (value === null || (Number.isSafeInteger(value) && value >= 1)) continue;
    const expected = "a whole number of at least 1";
    return errorData("BAD_INPUT", `${path} is ${value}`, { path, expected, found: String(value) });
  }
  const context = { options: spec.scheduler.options, objective: spec.objective, epochs: spec.epochs };
  return sampler.check(spec.space, spec.sampler.options) ?? scheduler.check(context);
}

function unknownName(path: string, found: string, known: ReadonlyMap<string, unknown>): ErrorData {
  const expected = [...known.keys()].join(", ");
  return errorData("BAD_INPUT", `${path}: there is no ${found}`, { path, expected, found });
}

function tooMany(found: number): ErrorData {
  const expected = `at most ${LIMITS.trialsPerSweep}`;
  return errorData("TOO_LARGE", `${found} trials are too many`, { path: "run_cap", expected, found: String(found) });
}
