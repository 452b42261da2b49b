/**
 * Rows of the base tables and the domain's records, both ways. One pair of functions a table; the column order here is
 * that of the statements in statements.ts. Not here: SQL, checks (validate.ts).
 */
import type { AttemptId, Incarnation, Millis, SweepId, Token, TrialId, WorkerId } from "../../proto/contract.js";
import type {
  Artifact,
  Attempt,
  Checkpoint,
  EventRecord,
  Forebear,
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
import type { KeptArtifact } from "./store.js";
import type { TrialProgress } from "./written.js";

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

/** A row as an array: at 100,000 rows objects would take more than twice as long to read. */
export type TrialCells = [
  id: string,
  sweep: number,
  number: number,
  state: Trial["state"],
  cause: string,
  origin: "sampled" | "enqueued" | "rerun",
  rerun_of: string | null,
  rerun_verify: number | null,
  parameters: string,
  seed: string,
  cohort_key: string,
  attempts: number,
  losses: number,
  not_before: number,
  epoch: number,
  best_kind: number | null,
  best_value: number | null,
  best_epoch: number | null,
  last_kind: number | null,
  last_value: number | null,
  metrics: string,
  created_at: number,
  started_at: number | null,
  ended_at: number | null,
  weights_hash: string | null,
  fingerprint: string | null,
  worker: string | null,
  device: string | null,
  verified: number | null,
  verified_detail: string | null,
  checkpoints: string,
  killed: string,
  lineage: string,
];

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

export function trialCells(trial: Trial): TrialCells {
  const { origin, verified } = trial;
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
    ...progressCells(trial),
    trial.createdAt,
    trial.startedAt,
    trial.endedAt,
    trial.weightsHash,
    trial.fingerprint,
    trial.worker,
    trial.device,
    verified ? Number(verified.equal) : null,
    verified ? verified.detail : null,
    trial.checkpoints.length === 0 ? "[]" : toJson(trial.checkpoints as unknown as Json),
    trial.killed.length === 0 ? "[]" : toJson(trial.killed),
    trial.lineage.length === 0 ? "[]" : toJson(trial.lineage as unknown as Json),
  ];
}

/** Epoch, best, last and metrics, as they stand in the row. */
export function progressCells({
  epoch,
  best,
  last,
  metrics,
}: TrialProgress): [number, number | null, number | null, number | null, number | null, number | null, string] {
  return [
    epoch,
    best ? kindOf(best.value) : null,
    best ? best.value : null,
    best ? best.epoch : null,
    last === null ? null : kindOf(last),
    last === null ? null : realOf(last),
    toJson(metrics),
  ];
}

/** `share` may answer another text that says the same: trials have many in common. */
export function trialFrom(cells: TrialCells, share: <T extends string | null>(text: T) => T): Trial {
  const [
    id,
    sweep,
    number,
    state,
    cause,
    origin,
    rerun_of,
    rerun_verify,
    parameters,
    seed,
    cohort_key,
    attempts,
    losses,
    not_before,
    epoch,
    best_kind,
    best_value,
    best_epoch,
    last_kind,
    last_value,
    metrics,
    created_at,
    started_at,
    ended_at,
    weights_hash,
    fingerprint,
    worker,
    device,
    verified,
    verified_detail,
    checkpoints,
    killed,
    lineage,
  ] = cells;
  const best = best_value === null ? null : best_kind === KIND.minusZero ? -0 : best_value;
  return {
    id: id as TrialId,
    sweep: sweep as SweepId,
    number,
    parameters: JSON.parse(parameters) as Parameters,
    seed,
    cohortKey: share(cohort_key),
    origin:
      origin === "rerun"
        ? { kind: origin, of: (rerun_of ?? "") as TrialId, verify: rerun_verify === 1 }
        : { kind: origin },
    state: share(state),
    cause: share(cause),
    attempts,
    losses,
    notBefore: not_before as Millis,
    epoch,
    best: best === null ? null : { value: best, epoch: best_epoch ?? 0 },
    last: last_kind === null ? null : metricFrom(last_kind, last_value),
    metrics: JSON.parse(metrics) as Readonly<Record<string, MetricValue>>,
    createdAt: created_at as Millis,
    startedAt: started_at as Millis | null,
    endedAt: ended_at as Millis | null,
    weightsHash: weights_hash,
    fingerprint: share(fingerprint),
    worker: share(worker) as WorkerId | null,
    device: share(device),
    verified: verified === null ? null : { equal: verified === 1, detail: verified_detail ?? "" },
    killed: killed === "[]" ? [] : (JSON.parse(killed) as readonly Incarnation[]),
    checkpoints: checkpoints === "[]" ? [] : (JSON.parse(checkpoints) as readonly Checkpoint[]),
    lineage: lineage === "[]" ? [] : (JSON.parse(lineage) as readonly Forebear[]),
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
