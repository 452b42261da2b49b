/**
 * Curves of one sweep's trials: reports by epoch, merged from the feed and from GET /api/curves.
 *
 * Guarantees: merging is idempotent and does not depend on order of arrival, because a trial reports the same numbers for
 * an epoch whenever it trains it. `wantedTrials` and `incomplete` are pure; they say what to draw and what to ask for.
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

/** Trials whose curve lacks an epoch that their row says is done. */
export function incomplete(curves: Curves, wanted: readonly TrialRow[]): readonly string[] {
  return wanted.filter((row) => (curves.get(row.id)?.length ?? 0) < row.epoch).map((row) => row.id);
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
