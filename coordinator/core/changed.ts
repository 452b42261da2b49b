/**
 * The nouns of types.ts with some members changed.
 *
 * Not by `changedTrial(trial, { state })`: V8 gives each place where an object is spread hidden classes of its own, so after a few
 * changes by different places no two trials have the same one, a copy takes ten times as long, and so does every place
 * that reads them. Here every trial has one shape, whatever changed it. The compiler tells when a member is missing.
 */
import type { Attempt, Sweep, Trial, Worker } from "./types.js";

export function changedSweep(sweep: Sweep, changes: Partial<Sweep>): Sweep {
  const copy: Sweep = {
    id: sweep.id,
    spec: sweep.spec,
    state: sweep.state,
    cause: sweep.cause,
    createdAt: sweep.createdAt,
    endedAt: sweep.endedAt,
    nextTrial: sweep.nextTrial,
    samplerState: sweep.samplerState,
    schedulerState: sweep.schedulerState,
  };
  return Object.assign(copy, changes);
}

export function changedTrial(trial: Trial, changes: Partial<Trial>): Trial {
  const copy: Trial = {
    id: trial.id,
    sweep: trial.sweep,
    number: trial.number,
    parameters: trial.parameters,
    seed: trial.seed,
    cohortKey: trial.cohortKey,
    origin: trial.origin,
    state: trial.state,
    cause: trial.cause,
    attempts: trial.attempts,
    losses: trial.losses,
    notBefore: trial.notBefore,
    epoch: trial.epoch,
    best: trial.best,
    last: trial.last,
    metrics: trial.metrics,
    lineage: trial.lineage,
    createdAt: trial.createdAt,
    startedAt: trial.startedAt,
    endedAt: trial.endedAt,
    weightsHash: trial.weightsHash,
    fingerprint: trial.fingerprint,
    worker: trial.worker,
    device: trial.device,
    verified: trial.verified,
    killed: trial.killed,
    checkpoints: trial.checkpoints,
  };
  return Object.assign(copy, changes);
}

export function changedAttempt(attempt: Attempt, changes: Partial<Attempt>): Attempt {
  const copy: Attempt = {
    id: attempt.id,
    trial: attempt.trial,
    n: attempt.n,
    token: attempt.token,
    worker: attempt.worker,
    incarnation: attempt.incarnation,
    device: attempt.device,
    state: attempt.state,
    leaseUntil: attempt.leaseUntil,
    fromEpoch: attempt.fromEpoch,
    lastEpoch: attempt.lastEpoch,
    offeredAt: attempt.offeredAt,
    startedAt: attempt.startedAt,
    endedAt: attempt.endedAt,
    cause: attempt.cause,
    fingerprint: attempt.fingerprint,
    stopping: attempt.stopping,
  };
  return Object.assign(copy, changes);
}

export function changedWorker(worker: Worker, changes: Partial<Worker>): Worker {
  const copy: Worker = {
    id: worker.id,
    incarnation: worker.incarnation,
    host: worker.host,
    pid: worker.pid,
    version: worker.version,
    devices: worker.devices,
    state: worker.state,
    connectedAt: worker.connectedAt,
    lastSeen: worker.lastSeen,
  };
  return Object.assign(copy, changes);
}
