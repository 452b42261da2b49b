/**
 * Curves of one sweep's trials: reports by epoch, merged from the feed and from GET /api/curves.
 *
 * Guarantees: merging is idempotent and, of one attempt's reports, does not depend on order of arrival. All of it is pure. A curve
 * ends where its trial stands: of a trial that was given to another worker, what the lost attempt reported beyond the checkpoint is
 * not drawn.
 *
 * Not here: fetching (curve-source.ts), drawing (../charts).
 */
import type { FeedMetric, ReportRow, TrialRow } from "../../../proto/feed.js";
import type { TrialIndex } from "./ranking.js";
import { rowAt } from "./rows.js";

/** Reports by trial id, each list in order of epoch, one an epoch. */
export type Curves = ReadonlyMap<string, readonly ReportRow[]>;

/** Lists of trials outside `reports` keep their identity. */
export function mergeReports(curves: Curves, reports: readonly ReportRow[]): Curves {
  if (reports.length === 0) return curves;
  const byTrial = new Map<string, Map<number, ReportRow>>();
  for (const report of reports) {
    let epochs = byTrial.get(report.trial);
    if (epochs === undefined) {
      epochs = new Map((curves.get(report.trial) ?? []).map((known) => [known.epoch, known]));
      byTrial.set(report.trial, epochs);
    }
    epochs.set(report.epoch, report);
  }
  const after = new Map(curves);
  for (const [trial, epochs] of byTrial)
    after.set(
      trial,
      [...epochs.values()].sort((a, b) => a.epoch - b.epoch),
    );
  return after;
}

/** The best `best` trials and those that train now, at most `most` in all, best first. */
export function wantedTrials(trials: TrialIndex, best: number, most: number): readonly TrialRow[] {
  const wanted: TrialRow[] = [];
  for (let i = 0; i < trials.order.length && wanted.length < most; i++) {
    const row = rowAt(trials.rows, trials.order[i] ?? -1);
    if (row === undefined) continue;
    if (i < Math.min(best, trials.ranked) || (row.state === "running" && row.epoch > 0)) wanted.push(row);
  }
  return wanted;
}

/** The trial's reports, up to the epoch that its row says is done. */
export function curveOf(curves: Curves, { id, epoch }: Pick<TrialRow, "id" | "epoch">): readonly ReportRow[] {
  const reports = curves.get(id) ?? [];
  return (reports.at(-1)?.epoch ?? 0) <= epoch ? reports : reports.filter((report) => report.epoch <= epoch);
}

/** Trials whose curve lacks an epoch that their row says is done. */
export function incomplete(curves: Curves, wanted: readonly TrialRow[]): readonly string[] {
  return wanted.filter((row) => curveOf(curves, row).length < row.epoch).map((row) => row.id);
}

/** A metric's finite values over the epochs, `null` where it has none. */
export function metricPoints(
  reports: readonly ReportRow[],
  metric: string,
): readonly { readonly epoch: number; readonly value: number | null }[] {
  return reports.map((report) => ({ epoch: report.epoch, value: finite(report.metrics[metric]) }));
}

export function finite(value: FeedMetric | null | undefined): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
