/**
 * What the terminal knows of one sweep, kept from feed messages. Pure: (model, message) -> model is done in place on a
 * model that belongs to one caller; ranking is by the sweep's objective, reruns stay out of it.
 */
import type { FeedChange, FeedMessage, ReportRow, SweepRow, TrialRow } from "../../proto/feed.js";

export interface SweepModel {
  readonly id: number;
  sweep: SweepRow | null;
  readonly trials: Map<string, TrialRow>;
}

export const newSweepModel = (id: number): SweepModel => ({ id, sweep: null, trials: new Map() });

export interface Seen {
  readonly reports: readonly ReportRow[];
  /** Trials whose state changed to a final one with this message. */
  readonly ended: readonly TrialRow[];
}

const FINAL: ReadonlySet<TrialRow["state"]> = new Set(["completed", "stopped", "failed", "lost", "cancelled"]);

export const isFinal = (trial: TrialRow): boolean => FINAL.has(trial.state);

export function applyFeedMessage(model: SweepModel, message: FeedMessage): Seen {
  const reports: ReportRow[] = [];
  const ended: TrialRow[] = [];
  const takeTrial = (row: TrialRow, before = model.trials.get(row.id)): void => {
    if (row.sweep !== model.id) return;
    model.trials.set(row.id, row);
    if (isFinal(row) && !(before && isFinal(before))) ended.push(row);
  };
  const take = (change: FeedChange): void => {
    switch (change.kind) {
      case "sweep":
        if (change.row.id === model.id) model.sweep = change.row;
        return;
      case "trial":
        takeTrial(change.row);
        return;
      case "report":
        if (change.row.trial.startsWith(`${model.id}/`)) reports.push(change.row);
        return;
      case "worker":
        return;
    }
  };
  if (message.kind === "snapshot") {
    model.sweep = message.sweeps.find((row) => row.id === model.id) ?? model.sweep;
    const known = new Map(model.trials);
    model.trials.clear();
    for (const row of message.trials) takeTrial(row, known.get(row.id));
  } else if (message.kind === "delta") {
    // `rows` come only to who asks for them.
    for (const change of message.changes) take(change);
  }
  return { reports, ended };
}

/** Best first; trials without a value last, newest first among them. Reruns are left out. */
export function rankedTrials(model: SweepModel): TrialRow[] {
  const sign = model.sweep?.goal === "minimize" ? 1 : -1;
  return [...model.trials.values()]
    .filter((trial) => trial.origin !== "rerun")
    .sort((a, b) => {
      if (a.best === null || b.best === null)
        return Number(a.best === null) - Number(b.best === null) || b.number - a.number;
      return sign * (a.best - b.best) || a.number - b.number;
    });
}
