/**
 * The life of an attempt: who may speak for it, its lease, and what its loss means for the trial.
 *
 * Guarantees: only the worker, life and token that hold an attempt change anything; everybody else is told `Revoke`. A
 * lease runs from the receipt of a message on the coordinator's clock. One that runs out while nobody else could take the
 * trial lapses: its holder may still come back to it, until another worker has a lane free. A trial goes back to the queue while machines have
 * lost it fewer than `maxAttempts` times, later each time. Not here: what the holder says (ingest.ts).
 */
import type { AttemptId, Incarnation, Token, WorkerId } from "../../proto/contract.js";
import { millis, TIMES } from "../../proto/contract.js";
import { changedAttempt, changedTrial, changedWorker } from "./changed.js";
import type { Draft } from "./draft.js";
import { aboutAttempt } from "./draft.js";
import { endTrial, toQueue } from "./endings.js";
import { progressFrom } from "./objective.js";
import { isLapsed } from "./state.js";
import type { Attempt, AttemptState, Checkpoint, Trial } from "./types.js";

/** Lives of workers that a trial may end. Before the last it trains alone, so that no other is blamed (placement.ts). */
const QUARANTINED_AFTER = 3;

/** A message about an attempt, as far as it says who sends it. */
export interface Claim {
  readonly worker: WorkerId;
  readonly incarnation: Incarnation;
  readonly attempt: AttemptId;
  readonly token: Token;
}

/** The live attempt that this claim holds, or `null`. Says nothing to anybody. */
export function heldBy(draft: Draft, claim: Claim): Attempt | null {
  const attempt = draft.attempt(claim.attempt);
  if (attempt === null || attempt.token !== claim.token) return null;
  return attempt.worker === claim.worker && attempt.incarnation === claim.incarnation ? attempt : null;
}

/** As `heldBy`; whoever holds nothing is told to let go. */
export function holder(draft: Draft, claim: Claim, what: string): Attempt | null {
  const attempt = heldBy(draft, claim);
  if (attempt !== null) return attempt;
  draft.send(claim.worker, claim.incarnation, { kind: "Revoke", attempt: claim.attempt, token: claim.token });
  const fields = { worker: claim.worker, attempt: claim.attempt, token: claim.token, what };
  draft.log("info", "lease-refused", "a message without a valid lease changed nothing", fields);
  return null;
}

/** On the link that the Assign went down, so it is heard after it and before whatever is assigned next. */
export function sendRevoke(draft: Draft, { id, token, worker, incarnation }: Attempt): void {
  draft.send(worker, incarnation, { kind: "Revoke", attempt: id, token });
}

/** Its holder was heard of. */
export function renew(draft: Draft, attempt: Attempt): Attempt {
  return draft.putAttempt(renewed(draft, attempt));
}

/** With a full lease from now, whether the old one has run out or not. */
export function renewed(draft: Draft, attempt: Attempt): Attempt {
  const leaseUntil = leaseEnd(draft);
  if (!isLapsed(attempt)) return changedAttempt(attempt, { leaseUntil });
  draft.record("lease-renewed", aboutAttempt(draft.trial(attempt.trial), attempt), "its holder is back and goes on");
  return changedAttempt(attempt, { leaseUntil, cause: "" });
}

export function leaseEnd(draft: Draft): Attempt["leaseUntil"] {
  return millis(draft.now + TIMES.lease);
}

/** `from`: the checkpoint it goes on from. */
export function startAttempt(
  draft: Draft,
  attempt: Attempt,
  fingerprint: string | null,
  from: Checkpoint | null = null,
): Attempt {
  const trial = draft.trial(attempt.trial);
  const fromEpoch = from?.progress.epoch ?? 0;
  const started = changedAttempt(attempt, {
    state: "running",
    startedAt: draft.now,
    leaseUntil: leaseEnd(draft),
    fingerprint,
    fromEpoch,
    lastEpoch: fromEpoch,
  });
  draft.putAttempt(started);
  const there = from === null ? trial : changedTrial(trial, progressFrom(from));
  draft.putTrial(changedTrial(there, { state: "running", startedAt: draft.now, fingerprint }));
  const where = fromEpoch > 0 ? `, from the checkpoint of epoch ${fromEpoch}` : "";
  draft.record(
    "attempt-started",
    aboutAttempt(trial, attempt),
    `${fingerprint ?? "its start was not reported"}${where}`,
  );
  return started;
}

/** Gives the lane back. The trial still has to be told. */
export function endAttempt(
  draft: Draft,
  attempt: Attempt,
  state: Exclude<AttemptState, "offered" | "running">,
  cause: string,
): void {
  draft.putAttempt(changedAttempt(attempt, { state, cause, endedAt: draft.now }));
  draft.placementDue = true;
  const worker = draft.state.workers.get(attempt.worker);
  if (worker?.state === "away" && !draft.state.indexes.workers.has(worker.id)) {
    draft.putWorker(changedWorker(worker, { state: "gone" }));
    draft.record("worker-gone", { worker: worker.id }, "link lost and no lease left");
  }
}

/** The life of a worker ended, or fell silent, while it held the attempt: which of its trials was to blame nobody knows. */
export function loseWithWorker(draft: Draft, attempt: Attempt, cause: string): void {
  const trial = draft.trial(attempt.trial);
  if (trial.killed.includes(attempt.incarnation)) return loseAttempt(draft, attempt, cause);
  const { killed } = draft.putTrial(changedTrial(trial, { killed: [...trial.killed, attempt.incarnation] }));
  if (killed.length < QUARANTINED_AFTER) return loseAttempt(draft, attempt, cause);
  endAttempt(draft, attempt, "lost", cause);
  const quarantine = `quarantined: ${killed.length} workers ended while they trained it, the last time alone`;
  draft.record("attempt-lost", aboutAttempt(trial, attempt), `${cause} (${quarantine})`);
  draft.record("trial-quarantined", aboutAttempt(trial, attempt), quarantine);
  const after = draft.trial(attempt.trial);
  if (!endIfStopping(draft, after, attempt)) {
    endTrial(draft, after, "lost", quarantine, { losses: trial.losses + 1 });
  }
}

/** The machine's fault. A trial that was being stopped is stopped then; others wait and try again, or are lost. */
export function loseAttempt(draft: Draft, attempt: Attempt, cause: string): void {
  const trial = draft.trial(attempt.trial);
  const { maxAttempts } = draft.sweep(trial.sweep).spec;
  const losses = trial.losses + 1;
  // One whose lease had run out has waited for its holder instead.
  const wait = isLapsed(attempt) ? 0 : backOff(losses);
  endAttempt(draft, attempt, "lost", cause);
  const then =
    attempt.stopping !== null && attempt.stopping !== "paused"
      ? "it was being stopped"
      : losses < maxAttempts
        ? `tried again ${wait === 0 ? "at once" : `after ${wait / 1_000} s`}`
        : "no tries left";
  draft.record("attempt-lost", aboutAttempt(trial, attempt), `${cause} (loss ${losses} of ${maxAttempts}; ${then})`);
  if (endIfStopping(draft, trial, attempt)) return;
  if (losses < maxAttempts) requeue(draft, trial, losses, wait);
  else endTrial(draft, trial, "lost", `${cause}; ${losses} ${losses === 1 ? "attempt" : "attempts"} lost`, { losses });
}

/** Nobody's fault: the worker gave it back in good order. */
export function releaseAttempt(draft: Draft, attempt: Attempt, cause: string): void {
  const trial = draft.trial(attempt.trial);
  endAttempt(draft, attempt, "lost", cause);
  draft.record("attempt-released", aboutAttempt(trial, attempt), cause);
  if (!endIfStopping(draft, trial, attempt)) requeue(draft, trial, trial.losses, 0);
}

function endIfStopping(draft: Draft, trial: Trial, attempt: Attempt): boolean {
  if (attempt.stopping === null || attempt.stopping === "paused") return false;
  endTrial(draft, trial, attempt.stopping, attempt.cause);
  return true;
}

/** 2 s, 4 s, 8 s, ... at most 5 min. */
export function backOff(losses: number): number {
  return Math.min(300_000, 2_000 * 2 ** (losses - 1));
}

function requeue(draft: Draft, trial: Trial, losses: number, wait: number): void {
  const notBefore = millis(wait === 0 ? 0 : draft.now + wait);
  draft.putTrial(toQueue(trial, notBefore, losses));
  draft.placementDue = true;
  if (wait > 0) draft.wakeAt(notBefore);
}
