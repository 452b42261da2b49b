/**
 * What every store demands of a batch before it writes anything: shapes, states, whole numbers, ids that fit together.
 *
 * Guarantees: a batch that passes can be written by every implementation; one that does not is refused whole with
 * BAD_INPUT, the path of the first offending value (`batch[3].trial.state`), what was expected and what was found.
 * Not here: whether what a member refers to exists (`checkReferences`), and whether a change of state makes sense (core).
 */
import { type AttemptId, ConvsweepError, type SweepId, type TrialId } from "../../proto/contract.js";
import type { Mutation } from "../core/events.js";
import type {
  Artifact,
  Attempt,
  Checkpoint,
  EventRecord,
  MetricValue,
  Progress,
  Report,
  Sweep,
  Trial,
  Worker,
} from "../core/types.js";
import type { AttemptProgress, TrialProgress, Written } from "./written.js";

const SWEEP_STATES = ["running", "paused", "completed", "cancelled", "failed"];
const TRIAL_STATES = ["queued", "leased", "running", "paused", "completed", "stopped", "failed", "lost", "cancelled"];
const ATTEMPT_STATES = ["offered", "running", "finished", "stopped", "paused", "failed", "lost", "revoked"];
const STOPPING = ["stopped", "cancelled", "paused"];
const WORKER_STATES = ["connected", "draining", "away", "gone"];
const ORIGINS = ["sampled", "enqueued", "rerun"];

function refuse(path: string, expected: string, found: unknown): never {
  const shown = show(found);
  throw new ConvsweepError("BAD_INPUT", `the store refuses the batch: ${path}: expected ${expected}, found ${shown}`, {
    path,
    expected,
    found: shown,
  });
}

function show(value: unknown): string {
  if (typeof value === "number" || value === undefined) return String(value);
  if (typeof value === "bigint") return `${value}n`;
  const text = typeof value === "function" ? "a function" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function whole(value: unknown, path: string, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) refuse(path, `a whole number >= ${least}`, value);
}

const time = (value: unknown, path: string): void => whole(value, path, Number.MIN_SAFE_INTEGER);

function timeOrNull(value: unknown, path: string): void {
  if (value !== null && !Number.isSafeInteger(value)) refuse(path, "whole milliseconds or null", value);
}

/** Text that UTF-8 can hold: a lone surrogate would come back as another character. */
function text(value: unknown, path: string): void {
  if (!isText(value)) refuse(path, "well-formed text", value);
}

function isText(value: unknown): boolean {
  return typeof value === "string" && !/\p{Surrogate}/u.test(value);
}

function textOrNull(value: unknown, path: string): void {
  if (value !== null) text(value, path);
}

function oneOf(value: unknown, allowed: readonly string[], path: string): void {
  if (typeof value !== "string" || !allowed.includes(value)) refuse(path, `one of ${allowed.join(", ")}`, value);
}

function flag(value: unknown, path: string): void {
  if (typeof value !== "boolean") refuse(path, "true or false", value);
}

function equal(value: unknown, expected: string, path: string): void {
  if (value !== expected) refuse(path, JSON.stringify(expected), value);
}

function isMetricValue(value: unknown): boolean {
  return Number.isFinite(value) || value === "nan" || value === "inf" || value === "-inf";
}

function metricValue(value: unknown, path: string): void {
  if (!isMetricValue(value)) refuse(path, 'a finite number, "nan", "inf" or "-inf"', value);
}

function metrics(record: Readonly<Record<string, MetricValue>>, path: string): void {
  object(record, path);
  for (const name of Object.keys(record)) {
    if (!isText(name)) refuse(`${path} (a name)`, "well-formed text", name);
    if (name === "") refuse(path, "names that are not empty", name);
    if (!isMetricValue(record[name])) metricValue(record[name], `${path}.${name}`);
  }
}

/** Names that were looked at: a few, which come again with every report. */
const wellFormed = new Set<string>();
const NAMES_AT_MOST = 10_000;

function isName(name: string): boolean {
  if (wellFormed.has(name)) return true;
  if (name === "" || !isText(name)) return false;
  if (wellFormed.size < NAMES_AT_MOST) wellFormed.add(name);
  return true;
}

/*
 * What comes with every report is looked at as a whole first: to say where something is wrong costs more than to see that
 * nothing is. Whatever does not pass here is checked member by member.
 */

function areSoundMetrics(record: Readonly<Record<string, MetricValue>>): boolean {
  if (typeof record !== "object" || record === null || Array.isArray(record)) return false;
  for (const name in record) if (!isName(name) || !isMetricValue(record[name])) return false;
  return true;
}

function isSoundReport({ trial, attempt, epoch, step, at, metrics: values }: Report): boolean {
  const whole = Number.isSafeInteger(epoch) && Number.isSafeInteger(step) && Number.isSafeInteger(at);
  const own = attempt.startsWith(trial) && attempt.charAt(trial.length) === "#";
  return whole && own && areSoundMetrics(values);
}

function isSoundTrialProgress({ epoch, best, last, metrics: newest }: TrialProgress): boolean {
  const known = best === null || (Number.isFinite(best.value) && Number.isSafeInteger(best.epoch));
  return known && Number.isSafeInteger(epoch) && (last === null || isMetricValue(last)) && areSoundMetrics(newest);
}

function isSoundAttemptProgress({ leaseUntil, lastEpoch }: AttemptProgress): boolean {
  return Number.isSafeInteger(leaseUntil) && Number.isSafeInteger(lastEpoch);
}

function object(value: unknown, path: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(path, "an object", value);
}

/** Data that JSON gives back as it was. Walks without recursion limits of its own: depth is bounded by the input's. */
function json(value: unknown, path: string): void {
  if (value === null || typeof value === "boolean" || typeof value === "string") return;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) refuse(path, "a finite number", value);
    return;
  }
  if (typeof value !== "object") refuse(path, "data that JSON can hold", value);
  for (const [key, member] of Object.entries(value as object)) json(member, `${path}.${key}`);
}

function checkSweep(sweep: Sweep, path: string): void {
  whole(sweep.id, `${path}.id`, 1);
  oneOf(sweep.state, SWEEP_STATES, `${path}.state`);
  text(sweep.cause, `${path}.cause`);
  time(sweep.createdAt, `${path}.createdAt`);
  timeOrNull(sweep.endedAt, `${path}.endedAt`);
  whole(sweep.nextTrial, `${path}.nextTrial`, 0);
  object(sweep.spec, `${path}.spec`);
  json(sweep.samplerState, `${path}.samplerState`);
  json(sweep.schedulerState, `${path}.schedulerState`);
}

function checkTrial(trial: Trial, path: string): void {
  whole(trial.sweep, `${path}.sweep`, 1);
  whole(trial.number, `${path}.number`, 0);
  equal(trial.id, `${trial.sweep}/${trial.number}`, `${path}.id`);
  oneOf(trial.state, TRIAL_STATES, `${path}.state`);
  text(trial.cause, `${path}.cause`);
  oneOf(trial.origin.kind, ORIGINS, `${path}.origin.kind`);
  if (trial.origin.kind === "rerun") {
    text(trial.origin.of, `${path}.origin.of`);
    flag(trial.origin.verify, `${path}.origin.verify`);
  }
  json(trial.parameters, `${path}.parameters`);
  text(trial.seed, `${path}.seed`);
  text(trial.cohortKey, `${path}.cohortKey`);
  whole(trial.attempts, `${path}.attempts`, 0);
  whole(trial.losses, `${path}.losses`, 0);
  time(trial.notBefore, `${path}.notBefore`);
  checkTrialProgress(trial, path);
  time(trial.createdAt, `${path}.createdAt`);
  timeOrNull(trial.startedAt, `${path}.startedAt`);
  timeOrNull(trial.endedAt, `${path}.endedAt`);
  textOrNull(trial.weightsHash, `${path}.weightsHash`);
  textOrNull(trial.fingerprint, `${path}.fingerprint`);
  textOrNull(trial.worker, `${path}.worker`);
  textOrNull(trial.device, `${path}.device`);
  if (trial.verified !== null) {
    flag(trial.verified.equal, `${path}.verified.equal`);
    text(trial.verified.detail, `${path}.verified.detail`);
  }
  if (!Array.isArray(trial.killed)) refuse(`${path}.killed`, "a list", trial.killed);
  for (const [i, life] of trial.killed.entries()) text(life, `${path}.killed[${i}]`);
  checkLineage(trial, path);
  if (!Array.isArray(trial.checkpoints)) refuse(`${path}.checkpoints`, "a list", trial.checkpoints);
  for (const [i, checkpoint] of trial.checkpoints.entries()) checkCheckpoint(checkpoint, `${path}.checkpoints[${i}]`);
}

function checkTrialProgress({ epoch, best, last, metrics: newest }: TrialProgress, path: string): void {
  time(epoch, `${path}.epoch`);
  if (best !== null) {
    if (!Number.isFinite(best.value)) refuse(`${path}.best.value`, "a finite number", best.value);
    time(best.epoch, `${path}.best.epoch`);
  }
  if (last !== null) metricValue(last, `${path}.last`);
  metrics(newest, `${path}.metrics`);
}

function checkCheckpoint({ digest, bytes, fingerprint, progress, at }: Checkpoint, path: string): void {
  text(digest, `${path}.digest`);
  whole(bytes, `${path}.bytes`, 0);
  text(fingerprint, `${path}.fingerprint`);
  time(at, `${path}.at`);
  whole(progress.epoch, `${path}.progress.epoch`, 1);
  metrics(progress.metrics, `${path}.progress.metrics`);
  checkLineage(progress, `${path}.progress`);
  if (progress.last !== null) metricValue(progress.last, `${path}.progress.last`);
}

function checkLineage({ lineage }: Progress, path: string): void {
  if (!Array.isArray(lineage)) refuse(`${path}.lineage`, "a list", lineage);
  for (const [i, { n, epoch }] of lineage.entries()) {
    whole(n, `${path}.lineage[${i}].n`, 1);
    whole(epoch, `${path}.lineage[${i}].epoch`, 1);
  }
}

function checkAttempt(attempt: Attempt, path: string): void {
  text(attempt.trial, `${path}.trial`);
  whole(attempt.n, `${path}.n`, 1);
  equal(attempt.id, `${attempt.trial}#${attempt.n}`, `${path}.id`);
  whole(attempt.token, `${path}.token`, 0);
  text(attempt.worker, `${path}.worker`);
  text(attempt.incarnation, `${path}.incarnation`);
  text(attempt.device, `${path}.device`);
  oneOf(attempt.state, ATTEMPT_STATES, `${path}.state`);
  checkAttemptProgress(attempt, path);
  whole(attempt.fromEpoch, `${path}.fromEpoch`, 0);
  time(attempt.offeredAt, `${path}.offeredAt`);
  timeOrNull(attempt.startedAt, `${path}.startedAt`);
  timeOrNull(attempt.endedAt, `${path}.endedAt`);
  text(attempt.cause, `${path}.cause`);
  textOrNull(attempt.fingerprint, `${path}.fingerprint`);
  if (attempt.stopping !== null) oneOf(attempt.stopping, STOPPING, `${path}.stopping`);
}

function checkAttemptProgress({ leaseUntil, lastEpoch }: AttemptProgress, path: string): void {
  time(leaseUntil, `${path}.leaseUntil`);
  time(lastEpoch, `${path}.lastEpoch`);
}

function checkReport(report: Report, path: string): void {
  if (!report.attempt.startsWith(`${report.trial}#`)) {
    refuse(`${path}.attempt`, `an attempt of trial ${report.trial}`, report.attempt);
  }
  time(report.epoch, `${path}.epoch`);
  time(report.step, `${path}.step`);
  time(report.at, `${path}.at`);
  metrics(report.metrics, `${path}.metrics`);
}

function checkArtifact(artifact: Artifact, path: string): void {
  text(artifact.trial, `${path}.trial`);
  text(artifact.attempt, `${path}.attempt`);
  text(artifact.name, `${path}.name`);
  if (artifact.name === "") refuse(`${path}.name`, "a name that is not empty", artifact.name);
  text(artifact.mediaType, `${path}.mediaType`);
  whole(artifact.epoch, `${path}.epoch`, 0);
  if (!/^[0-9a-f]{64}$/.test(artifact.digest)) refuse(`${path}.digest`, "64 hexadecimal digits", artifact.digest);
  whole(artifact.bytes, `${path}.bytes`, 1);
  time(artifact.at, `${path}.at`);
}

function checkWorker(worker: Worker, path: string): void {
  text(worker.id, `${path}.id`);
  text(worker.incarnation, `${path}.incarnation`);
  text(worker.host, `${path}.host`);
  time(worker.pid, `${path}.pid`);
  text(worker.version, `${path}.version`);
  if (!Array.isArray(worker.devices)) refuse(`${path}.devices`, "a list", worker.devices);
  json(worker.devices, `${path}.devices`);
  oneOf(worker.state, WORKER_STATES, `${path}.state`);
  time(worker.connectedAt, `${path}.connectedAt`);
  time(worker.lastSeen, `${path}.lastSeen`);
}

function checkEvent(event: EventRecord, path: string): void {
  time(event.at, `${path}.at`);
  text(event.kind, `${path}.kind`);
  if (event.sweep !== null) whole(event.sweep, `${path}.sweep`, 1);
  textOrNull(event.trial, `${path}.trial`);
  textOrNull(event.attempt, `${path}.attempt`);
  textOrNull(event.worker, `${path}.worker`);
  text(event.detail, `${path}.detail`);
}

function checkShape(mutation: Mutation, path: string): void {
  switch (mutation.kind) {
    case "putSweep":
      checkSweep(mutation.sweep, `${path}.sweep`);
      return;
    case "putTrial":
      checkTrial(mutation.trial, `${path}.trial`);
      return;
    case "putAttempt":
      checkAttempt(mutation.attempt, `${path}.attempt`);
      return;
    case "addReport":
      checkReport(mutation.report, `${path}.report`);
      return;
    case "putArtifact":
      checkArtifact(mutation.artifact, `${path}.artifact`);
      return;
    case "putWorker":
      checkWorker(mutation.worker, `${path}.worker`);
      return;
    case "addEvent":
      checkEvent(mutation.event, `${path}.event`);
      return;
    case "setTokens":
    case "setSweeps":
      whole(mutation.last, `${path}.last`, 0);
      return;
    default:
      refuse(`${path}.kind`, "a known mutation", (mutation as { kind?: unknown }).kind);
  }
}

/** Throws for the first member that no store may hold. What was checked when it was written is not checked again. */
export function checkShapes(batch: readonly Mutation[], written: Written | null = null): void {
  for (let index = 0; index < batch.length; index += 1) {
    const mutation = batch[index] as Mutation;
    if (!isSound(mutation, written)) checkShape(mutation, `batch[${index}]`);
  }
}

/** Known to be sound without a check of every member: false says nothing. */
function isSound(mutation: Mutation, written: Written | null): boolean {
  switch (mutation.kind) {
    case "addReport":
      return isSoundReport(mutation.report);
    case "putTrial":
      return written?.onlyProgressed(mutation.trial) === true && isSoundTrialProgress(mutation.trial);
    case "putAttempt":
      return written?.onlyRenewed(mutation.attempt) === true && isSoundAttemptProgress(mutation.attempt);
    default:
      return false;
  }
}

/** What a store already holds. */
export interface Known {
  sweep(id: SweepId): boolean;
  trial(id: TrialId): boolean;
  /** Token of an attempt; `null` if there is none of that id. */
  tokenOf(id: AttemptId): number | null;
  /** Attempt that has a token; `null` if none. */
  holderOf(token: number): string | null;
}

/**
 * Throws unless all that the batch refers to is in the store or the batch itself, and no token serves two attempts.
 * Returns the token of every attempt that the batch puts, or adds a report or an artifact to.
 */
export function checkReferences(batch: readonly Mutation[], known: Known): ReadonlyMap<AttemptId, number> {
  const sweeps = new Set<SweepId>();
  const trials = new Set<TrialId>();
  const tokens = new Map<AttemptId, number>();
  const holders = new Map<number, string>();
  for (const mutation of batch) {
    if (mutation.kind === "putSweep") sweeps.add(mutation.sweep.id);
    else if (mutation.kind === "putTrial") trials.add(mutation.trial.id);
  }
  batch.forEach((mutation, index) => {
    if (mutation.kind === "putTrial") {
      const { sweep } = mutation.trial;
      if (!sweeps.has(sweep) && !known.sweep(sweep))
        refuse(`batch[${index}].trial.sweep`, "a sweep of the store", sweep);
      sweeps.add(sweep);
    } else if (mutation.kind === "putAttempt") {
      const { id, token, trial } = mutation.attempt;
      const path = `batch[${index}].attempt`;
      if (!trials.has(trial) && !known.trial(trial)) refuse(`${path}.trial`, "a trial of the store", trial);
      trials.add(trial);
      const before = tokens.get(id) ?? known.tokenOf(id);
      if (before !== null && before !== token) refuse(`${path}.token`, `${before}, which ${id} has for life`, token);
      // An attempt that has the token in the store already is its holder.
      const holder = before === token ? id : (holders.get(token) ?? known.holderOf(token));
      if (holder !== null && holder !== id) refuse(`${path}.token`, `a token that ${holder} does not have`, token);
      tokens.set(id, token);
      holders.set(token, id);
    }
  });
  batch.forEach((mutation, index) => {
    const what = mutation.kind === "addReport" ? "report" : "artifact";
    if (mutation.kind !== "addReport" && mutation.kind !== "putArtifact") return;
    const { attempt } = mutation.kind === "addReport" ? mutation.report : mutation.artifact;
    if (tokens.has(attempt)) return;
    const token = known.tokenOf(attempt);
    if (token === null) refuse(`batch[${index}].${what}.attempt`, "an attempt of the store", attempt);
    tokens.set(attempt, token);
  });
  return tokens;
}
