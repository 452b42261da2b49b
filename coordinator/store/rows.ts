/**
 * Rows of the base tables and the core's records, both ways; trials are in trial-rows.ts. One pair of functions a table; the
 * column order is that of the statements in statements.ts. Not here: SQL, checks (validate.ts).
 */
import type { AttemptId, Incarnation, Millis, SweepId, Token, TrialId, WorkerId } from "../../proto/contract.js";
import type { Artifact, Attempt, EventRecord, Json, Sweep, SweepSpec, Worker, WorkerDevice } from "../core/types.js";
import { toJson } from "./number.js";
import type { KeptArtifact } from "./store.js";

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

export type AttemptCells = [
  token: number,
  id: string,
  trial: string,
  n: number,
  worker: string,
  incarnation: string,
  device: string,
  state: Attempt["state"],
  lease_until: number,
  last_epoch: number,
  offered_at: number,
  started_at: number | null,
  ended_at: number | null,
  cause: string,
  fingerprint: string | null,
  stopping: Attempt["stopping"],
  from_epoch: number,
];

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

export function attemptCells(attempt: Attempt): AttemptCells {
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
    attempt.fromEpoch,
  ];
}

export function attemptFrom(cells: AttemptCells): Attempt {
  const [
    token,
    id,
    trial,
    n,
    worker,
    incarnation,
    device,
    state,
    lease_until,
    last_epoch,
    offered_at,
    started_at,
    ended_at,
    cause,
    fingerprint,
    stopping,
    from_epoch,
  ] = cells;
  return {
    id: id as AttemptId,
    trial: trial as TrialId,
    n,
    token: token as Token,
    worker: worker as WorkerId,
    incarnation: incarnation as Incarnation,
    device,
    state,
    leaseUntil: lease_until as Millis,
    fromEpoch: from_epoch,
    lastEpoch: last_epoch,
    offeredAt: offered_at as Millis,
    startedAt: started_at as Millis | null,
    endedAt: ended_at as Millis | null,
    cause,
    fingerprint,
    stopping,
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

export interface ArtifactRow {
  readonly id: number;
  readonly trial: string;
  readonly attempt: string;
  readonly name: string;
  readonly media_type: string;
  readonly epoch: number;
  readonly digest: string;
  readonly bytes: number;
  readonly at: number;
}

export function artifactCells(artifact: Artifact, token: number | null): Cell[] {
  const { name, epoch, mediaType, bytes, digest, at } = artifact;
  return [token, name, epoch, mediaType, bytes, digest, at];
}

export function artifactFrom(row: ArtifactRow): KeptArtifact {
  return {
    id: row.id,
    trial: row.trial as TrialId,
    attempt: row.attempt as AttemptId,
    name: row.name,
    mediaType: row.media_type,
    epoch: row.epoch,
    digest: row.digest,
    bytes: row.bytes,
    at: row.at as Millis,
  };
}
