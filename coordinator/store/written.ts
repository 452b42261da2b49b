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

// Member by member: a loop over their names takes many times as long, and this is done for every report.

function sameButProgressed(a: Trial, b: Trial): boolean {
  return (
    a.id === b.id &&
    a.sweep === b.sweep &&
    a.number === b.number &&
    a.parameters === b.parameters &&
    a.seed === b.seed &&
    a.cohortKey === b.cohortKey &&
    a.origin === b.origin &&
    a.state === b.state &&
    a.cause === b.cause &&
    a.attempts === b.attempts &&
    a.losses === b.losses &&
    a.notBefore === b.notBefore &&
    a.lineage === b.lineage &&
    a.createdAt === b.createdAt &&
    a.startedAt === b.startedAt &&
    a.endedAt === b.endedAt &&
    a.weightsHash === b.weightsHash &&
    a.fingerprint === b.fingerprint &&
    a.worker === b.worker &&
    a.device === b.device &&
    a.verified === b.verified &&
    a.killed === b.killed &&
    a.checkpoints === b.checkpoints
  );
}

function sameButRenewed(a: Attempt, b: Attempt): boolean {
  return (
    a.id === b.id &&
    a.trial === b.trial &&
    a.n === b.n &&
    a.token === b.token &&
    a.worker === b.worker &&
    a.incarnation === b.incarnation &&
    a.device === b.device &&
    a.state === b.state &&
    a.fromEpoch === b.fromEpoch &&
    a.offeredAt === b.offeredAt &&
    a.startedAt === b.startedAt &&
    a.endedAt === b.endedAt &&
    a.cause === b.cause &&
    a.fingerprint === b.fingerprint &&
    a.stopping === b.stopping
  );
}

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
    return before !== undefined && sameButProgressed(trial, before);
  }

  /** The row is there, and differs at most in lease and last epoch. */
  onlyRenewed(attempt: Attempt): boolean {
    const before = this.#attempts.get(attempt.id);
    return before !== undefined && sameButRenewed(attempt, before);
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
