/** What is said when a sweep ends: best, worst, how far apart, and what to try next. Pure. */
import type { TrialRow } from "../../proto/feed.js";
import { formatDuration, formatMetric, formatParameter } from "./format.js";
import type { Paint } from "./output.js";
import { rankedTrials, type SweepModel } from "./sweep-model.js";

export interface SweepSummary {
  readonly event: "summary";
  readonly sweep: number;
  readonly name: string;
  readonly state: string;
  readonly cause: string;
  readonly trials: number;
  readonly completed: number;
  readonly stopped: number;
  readonly failed: number;
  readonly lost: number;
  readonly cancelled: number;
  readonly seconds: number;
  readonly metric: string;
  readonly best: TrialSummary | null;
  readonly worst: TrialSummary | null;
  /** Why the first of the failed or lost trials ended. */
  readonly failure: { readonly trial: string; readonly cause: string } | null;
}

export interface TrialSummary {
  readonly trial: string;
  readonly value: number;
  readonly epoch: number | null;
  readonly parameters: TrialRow["parameters"];
}

const trialSummary = (trial: TrialRow | undefined): TrialSummary | null =>
  trial === undefined || trial.best === null
    ? null
    : { trial: trial.id, value: trial.best, epoch: trial.bestEpoch, parameters: trial.parameters };

/** The machine-readable last line of `run --json`. */
export function summarize(model: SweepModel, now: number): SweepSummary | null {
  const sweep = model.sweep;
  if (!sweep) return null;
  const broken = [...model.trials.values()].find((trial) => trial.state === "failed" || trial.state === "lost");
  const valued = rankedTrials(model).filter((trial) => trial.best !== null);
  return {
    event: "summary",
    sweep: sweep.id,
    name: sweep.name,
    state: sweep.state,
    cause: sweep.cause,
    trials: sweep.runCap,
    completed: sweep.counts.completed,
    stopped: sweep.counts.stopped,
    failed: sweep.counts.failed,
    lost: sweep.counts.lost,
    cancelled: sweep.counts.cancelled,
    seconds: Math.round((sweep.endedAt ?? now) - sweep.createdAt) / 1000,
    metric: sweep.metric,
    best: trialSummary(valued[0]),
    worst: valued.length > 1 ? trialSummary(valued.at(-1)) : null,
    failure: broken ? { trial: broken.id, cause: broken.cause } : null,
  };
}

const parameterText = (trial: TrialSummary): string =>
  Object.entries(trial.parameters)
    .map(([name, value]) => `${name} ${formatParameter(value)}`)
    .join(", ");

/** `by` in points for accuracies, as a plain difference otherwise. */
function gap(summary: SweepSummary): string {
  if (!summary.best || !summary.worst) return "";
  const difference = Math.abs(summary.best.value - summary.worst.value);
  if (summary.metric.endsWith("accuracy")) return `${(100 * difference).toFixed(1)} points worse`;
  return `${formatMetric(difference)} worse`;
}

export function summaryLines(summary: SweepSummary, command: string, paint: Paint): string[] {
  const counts = (["completed", "stopped", "failed", "lost", "cancelled"] as const)
    .filter((state) => summary[state] > 0)
    .map((state) => `${summary[state]} ${state}`)
    .join(", ");
  const lines = [
    `Sweep ${summary.sweep} ${summary.state}${summary.cause ? ` (${summary.cause})` : ""}: ${counts || "no trial ended"} in ${formatDuration(summary.seconds * 1000)}`,
  ];
  if (summary.failure) lines.push(`${paint.red("failed")} trial ${summary.failure.trial}  ${summary.failure.cause}`);
  if (summary.best) {
    lines.push(
      `${paint.green("best ")}  trial ${summary.best.trial}  ${summary.metric} ${paint.bold(formatMetric(summary.best.value))}` +
        `${summary.best.epoch === null ? "" : ` at epoch ${summary.best.epoch}`}  with ${parameterText(summary.best)}`,
    );
  }
  if (summary.worst) {
    lines.push(
      `${paint.dim("worst")}  trial ${summary.worst.trial}  ${summary.metric} ${formatMetric(summary.worst.value)}, ${gap(summary)}  with ${parameterText(summary.worst)}`,
    );
  }
  if (summary.best) {
    lines.push(
      "",
      "Try next:",
      `  ${command} trials ${summary.sweep} --limit 5`,
      `  ${command} trial rerun ${summary.best.trial} --verify`,
      `  ${command} query "SELECT number, best_value, params FROM trials WHERE sweep = ${summary.sweep} ORDER BY best_value"`,
    );
  }
  return lines;
}
