/**
 * Which state may follow which, as data, for sweeps, trials, attempts and workers.
 *
 * Guarantees: `move` is the only test of a change of state anywhere; a change that is not in the table throws, so a
 * final state can never be left by accident. Not here: why a change happens (sweeps.ts, trials.ts, leases.ts, workers.ts).
 */
import { ConvsweepError } from "../../proto/contract.js";
import type { AttemptState, SweepState, TrialState, Worker } from "./types.js";

export type Table<S extends string> = Readonly<Record<S, readonly S[]>>;

/** An ended sweep runs again when it is extended. */
export const SWEEP_TRANSITIONS: Table<SweepState> = {
  running: ["paused", "completed", "cancelled", "failed"],
  paused: ["running", "completed", "cancelled", "failed"],
  completed: ["running"],
  cancelled: ["running"],
  failed: ["running"],
};

/** `leased` may end as `lost`: a trial that kills every worker before it starts must not go round for ever. */
export const TRIAL_TRANSITIONS: Table<TrialState> = {
  queued: ["leased", "cancelled"],
  leased: ["running", "queued", "lost", "cancelled"],
  running: ["completed", "stopped", "paused", "failed", "queued", "lost", "cancelled"],
  paused: ["queued", "stopped", "cancelled"],
  completed: [],
  stopped: [],
  failed: [],
  lost: [],
  cancelled: [],
};

export const ATTEMPT_TRANSITIONS: Table<AttemptState> = {
  offered: ["running", "lost", "revoked"],
  running: ["finished", "stopped", "paused", "failed", "lost", "revoked"],
  finished: [],
  stopped: [],
  paused: [],
  failed: [],
  lost: [],
  revoked: [],
};

/** A new life of the process begins at `connected`, wherever the old one was. */
export const WORKER_TRANSITIONS: Table<Worker["state"]> = {
  connected: ["draining", "away", "gone"],
  draining: ["connected", "gone"],
  away: ["connected", "draining", "gone"],
  gone: ["connected"],
};

export const TRIAL_STATES = Object.keys(TRIAL_TRANSITIONS) as readonly TrialState[];

/** Whether nothing can follow. */
export function isFinal(state: TrialState): boolean {
  return TRIAL_TRANSITIONS[state].length === 0;
}

export function isLive(state: AttemptState): boolean {
  return state === "offered" || state === "running";
}

export function isEnded(state: SweepState): boolean {
  return state === "completed" || state === "cancelled" || state === "failed";
}

/** Answers `to` if it may follow `from`; staying is always allowed. Throws INTERNAL with `what` otherwise. */
export function move<S extends string>(table: Table<S>, from: S, to: S, what: string): S {
  if (from !== to && !table[from].includes(to)) {
    throw new ConvsweepError("INTERNAL", `${what} cannot go from ${from} to ${to}`, {
      path: what,
      expected: table[from].join(", ") || "nothing, it is final",
      found: to,
    });
  }
  return to;
}
