/**
 * The terminal's live leaderboard: pure text from a sweep model, fitted to the terminal's size.
 * Not here: when it is drawn (follow.ts).
 */
import type { TrialRow } from "../../proto/feed.js";
import { type Column, formatBar, formatDuration, formatMetric, formatParameter, formatTable } from "./format.js";
import type { Paint } from "./output.js";
import { rankedTrials, type SweepModel } from "./sweep-model.js";

const stateColour = (paint: Paint, state: string): ((text: string) => string) => {
  if (state === "running") return paint.cyan;
  if (state === "completed") return paint.green;
  if (state === "failed" || state === "lost") return paint.red;
  return paint.dim;
};

/** `10/16 trials · 2 running · 1 failed · 41 s gone · about 25 s to go` */
export function progressLine(model: SweepModel, now: number): string {
  const sweep = model.sweep;
  if (!sweep) return "waiting for the first message";
  const { counts } = sweep;
  const done = counts.completed + counts.stopped + counts.failed + counts.lost + counts.cancelled;
  const parts = [`${done}/${sweep.runCap} trials`];
  for (const state of ["running", "leased", "queued", "paused", "failed", "lost"] as const) {
    if (counts[state] > 0) parts.push(`${counts[state]} ${state}`);
  }
  parts.push(`${formatDuration((sweep.endedAt ?? now) - sweep.createdAt)} gone`);
  // What is left at the very end, testing and files, is no epoch and has no estimate.
  if (sweep.etaMillis !== null && sweep.etaMillis >= 1_000 && sweep.state === "running")
    parts.push(`about ${formatDuration(sweep.etaMillis)} to go`);
  if (sweep.state !== "running") parts.push(sweep.state);
  return parts.join(" · ");
}

/** Lines of the whole view, at most `height`, none longer than `width` visible characters. */
export function liveView(model: SweepModel, now: number, width: number, height: number, paint: Paint): string[] {
  const sweep = model.sweep;
  if (!sweep) return [paint.dim("waiting for the coordinator")];
  const barWidth = Math.max(10, Math.min(30, width - 60));
  const percent = `${Math.floor(sweep.progress * 100)} %`.padStart(6);
  const head = [
    `${paint.cyan(formatBar(sweep.progress, barWidth))}${percent}  ${clip(progressLine(model, now), width - barWidth - 9)}`,
    "",
  ];

  const trials = rankedTrials(model);
  const shown = trials.slice(0, Math.max(1, height - head.length - 2));
  const cells = shown.map((trial, index) =>
    tableRow(
      trial,
      index,
      sweep.parameters.map((parameter) => parameter.name),
      sweep.epochs,
    ),
  );
  const titles: Column[] = [
    { title: "rank", align: "right" },
    { title: "trial", align: "left" },
    { title: sweep.metric, align: "right" },
    { title: "epoch", align: "right" },
    ...sweep.parameters.map((parameter) => ({ title: parameter.name, align: "right" as const })),
    { title: "state", align: "left" },
  ];
  // The order says the rank too: where not all fits, its column goes first.
  const fits = formatTable(titles, []).every((line) => line.length + "completed".length - "state".length <= width);
  const [columns, rows] = fits ? [titles, cells] : [titles.slice(1), cells.map((row) => row.slice(1))];
  const table = formatTable(columns, rows).map((line, index) => {
    const text = clip(line.trimEnd(), width);
    if (index === 0) return paint.dim(text);
    const trial = shown[index - 1];
    if (!trial) return text;
    if (index === 1 && trial.best !== null) return paint.bold(text);
    return trial.state === "completed" ? text : stateColour(paint, trial.state)(text);
  });
  const hidden = trials.length - shown.length;
  return [...head, ...table, ...(hidden > 0 ? [paint.dim(`… and ${hidden} more`)] : [])];
}

function tableRow(trial: TrialRow, index: number, parameters: readonly string[], epochs: number): string[] {
  const note = trial.cause === "" ? trial.state : `${trial.state}: ${trial.cause}`;
  return [
    trial.best === null ? "-" : String(index + 1),
    trial.id,
    formatMetric(trial.best),
    `${trial.epoch}/${epochs}`,
    ...parameters.map((name) => formatParameter(trial.parameters[name])),
    note,
  ];
}

function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
