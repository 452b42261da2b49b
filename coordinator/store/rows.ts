/**
 * Rows of the base tables and the domain's records, both ways. One pair of functions a table; the column order here is
 * that of the statements in statements.ts. Not here: SQL, checks (validate.ts).
 */
import type { AttemptId, Incarnation, Millis, SweepId, Token, TrialId, WorkerId } from "../../proto/contract.js";
import type {
  Attempt,
  EventRecord,
  Json,
  MetricValue,
  Parameters,
  Sweep,
  SweepSpec,
  Trial,
  Worker,
  WorkerDevice,
} from "../core/types.js";
import { KIND, kindOf, metricFrom, realOf, toJson } from "./number.js";

export type Cell = number | string | null;

export interface SweepRow {
  readonly id: number;
  readonly state: Sweep["state"];
  readonly cause: string;
  readonly created_at: number;
  readonly ended_at: number | null;
  readonly next_trial: number;
  readonly sampler_state: string;
  readonly scheduler_state: string;
  readonly spec: string;
}

export interface TrialRow {
  readonly id: string;
  readonly sweep: number;
  readonly number: number;
  readonly state: Trial["state"];
  readonly cause: string;
  readonly origin: "sampled" | "enqueued" | "rerun";
  readonly rerun_of: string | null;
  readonly rerun_verify: number | null;
  readonly parameters: string;
  readonly seed: string;
  readonly cohort_key: string;
  readonly attempts: number;
  readonly losses: number;
  readonly not_before: number;
  readonly epoch: number;
  readonly best_kind: number | null;
  readonly best_value: number | null;
  readonly best_epoch: number | null;
  readonly last_kind: number | null;
  readonly last_value: number | null;
  readonly metrics: string;
  readonly created_at: number;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly weights_hash: string | null;
  readonly fingerprint: string | null;
  readonly worker: string | null;
  readonly device: string | null;
  readonly verified: number | null;
  readonly verified_detail: string | null;
}

export interface AttemptRow {
  readonly token: number;
  readonly id: string;
  readonly trial: string;
  readonly n: number;
  readonly worker: string;
  readonly incarnation: string;
  readonly device: string;
  readonly state: Attempt["state"];
  readonly lease_until: number;
  readonly last_epoch: number;
  readonly offered_at: number;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly cause: string;
  readonly fingerprint: string | null;
  readonly stopping: Attempt["stopping"];
}

export interface WorkerRow {
  readonly id: string;
  readonly incarnation: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly devices: string;
  readonly state: Worker["state"];
  readonly connected_at: number;
  readonly last_seen: number;
}

export interface EventRow {
  readonly at: number;
  readonly kind: string;
  readonly sweep: number | null;
  readonly trial: string | null;
  readonly attempt: string | null;
  readonly worker: string | null;
  readonly detail: string;
}

export function sweepCells(sweep: Sweep): Cell[] {
  return [
    sweep.id,
    sweep.state,
    sweep.cause,
    sweep.createdAt,
    sweep.endedAt,
    sweep.nextTrial,
    toJson(sweep.samplerState),
    toJson(sweep.schedulerState),
  ];
}

export function sweepFrom(row: SweepRow): Sweep {
  return {
    id: row.id as SweepId,
    spec: JSON.parse(row.spec) as SweepSpec,
    state: row.state,
    cause: row.cause,
    createdAt: row.created_at as Millis,
    endedAt: row.ended_at as Millis | null,
    nextTrial: row.next_trial,
    samplerState: JSON.parse(row.sampler_state) as Json,
    schedulerState: JSON.parse(row.scheduler_state) as Json,
  };
}

export function trialCells(trial: Trial): Cell[] {
  const { best, last, origin, verified } = trial;
  const rerun = origin.kind === "rerun" ? origin : null;
  return [
    trial.id,
    trial.sweep,
    trial.number,
    trial.state,
    trial.cause,
    origin.kind,
    rerun ? rerun.of : null,
    rerun ? Number(rerun.verify) : null,
    toJson(trial.parameters),
    trial.seed,
    trial.cohortKey,
    trial.attempts,
    trial.losses,
    trial.notBefore,
    trial.epoch,
    best ? kindOf(best.value) : null,
    best ? best.value : null,
    best ? best.epoch : null,
    last === null ? null : kindOf(last),
    last === null ? null : realOf(last),
    toJson(trial.metrics),
    trial.createdAt,
    trial.startedAt,
    trial.endedAt,
    trial.weightsHash,
    trial.fingerprint,
    trial.worker,
    trial.device,
    verified ? Number(verified.equal) : null,
    verified ? verified.detail : null,
  ];
}

function originFrom(row: TrialRow): Trial["origin"] {
  if (row.origin !== "rerun") return { kind: row.origin };
  return { kind: "rerun", of: (row.rerun_of ?? "") as TrialId, verify: row.rerun_verify === 1 };
}

export function trialFrom(row: TrialRow): Trial {
  const best = row.best_value === null ? null : row.best_kind === KIND.minusZero ? -0 : row.best_value;
  return {
    id: row.id as TrialId,
    sweep: row.sweep as SweepId,
    number: row.number,
    parameters: JSON.parse(row.parameters) as Parameters,
    seed: row.seed,
    cohortKey: row.cohort_key,
    origin: originFrom(row),
    state: row.state,
    cause: row.cause,
    attempts: row.attempts,
    losses: row.losses,
    notBefore: row.not_before as Millis,
    epoch: row.epoch,
    best: best === null ? null : { value: best, epoch: row.best_epoch ?? 0 },
    last: row.last_kind === null ? null : metricFrom(row.last_kind, row.last_value),
    metrics: JSON.parse(row.metrics) as Readonly<Record<string, MetricValue>>,
    createdAt: row.created_at as Millis,
    startedAt: row.started_at as Millis | null,
    endedAt: row.ended_at as Millis | null,
    weightsHash: row.weights_hash,
    fingerprint: row.fingerprint,
    worker: row.worker as WorkerId | null,
    device: row.device,
    verified: row.verified === null ? null : { equal: row.verified === 1, detail: row.verified_detail ?? "" },
  };
}

export function attemptCells(attempt: Attempt): Cell[] {
  return [
    attempt.token,
    attempt.id,
    attempt.trial,
    attempt.n,
    attempt.worker,
    attempt.incarnation,
    attempt.device,
    attempt.state,
    attempt.leaseUntil,
    attempt.lastEpoch,
    attempt.offeredAt,
    attempt.startedAt,
    attempt.endedAt,
    attempt.cause,
    attempt.fingerprint,
    attempt.stopping,
  ];
}

export function attemptFrom(row: AttemptRow): Attempt {
  return {
    id: row.id as AttemptId,
    trial: row.trial as TrialId,
    n: row.n,
    token: row.token as Token,
    worker: row.worker as WorkerId,
    incarnation: row.incarnation as Incarnation,
    device: row.device,
    state: row.state,
    leaseUntil: row.lease_until as Millis,
    lastEpoch: row.last_epoch,
    offeredAt: row.offered_at as Millis,
    startedAt: row.started_at as Millis | null,
    endedAt: row.ended_at as Millis | null,
    cause: row.cause,
    fingerprint: row.fingerprint,
    stopping: row.stopping,
  };
}

export function workerCells(worker: Worker): Cell[] {
  return [
    worker.id,
    worker.incarnation,
    worker.host,
    worker.pid,
    worker.version,
    toJson(worker.devices as unknown as Json),
    worker.state,
    worker.connectedAt,
    worker.lastSeen,
  ];
}

export function workerFrom(row: WorkerRow): Worker {
  return {
    id: row.id as WorkerId,
    incarnation: row.incarnation as Incarnation,
    host: row.host,
    pid: row.pid,
    version: row.version,
    devices: JSON.parse(row.devices) as readonly WorkerDevice[],
    state: row.state,
    connectedAt: row.connected_at as Millis,
    lastSeen: row.last_seen as Millis,
  };
}

export function eventCells(event: EventRecord): Cell[] {
  return [event.at, event.kind, event.sweep, event.trial, event.attempt, event.worker, event.detail];
}

export function eventFrom(row: EventRow): EventRecord {
  return {
    at: row.at as Millis,
    kind: row.kind,
    sweep: row.sweep as SweepId | null,
    trial: row.trial as TrialId | null,
    attempt: row.attempt as AttemptId | null,
    worker: row.worker as WorkerId | null,
    detail: row.detail,
  };
}
