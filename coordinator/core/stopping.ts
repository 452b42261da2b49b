/**
 * Asking trials to stop, one by one or a whole sweep's.
 *
 * Guarantees: what does not train yet ends at once; what trains is asked to stop and ends when its worker says so, or when
 * its lease runs out. The attempt keeps what the trial becomes then, and why. Not here: the worker's answer (ingest.ts).
 */
import { endAttempt, sendRevoke } from "./attempts.js";
import { changedAttempt, changedSweep } from "./changed.js";
import type { Draft } from "./draft.js";
import { aboutAttempt } from "./draft.js";
import { CAUSES, closeTrial, endTrial, settleSweep } from "./endings.js";
import { isLapsed, liveAttempt, trialsOf } from "./state.js";
import { isFinal } from "./transitions.js";
import type { Attempt, Sweep, Trial } from "./types.js";

/** `becomes` is for a trial that trains; one that has not started is cancelled in any case. */
export function stopTraining(
  draft: Draft,
  trial: Trial,
  becomes: "stopped" | "cancelled" | "paused",
  cause: string,
): void {
  if (isFinal(trial.state)) return;
  const attempt = liveAttempt(draft.state, trial);
  if (attempt === null) {
    endTrial(draft, trial, trial.state === "paused" && becomes === "stopped" ? "stopped" : "cancelled", cause);
    return;
  }
  if (attempt.state === "offered") {
    endAttempt(draft, attempt, "revoked", cause);
    sendRevoke(draft, attempt);
    endTrial(draft, trial, "cancelled", cause);
    return;
  }
  // The user's word is the last; a worker that was asked already need not be asked again.
  if (attempt.stopping === "cancelled") return;
  draft.putAttempt(changedAttempt(attempt, { stopping: becomes, cause }));
  draft.record("attempt-stopping", aboutAttempt(trial, attempt), `to be ${becomes}: ${cause}`);
  if (attempt.stopping === null) sendStop(draft, changedAttempt(attempt, { stopping: becomes }));
  // Nobody will answer: the next Tick ends it.
  if (isLapsed(attempt)) draft.wakeAt(draft.now);
}

export function sendStop(draft: Draft, { worker, incarnation, id, token, stopping }: Attempt): void {
  draft.send(worker, incarnation, { kind: "Stop", attempt: id, token, save: stopping === "paused" });
}

/** The sweep draws nothing more, and its trials stop. A rerun goes on unless the user cancelled. */
export function windUp(draft: Draft, sweep: Sweep, cause: string): void {
  const cancelled = cause === CAUSES.cancelled;
  draft.putSweep(changedSweep(sweep, { state: "running", cause }));
  draft.record("sweep-winding-up", { sweep: sweep.id }, cause);
  const becomes = cancelled ? "cancelled" : "stopped";
  const trials = [...trialsOf(draft.state, sweep)];
  // Paused ones first, all at once: the sweep would else end with the last other trial and close them itself.
  for (const trial of trials) if (trial.state === "paused") closeTrial(draft, trial, becomes, cause);
  for (const trial of trials) {
    if (trial.state === "paused" || (trial.origin.kind === "rerun" && !cancelled)) continue;
    stopTraining(draft, trial, becomes, cause);
  }
  settleSweep(draft, sweep.id);
}
