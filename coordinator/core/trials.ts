/**
 * What people ask of a trial: stop it, enqueue one, run one again.
 *
 * Guarantees: every call gets one reply; parameters given by hand lie in the sweep's space. Not here: comparing a rerun
 * with its original (verify.ts).
 */
import type { ErrorData } from "../../proto/contract.js";
import { LIMITS } from "../../proto/contract.js";
import { changedSweep } from "./changed.js";
import type { Draft } from "./draft.js";
import { errorData } from "./draft.js";
import { CAUSES } from "./endings.js";
import type { Event } from "./events.js";
import { addEnqueued, addRerun } from "./sampling.js";
import { expectedOf } from "./space/contains.js";
import { indexOf } from "./state.js";
import { stopTraining } from "./stopping.js";
import { isEnded, isFinal } from "./transitions.js";
import type { Parameters, Space, Sweep, Trial } from "./types.js";

type Of<K extends Event["kind"]> = Extract<Event, { readonly kind: K }>;

export function stopTrial(draft: Draft, { call, trial: id }: Of<"TrialStopped">): void {
  const trial = draft.state.trials.get(id);
  if (trial === undefined) return draft.refuse(call, noTrial(id));
  if (isFinal(trial.state)) return draft.refuse(call, wrongState(`cannot stop trial ${id}`, trial.state));
  stopTraining(draft, trial, "cancelled", "stopped by user");
  draft.reply(call, {});
}

/** A sweep that ended because it had all its trials runs again for this one; others must be extended first. */
export function enqueueTrial(draft: Draft, { call, sweep: id, parameters }: Of<"TrialEnqueued">): void {
  const sweep = draft.state.sweeps.get(id);
  if (sweep === undefined) {
    return draft.refuse(call, errorData("NOT_FOUND", `there is no sweep ${id}`, { path: "sweep", found: String(id) }));
  }
  const fault = parameterFault(sweep.spec.space, parameters);
  if (fault !== null) return draft.refuse(call, fault);
  if (sweep.spec.runCap >= LIMITS.trialsPerSweep) {
    const expected = `at most ${LIMITS.trialsPerSweep}`;
    return draft.refuse(call, errorData("TOO_LARGE", `sweep ${id} is full`, { path: "sweep", expected }));
  }
  if (!takesTrials(draft, sweep)) {
    const found = isEnded(sweep.state) ? sweep.state : `winding up (${sweep.cause})`;
    return draft.refuse(call, wrongState(`cannot enqueue a trial in sweep ${id}: extend it first`, found));
  }
  const ended = isEnded(sweep.state);
  const open = ended ? changedSweep(sweep, { state: "running", endedAt: null, cause: "" }) : sweep;
  if (ended) draft.record("sweep-reopened", { sweep: id }, "for a trial enqueued by user");
  const trial = addEnqueued(draft, open, parameters);
  if (open.spec.maxWallMillis !== null) draft.wakeAt(open.createdAt + open.spec.maxWallMillis);
  draft.reply(call, { trial: trial.id });
}

/** The same trial again, outside of the sweep's cap and ranking; with `verify` alone, to be compared to the bit. */
export function rerunTrial(draft: Draft, { call, trial: id, verify }: Of<"TrialRerun">): void {
  const original = draft.state.trials.get(id);
  if (original === undefined) return draft.refuse(call, noTrial(id));
  if (!isFinal(original.state))
    return draft.refuse(call, wrongState(`cannot rerun trial ${id} before it ends`, original.state));
  if (verify && !hasResult(original)) {
    return draft.refuse(call, wrongState(`trial ${id} has no result to compare with`, original.state));
  }
  const sweep = draft.sweep(original.sweep);
  if (sweep.nextTrial >= 2 * LIMITS.trialsPerSweep) {
    return draft.refuse(call, errorData("TOO_LARGE", `sweep ${sweep.id} is full`, { path: "sweep" }));
  }
  const rerun = addRerun(draft, sweep, original, verify);
  draft.reply(call, { trial: rerun.id });
}

/** Failing is a result; the others need a report. */
function hasResult({ state, epoch }: Trial): boolean {
  return state === "failed" || ((state === "completed" || state === "stopped") && epoch > 0);
}

/** Running again must not draw trials that nobody asked for now, nor find the wall time used up. */
function takesTrials(draft: Draft, { id, spec, state, cause, createdAt }: Sweep): boolean {
  if (!isEnded(state)) return cause === "" || cause === CAUSES.exhausted;
  const timeLeft = spec.maxWallMillis === null || createdAt + spec.maxWallMillis > draft.now;
  return state !== "cancelled" && indexOf(draft.state, id).total >= spec.runCap && timeLeft;
}

function parameterFault(space: Space, parameters: Parameters): ErrorData | null {
  for (const [name, value] of Object.entries(parameters)) {
    const path = `parameters.${name}`;
    const known = space.find((parameter) => parameter.name === name);
    if (known === undefined) {
      const expected = space.map((parameter) => parameter.name).join(", ");
      return errorData("BAD_INPUT", `the sweep has no parameter ${name}`, { path, expected, found: name });
    }
    const expected = expectedOf(known.distribution, value);
    if (expected === null) continue;
    return errorData("BAD_INPUT", `${name} lies outside of the sweep's space`, {
      path,
      expected,
      found: JSON.stringify(value),
    });
  }
  return null;
}

function noTrial(id: Trial["id"]): ErrorData {
  return errorData("NOT_FOUND", `there is no trial ${id}`, { path: "trial", found: id });
}

function wrongState(message: string, found: string): ErrorData {
  return errorData("WRONG_STATE", `${message}: it is ${found}`, { path: "trial", found });
}
