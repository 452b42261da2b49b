/**
 * What the store has last written of trials and attempts that still change: with it a put that only moves a trial on by an
 * epoch is told from one that changes more, and is checked and written as the few columns that it is.
 *
 * Guarantees: an answer is only given for a record that this process wrote and that nothing has undone. Records are compared
 * member by member, by identity: the core never changes one, it puts another in its place. A record that has ended is
 * forgotten, so this is as long as what trains, not as the sweep, and whatever is kept of ended rows sees them whole. Not here: SQL.
 */
import type { AttemptId, TrialId } from "../../proto/contract.js";
import type { Attempt, Trial } from "../core/types.js";

/** Of a trial, what a report changes. */
export type TrialProgress = Pick<Trial, "epoch" | "best" | "last" | "metrics">;
/** Of an attempt, what a report or a heartbeat changes. */
export type AttemptProgress = Pick<Attempt, "leaseUntil" | "lastEpoch">;

/** All other members: the type demands every one, so that a new one cannot be forgotten. */
const REST_OF_TRIAL: Readonly<Record<Exclude<keyof Trial, keyof TrialProgress>, true>> = {
  id: true,
  sweep: true,
  number: true,
  parameters: true,
  seed: true,
  cohortKey: true,
  origin: true,
  state: true,
  cause: true,
  attempts: true,
  losses: true,
  notBefore: true,
  lineage: true,
  createdAt: true,
  startedAt: true,
  endedAt: true,
  weightsHash: true,
  fingerprint: true,
  worker: true,
  device: true,
  verified: true,
  killed: true,
  checkpoints: true,
};
const REST_OF_ATTEMPT: Readonly<Record<Exclude<keyof Attempt, keyof AttemptProgress>, true>> = {
  id: true,
  trial: true,
  n: true,
  token: true,
  worker: true,
  incarnation: true,
  device: true,
  state: true,
  fromEpoch: true,
  offeredAt: true,
  startedAt: true,
  endedAt: true,
  cause: true,
  fingerprint: true,
  stopping: true,
};
const TRIAL_MEMBERS = Object.keys(REST_OF_TRIAL) as readonly (keyof typeof REST_OF_TRIAL)[];
const ATTEMPT_MEMBERS = Object.keys(REST_OF_ATTEMPT) as readonly (keyof typeof REST_OF_ATTEMPT)[];

export class Written {
  readonly #trials = new Map<TrialId, Trial>();
  readonly #attempts = new Map<AttemptId, Attempt>();

  hasTrial(id: TrialId): boolean {
    return this.#trials.has(id);
  }

  /** Token of an attempt that was written; `undefined` says nothing. */
  tokenOf(id: AttemptId): number | undefined {
    return this.#attempts.get(id)?.token;
  }

  /** The row is there, and differs at most in how far the trial is. */
  onlyProgressed(trial: Trial): boolean {
    const before = this.#trials.get(trial.id);
    if (before === undefined) return false;
    for (const member of TRIAL_MEMBERS) if (trial[member] !== before[member]) return false;
    return true;
  }

  /** The row is there, and differs at most in lease and last epoch. */
  onlyRenewed(attempt: Attempt): boolean {
    const before = this.#attempts.get(attempt.id);
    if (before === undefined) return false;
    for (const member of ATTEMPT_MEMBERS) if (attempt[member] !== before[member]) return false;
    return true;
  }

  noteTrial(trial: Trial): void {
    if (trial.endedAt !== null) this.#trials.delete(trial.id);
    else this.#trials.set(trial.id, trial);
  }

  noteAttempt(attempt: Attempt): void {
    if (attempt.endedAt !== null) this.#attempts.delete(attempt.id);
    else this.#attempts.set(attempt.id, attempt);
  }

  /** What was noted may have been rolled back. */
  forget(): void {
    this.#trials.clear();
    this.#attempts.clear();
  }
}
