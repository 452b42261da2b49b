/**
 * Changing the state: the only place that does.
 *
 * Guarantees: a mutation is applied whole or throws before anything changed; states change only along transitions.ts;
 * tokens and sweep numbers only grow; a second live attempt of a trial cannot come to be. `applyUndoable` answers how to
 * take the mutation back, which is how decide.ts tries out what it decides. Not here: deciding, storing.
 */
import { attemptId, ConvsweepError } from "../../proto/contract.js";
import { changedTrial } from "./changed.js";
import type { Mutation } from "./events.js";
import type { State } from "./state.js";
import { indexOf, replaceAttempt, replaceSweep, replaceTrial, replaceWorker } from "./state.js";
import {
  ATTEMPT_TRANSITIONS,
  isLive,
  move,
  SWEEP_TRANSITIONS,
  TRIAL_TRANSITIONS,
  WORKER_TRANSITIONS,
} from "./transitions.js";
import type { Attempt, Sweep, Trial, Worker } from "./types.js";

const nothing = (): void => undefined;

export function apply(state: State, mutation: Mutation): void {
  applyUndoable(state, mutation);
}

/** As `apply`; calling what it answers, newest first, restores the state from before. */
export function applyUndoable(state: State, mutation: Mutation): () => void {
  switch (mutation.kind) {
    case "putSweep":
      return putSweep(state, mutation.sweep);
    case "putTrial":
      return putTrial(state, mutation.trial);
    case "putAttempt":
      return putAttempt(state, mutation.attempt);
    case "putWorker":
      return putWorker(state, mutation.worker);
    case "setTokens": {
      const before = state.lastToken;
      if (mutation.last <= before) throw broken("tokens only grow", `above ${before}`, String(mutation.last));
      state.lastToken = mutation.last;
      return () => {
        state.lastToken = before;
      };
    }
    case "setSweeps": {
      const before = state.lastSweep;
      if (mutation.last <= before) throw broken("sweep numbers only grow", `above ${before}`, String(mutation.last));
      state.lastSweep = mutation.last;
      return () => {
        state.lastSweep = before;
      };
    }
    // The record of what happened is the store's; the trial that a report changed comes as a mutation of its own.
    case "addReport":
    case "putArtifact":
    case "addEvent":
      return nothing;
  }
}

function putSweep(state: State, next: Sweep): () => void {
  const old = state.sweeps.get(next.id) ?? null;
  if (old !== null) move(SWEEP_TRANSITIONS, old.state, next.state, `sweep ${next.id}`);
  replaceSweep(state, next.id, next);
  return () => replaceSweep(state, next.id, old);
}

function putTrial(state: State, next: Trial): () => void {
  const old = state.trials.get(next.id) ?? null;
  if (old === null && next.state !== "queued") throw broken(`trial ${next.id} is new`, "queued", next.state);
  if (old !== null) move(TRIAL_TRANSITIONS, old.state, next.state, `trial ${next.id}`);
  const index = indexOf(state, next.sweep);
  const { best } = index;
  replaceTrial(state, old, next);
  return () => {
    replaceTrial(state, next, old === null ? null : changedTrial(old, { best: next.best }));
    if (old !== null) state.trials.set(old.id, old);
    index.best = best;
  };
}

function putAttempt(state: State, next: Attempt): () => void {
  const old = state.attempts.get(next.id) ?? null;
  if (old === null) {
    if (next.state !== "offered") throw broken(`attempt ${next.id} is new or over`, "offered", next.state);
    const before = attemptId(next.trial, next.n - 1);
    if (state.attempts.has(before)) throw broken(`trial ${next.trial} is held already`, "no live attempt", before);
  } else {
    move(ATTEMPT_TRANSITIONS, old.state, next.state, `attempt ${next.id}`);
    if (next.token !== old.token)
      throw broken(`attempt ${next.id} keeps its token`, String(old.token), String(next.token));
  }
  replaceAttempt(state, old, next);
  return () => replaceAttempt(state, isLive(next.state) ? next : null, old);
}

function putWorker(state: State, next: Worker): () => void {
  const old = state.workers.get(next.id) ?? null;
  if (old !== null && old.incarnation === next.incarnation) {
    move(WORKER_TRANSITIONS, old.state, next.state, `worker ${next.id}`);
  }
  replaceWorker(state, next.id, next);
  return () => replaceWorker(state, next.id, old);
}

function broken(message: string, expected: string, found: string): ConvsweepError {
  return new ConvsweepError("INTERNAL", message, { expected, found });
}
