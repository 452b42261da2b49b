/**
 * Rows of base_trials and the core's trials, both ways. Written whole, in the order of TRIAL_COLUMNS; read, all there are,
 * in two halves: what is a trial's own, and what many have in common. Not here: SQL, checks (validate.ts).
 */
import type { Incarnation, Millis, SweepId, TrialId, WorkerId } from "../../proto/contract.js";
import type { Checkpoint, Forebear, Json, MetricValue, Parameters, Trial } from "../core/types.js";
import { KIND, kindOf, metricFrom, realOf, toJson } from "./number.js";
import type { TrialProgress } from "./written.js";

/** A row, as it is bound. */
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

/** Of a trial's row what is its own. */
export type OwnTrialCells = [
  id: string,
  sweep: number,
  number: number,
  parameters: string,
  seed: string,
  epoch: number,
  best_value: number | null,
  best_epoch: number | null,
  last_value: number | null,
  metrics: string,
  created_at: number,
  started_at: number | null,
  ended_at: number | null,
  weights_hash: string | null,
];

export const OWN_TRIAL_COLUMNS = `
  id, sweep, number, parameters, seed, epoch, best_value, best_epoch, last_value, metrics, created_at, started_at, ended_at,
  weights_hash`;

/** And what many have in common. No REAL is among them: as JSON it would lose digits. */
export type CommonTrialCells = [
  state: Trial["state"],
  cause: string,
  origin: "sampled" | "enqueued" | "rerun",
  rerun_of: string | null,
  rerun_verify: number | null,
  cohort_key: string,
  attempts: number,
  losses: number,
  not_before: number,
  best_kind: number | null,
  last_kind: number | null,
  fingerprint: string | null,
  worker: string | null,
  device: string | null,
  verified: number | null,
  verified_detail: string | null,
  checkpoints: string,
  killed: string,
  lineage: string,
];

export const COMMON_TRIAL_COLUMNS = `
  state, cause, origin, rerun_of, rerun_verify, cohort_key, attempts, losses, not_before, best_kind, last_kind, fingerprint,
  worker, device, verified, verified_detail, checkpoints, killed, lineage`;

export function trialFrom(own: OwnTrialCells, common: CommonTrialCells): Trial {
  const [
    id,
    sweep,
    number,
    parameters,
    seed,
    epoch,
    best_value,
    best_epoch,
    last_value,
    metrics,
    created_at,
    started_at,
    ended_at,
    weights_hash,
  ] = own;
  const [
    state,
    cause,
    origin,
    rerun_of,
    rerun_verify,
    cohort_key,
    attempts,
    losses,
    not_before,
    best_kind,
    last_kind,
    fingerprint,
    worker,
    device,
    verified,
    verified_detail,
    checkpoints,
    killed,
    lineage,
  ] = common;
  const best = best_value === null ? null : best_kind === KIND.minusZero ? -0 : best_value;
  return {
    id: id as TrialId,
    sweep: sweep as SweepId,
    number,
    parameters: JSON.parse(parameters) as Parameters,
    seed,
    cohortKey: cohort_key,
    origin:
      origin === "rerun"
        ? { kind: origin, of: (rerun_of ?? "") as TrialId, verify: rerun_verify === 1 }
        : { kind: origin },
    state,
    cause,
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
    fingerprint,
    worker: worker as WorkerId | null,
    device,
    verified: verified === null ? null : { equal: verified === 1, detail: verified_detail ?? "" },
    killed: killed === "[]" ? [] : (JSON.parse(killed) as readonly Incarnation[]),
    checkpoints: checkpoints === "[]" ? [] : (JSON.parse(checkpoints) as readonly Checkpoint[]),
    lineage: lineage === "[]" ? [] : (JSON.parse(lineage) as readonly Forebear[]),
  };
}
