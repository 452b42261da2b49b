/**
 * What the holder of an attempt says of it: started, reported, ended.
 *
 * Guarantees: a report is recorded once; a repeat changes nothing, and one with another value is refused and noted. Values
 * that are not finite are kept as what they are and never count as best. The scheduler hears every report of the sweep's
 * trials once, in the order of record, and its state is committed with it. Not here: who holds an attempt (attempts.ts).
 */
import { millis } from "../../proto/contract.js";
import {
  endAttempt,
  holder,
  loseAttempt,
  loseWithWorker,
  releaseAttempt,
  renew,
  renewed,
  startAttempt,
} from "./attempts.js";
import { changedAttempt, changedSweep, changedTrial, changedWorker } from "./changed.js";
import { beginning } from "./checkpoints.js";
import type { Draft } from "./draft.js";
import { aboutAttempt } from "./draft.js";
import { CAUSES, contextOf, endTrial, schedulerOf, settleSweep } from "./endings.js";
import type { AttemptOutcome, Event } from "./events.js";
import { advance, epochsOf, finite, reachesTarget } from "./objective.js";
import { stopTraining, windUp } from "./stopping.js";
import { isEnded } from "./transitions.js";
import type { Attempt, MetricValue, Report, Sweep, Trial, Worker } from "./types.js";
import { differenceOf, stopsWithOriginal, verdictOfRerun } from "./verify.js";

type Of<K extends Event["kind"]> = Extract<Event, { readonly kind: K }>;
type Released = Extract<AttemptOutcome, { readonly kind: "released" }>;
type Metrics = Readonly<Record<string, MetricValue>>;

/** How long a device is passed over for a recipe that it gave back; a new link ends it too. */
const REFUSAL_MILLIS = 600_000;

export function attemptStarted(draft: Draft, event: Of<"AttemptStarted">): void {
  const attempt = holder(draft, event, "started");
  if (attempt === null) return;
  if (attempt.state !== "offered") return void renew(draft, attempt);
  const from = beginning(draft, attempt, event.fromEpoch);
  if (from === undefined)
    return loseAttempt(draft, attempt, `began at epoch ${event.fromEpoch}, which is not on record`);
  startAttempt(draft, attempt, event.fingerprint, from);
}

export function reported(draft: Draft, event: Of<"Reported">): void {
  const held = holder(draft, event, `report of epoch ${event.epoch}`);
  if (held === null) return;
  const metrics = finiteOrText(event.metrics);
  if (event.epoch <= held.lastEpoch) return repeated(draft, renew(draft, held), event.epoch, metrics);
  const attempt = held.state === "offered" ? startAttempt(draft, held, null) : held;
  const { epoch, step } = event;
  const report: Report = { trial: attempt.trial, attempt: attempt.id, epoch, step, metrics, at: draft.now };
  draft.add({ kind: "addReport", report });
  draft.putAttempt(changedAttempt(renewed(draft, attempt), { lastEpoch: epoch }));
  const sweep = draft.sweep(draft.trial(attempt.trial).sweep);
  const before = draft.trial(attempt.trial);
  const trial = draft.putTrial(changedTrial(before, advance(sweep, before, report)));
  if (trial.origin.kind === "rerun") compare(draft, trial, report);
  else judge(draft, sweep, trial, report);
}

export function attemptEnded(draft: Draft, event: Of<"AttemptEnded">): void {
  const held = holder(draft, event, `ended: ${event.outcome.kind}`);
  if (held === null) return;
  const { outcome } = event;
  if (outcome.kind === "released") return released(draft, held, outcome);
  if (outcome.kind === "stopped" && held.stopping === null)
    return loseAttempt(draft, held, "stopped without being asked");
  const attempt = held.state === "offered" ? startAttempt(draft, held, null) : held;
  const trial = draft.trial(attempt.trial);
  const { state, cause } = resultOf(attempt, outcome);
  endAttempt(draft, attempt, attemptStateOf(outcome, state), cause);
  const weightsHash = outcome.kind === "completed" || outcome.kind === "stopped" ? outcome.weightsHash : null;
  if (state === "paused") {
    draft.putTrial(changedTrial(trial, { state, weightsHash }));
    draft.record("trial-paused", aboutAttempt(trial, attempt), cause);
    // It may have been the last that trained, and only the scheduler can say what comes next.
    return settleSweep(draft, trial.sweep);
  }
  const verified = verdictOfRerun(draft, trial, { state, cause, weightsHash });
  endTrial(draft, trial, state, cause, { weightsHash, verified });
  if (verified !== null) draft.record("trial-verified", aboutAttempt(trial, attempt), verified.detail);
}

/** Of a worker that drains nobody's fault; else the machine's, so that it does not go round for ever. */
function released(draft: Draft, attempt: Attempt, { reason, died }: Released): void {
  const worker = draft.state.workers.get(attempt.worker);
  const draining = worker?.incarnation === attempt.incarnation && worker.state === "draining";
  const cause = `released by ${attempt.worker}: ${reason}`;
  if (died === true) return loseWithWorker(draft, attempt, reason);
  if (draining) return releaseAttempt(draft, attempt, cause);
  if (worker?.incarnation === attempt.incarnation) passOver(draft, worker, attempt);
  loseAttempt(draft, attempt, cause);
}

/** A device without the data or the memory for a recipe is always free, and would go through all trials of a sweep. */
function passOver(draft: Draft, worker: Worker, attempt: Attempt): void {
  const { recipeDigest } = draft.sweep(draft.trial(attempt.trial).sweep).spec;
  const until = millis(draft.now + REFUSAL_MILLIS);
  const devices = worker.devices.map((device) => {
    if (device.id !== attempt.device) return device;
    const known = Object.entries(device.refused ?? {}).filter(([, end]) => end > draft.now);
    return { ...device, refused: { ...Object.fromEntries(known), [recipeDigest]: until } };
  });
  draft.putWorker(changedWorker(worker, { devices }));
  const detail = `${attempt.device} gets no trial of this recipe for ${REFUSAL_MILLIS / 60_000} minutes: it gave one back`;
  draft.record("device-passed-over", aboutAttempt(draft.trial(attempt.trial), attempt), detail);
  draft.wakeAt(until);
}

function repeated(draft: Draft, attempt: Attempt, epoch: number, metrics: Metrics): void {
  const first = draft.history.attemptReports(attempt.id).find((report) => report.epoch === epoch);
  if (first === undefined) return;
  const difference = differenceOf(first.metrics, metrics, null);
  if (difference === null) return;
  const detail = `epoch ${epoch} came again with another ${difference}; the first stays`;
  draft.record("report-refused", aboutAttempt(draft.trial(attempt.trial), attempt), detail);
}

/** The sweep's target, then the scheduler. */
function judge(draft: Draft, sweep: Sweep, trial: Trial, report: Report): void {
  const value = finite(report.metrics[sweep.spec.objective.name]);
  const scheduler = schedulerOf(draft, sweep);
  const seen = { number: trial.number, epoch: report.epoch, value };
  const [schedulerState, verdict] = scheduler.onReport(sweep.schedulerState, seen, contextOf(sweep));
  const current =
    schedulerState === sweep.schedulerState ? sweep : draft.putSweep(changedSweep(sweep, { schedulerState }));
  const open = !isEnded(current.state) && (current.cause === "" || current.cause === CAUSES.exhausted);
  if (open && value !== null && reachesTarget(current.spec.objective, value)) {
    draft.record("target-reached", { sweep: sweep.id, trial: trial.id }, `${value} at epoch ${report.epoch}`);
    return windUp(draft, current, CAUSES.target);
  }
  // The last epoch ends the trial anyway.
  if (verdict === "continue" || report.epoch >= epochsOf(current.spec, trial.parameters)) return;
  const name = current.spec.scheduler.name;
  stopTraining(
    draft,
    trial,
    verdict === "stop" ? "stopped" : "paused",
    `by ${name} after epoch ${report.epoch}: ${current.spec.objective.name} ${value ?? "not finite"}`,
  );
}

/** A difference is noted at the first report that shows one. */
function compare(draft: Draft, trial: Trial, report: Report): void {
  const verified = verdictOfRerun(draft, trial, { report });
  const current = verified === trial.verified ? trial : draft.putTrial(changedTrial(trial, { verified }));
  const stop = stopsWithOriginal(draft, current);
  if (stop !== null) stopTraining(draft, current, "stopped", stop);
}

type Result = { readonly state: "completed" | "stopped" | "cancelled" | "paused" | "failed"; readonly cause: string };

/** A result that is there counts, also when the attempt was being stopped. */
function resultOf(attempt: Attempt, outcome: Exclude<AttemptOutcome, { readonly kind: "released" }>): Result {
  switch (outcome.kind) {
    case "completed":
      return { state: "completed", cause: "" };
    case "stopped":
      return { state: attempt.stopping ?? "stopped", cause: attempt.cause };
    case "diverged": {
      const { epoch, step, what } = outcome;
      return { state: "failed", cause: `diverged in epoch ${epoch + 1}, step ${step} (${what} not finite)` };
    }
    case "failed":
      return { state: "failed", cause: outcome.error.message };
  }
}

function attemptStateOf(outcome: AttemptOutcome, state: Result["state"]): "finished" | "stopped" | "paused" | "failed" {
  if (outcome.kind === "completed") return "finished";
  if (outcome.kind === "stopped") return state === "paused" ? "paused" : "stopped";
  return "failed";
}

/** A number that is not finite would not survive JSON. */
function finiteOrText(metrics: Metrics): Metrics {
  for (const name in metrics) if (isUnnamed(metrics[name])) return named(metrics);
  return metrics;
}

function named(metrics: Metrics): Metrics {
  const values = Object.entries(metrics).map(([name, value]) => [name, isUnnamed(value) ? nameOf(value) : value]);
  return Object.fromEntries(values) as Metrics;
}

function isUnnamed(value: MetricValue | undefined): value is number {
  return typeof value === "number" && !Number.isFinite(value);
}

function nameOf(value: number): MetricValue {
  if (Number.isNaN(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}
