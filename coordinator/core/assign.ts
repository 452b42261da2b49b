/**
 * Granting a trial to a lane: token, attempt, and the message that says so.
 *
 * Guarantees: the token is above every token before it and is committed with the grant; the message is addressed to one
 * life of the worker. Not here: choosing the lane (placement.ts).
 */
import { attemptId, millis, TIMES, token } from "../../proto/contract.js";
import { refOf, usableCheckpoints } from "./checkpoints.js";
import type { Draft } from "./draft.js";
import { aboutAttempt } from "./draft.js";
import { recipeOf } from "./sampling.js";
import { trainsAlone } from "./state.js";
import type { Attempt, Trial, Worker, WorkerDevice } from "./types.js";

/** `reason` says why this lane, for the record. */
export function grant(draft: Draft, trial: Trial, worker: Worker, device: WorkerDevice, reason: string): void {
  const next = token(draft.state.lastToken + 1);
  const n = trial.attempts + 1;
  const attempt: Attempt = {
    id: attemptId(trial.id, n),
    trial: trial.id,
    n,
    token: next,
    worker: worker.id,
    incarnation: worker.incarnation,
    device: device.id,
    state: "offered",
    leaseUntil: millis(draft.now + TIMES.offer),
    fromEpoch: 0,
    lastEpoch: 0,
    offeredAt: draft.now,
    startedAt: null,
    endedAt: null,
    cause: "",
    fingerprint: device.fingerprint,
    stopping: null,
  };
  draft.add({ kind: "setTokens", last: next });
  draft.putTrial({
    ...trial,
    state: "leased",
    attempts: n,
    notBefore: millis(0),
    worker: worker.id,
    device: device.id,
  });
  draft.putAttempt(attempt);
  draft.record("attempt-offered", aboutAttempt(trial, attempt), reason);
  draft.wakeAt(attempt.leaseUntil);
  sendAssign(draft, attempt);
}

/** Once more with the same token, to the life that just said hello: the message before may have gone down with the link. */
export function offerAgain(draft: Draft, attempt: Attempt, devices: readonly WorkerDevice[]): void {
  const again = draft.putAttempt({
    ...attempt,
    fingerprint: devices.find(({ id }) => id === attempt.device)?.fingerprint ?? attempt.fingerprint,
    offeredAt: draft.now,
    leaseUntil: millis(draft.now + TIMES.offer),
  });
  const about = aboutAttempt(draft.trial(attempt.trial), attempt);
  draft.record("attempt-offered", about, "once more: the worker is back and does not have it");
  sendAssign(draft, again);
}

function sendAssign(draft: Draft, attempt: Attempt): void {
  const trial = draft.trial(attempt.trial);
  draft.send(attempt.worker, attempt.incarnation, {
    kind: "Assign",
    attempt: attempt.id,
    token: attempt.token,
    device: attempt.device,
    recipe: recipeOf(draft.sweep(trial.sweep).spec, trial.parameters),
    cohortKey: trial.cohortKey,
    seed: trial.seed,
    parameters: trial.parameters,
    alone: trainsAlone(trial),
    checkpoints: usableCheckpoints(trial, attempt).map(refOf),
  });
}
