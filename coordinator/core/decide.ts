/**
 * The coordinator's mind: what an event means.
 *
 * Guarantees: a pure function. The same state, event, time and history give the same decision; nothing is changed, nothing
 * is read from outside. `now` is when the event was received, and never goes back. `enact` is the same, but leaves the
 * state as the decision has it: the runtime enacts one event after the other, commits a batch, and only then lets the
 * effects out; if it cannot commit it takes them back, the newest first.
 *
 * Not here: the decisions themselves; this file only sends each event to where it is decided.
 */
import type { Millis } from "../../proto/contract.js";
import { artifactSaved } from "./artifacts.js";
import { checkpointSaved } from "./checkpoints.js";
import { Draft } from "./draft.js";
import type { Algorithms, History } from "./environment.js";
import { ALGORITHMS } from "./environment.js";
import type { Decision, Event } from "./events.js";
import { attemptEnded, attemptStarted, reported } from "./ingest.js";
import { booted, tick } from "./leases.js";
import { place } from "./placement.js";
import type { State } from "./state.js";
import { cancelSweep, extendSweep, pauseSweep, resumeSweep, submitSweep } from "./sweeps.js";
import { enqueueTrial, rerunTrial, stopTrial } from "./trials.js";
import { heartbeat, workerDraining, workerHello, workerLinkLost } from "./workers.js";

/** A decision that the state shows already. */
export interface Enacted extends Decision {
  /** Puts the state back; what was enacted after it has to be taken back before. */
  readonly undo: () => void;
}

export function decide(
  state: State,
  event: Event,
  now: Millis,
  history: History,
  algorithms: Algorithms = ALGORITHMS,
): Decision {
  const { mutations, effects, undo } = enact(state, event, now, history, algorithms);
  undo();
  return { mutations, effects };
}

/** If it throws, the state is as it was. */
export function enact(
  state: State,
  event: Event,
  now: Millis,
  history: History,
  algorithms: Algorithms = ALGORITHMS,
): Enacted {
  const draft = new Draft(state, now, history, algorithms);
  try {
    dispatch(draft, event);
    if (draft.placementDue) place(draft);
    const { mutations, effects } = draft.answer();
    return { mutations, effects, undo: () => draft.rollback() };
  } catch (thrown) {
    draft.rollback();
    throw thrown;
  }
}

function dispatch(draft: Draft, event: Event): void {
  switch (event.kind) {
    case "SweepSubmitted":
      return submitSweep(draft, event);
    case "SweepPaused":
      return pauseSweep(draft, event);
    case "SweepResumed":
      return resumeSweep(draft, event);
    case "SweepCancelled":
      return cancelSweep(draft, event);
    case "SweepExtended":
      return extendSweep(draft, event);
    case "TrialStopped":
      return stopTrial(draft, event);
    case "TrialEnqueued":
      return enqueueTrial(draft, event);
    case "TrialRerun":
      return rerunTrial(draft, event);
    case "WorkerHello":
      return workerHello(draft, event);
    case "WorkerLinkLost":
      return workerLinkLost(draft, event);
    case "WorkerDraining":
      return workerDraining(draft, event);
    case "Heartbeat":
      return heartbeat(draft, event);
    case "AttemptStarted":
      return attemptStarted(draft, event);
    case "Reported":
      return reported(draft, event);
    case "AttemptEnded":
      return attemptEnded(draft, event);
    case "CheckpointSaved":
      return checkpointSaved(draft, event);
    case "ArtifactSaved":
      return artifactSaved(draft, event);
    case "Booted":
      return booted(draft, event);
    case "Tick":
      return tick(draft, event);
    case "Noted":
      return draft.record(event.note, { sweep: event.sweep, trial: event.trial }, event.detail);
  }
}
