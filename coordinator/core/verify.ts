/**
 * Comparing a rerun with its original: every metric of every report (but the speed), how it ended, and the weights.
 *
 * Guarantees: on an equal fingerprint the comparison is to the bit; on another one it allows `TOLERANCE` and says so. The
 * first difference is kept, with metric, epoch and both values. A stopped original is compared as far as it went: where in
 * the next epoch a stop takes effect is chance, so its weights are not compared. Not here: running it.
 */
import { reportsOf } from "./checkpoints.js";
import type { Draft } from "./draft.js";
import type { MetricValue, Report, Trial } from "./types.js";

/** Between different backends or devices: relative, and absolute near zero. */
export const TOLERANCE = 0.02;

/** Measures of the machine, not of the trial. */
const OF_THE_MACHINE: ReadonlySet<string> = new Set(["images_per_second"]);

type Verified = Trial["verified"];
type Metrics = Readonly<Record<string, MetricValue>>;

/** What there is to compare: one more report, or the end. */
export type Evidence =
  | { readonly report: Report }
  | { readonly state: Trial["state"]; readonly cause: string; readonly weightsHash: string | null };

/** The verdict with this evidence; `null` while nothing differs and it goes on, and for trials that verify nothing. */
export function verdictOfRerun(draft: Draft, rerun: Trial, evidence: Evidence): Verified {
  if (rerun.verified !== null || rerun.origin.kind !== "rerun" || !rerun.origin.verify) return rerun.verified;
  const original = draft.trial(rerun.origin.of);
  const tolerance = toleranceOf(rerun, original);
  if ("report" in evidence) return reportVerdict(draft, original, rerun, evidence.report, tolerance);
  // A rerun that was lost or cancelled says nothing about its original.
  if (evidence.state === "cancelled" || evidence.state === "lost") return null;
  return endVerdict(rerun, original, evidence, tolerance);
}

/** Why a rerun shall stop now: its original went no further; `null` to go on. */
export function stopsWithOriginal(draft: Draft, rerun: Trial): string | null {
  if (rerun.origin.kind !== "rerun" || !rerun.origin.verify) return null;
  const original = draft.trial(rerun.origin.of);
  if (original.state !== "stopped" || rerun.epoch < original.epoch) return null;
  return `its original stopped after epoch ${original.epoch}`;
}

/** The first metric in which two reports differ, as text; `null` if they agree. `tolerance` null compares to the bit. */
export function differenceOf(first: Metrics, again: Metrics, tolerance: number | null): string | null {
  const names = [...new Set([...Object.keys(first), ...Object.keys(again)])].sort();
  for (const name of names) {
    if (OF_THE_MACHINE.has(name) || agree(first[name], again[name], tolerance)) continue;
    return `${name}: ${String(first[name] ?? "nothing")} before, ${String(again[name] ?? "nothing")} now`;
  }
  return null;
}

function reportVerdict(
  draft: Draft,
  original: Trial,
  rerun: Trial,
  report: Report,
  tolerance: number | null,
): Verified {
  const first = reportsOf(draft.history, original).find(({ epoch }) => epoch === report.epoch);
  if (first === undefined) {
    if (original.state === "stopped" && report.epoch > original.epoch) return rerun.verified;
    return { equal: false, detail: `epoch ${report.epoch} differs: ${original.id} has no report of it` };
  }
  const difference = differenceOf(first.metrics, report.metrics, tolerance);
  if (difference === null) return rerun.verified;
  return { equal: false, detail: `epoch ${report.epoch} differs${within(tolerance)} in ${difference}` };
}

function endVerdict(
  rerun: Trial,
  original: Trial,
  end: { readonly state: Trial["state"]; readonly cause: string; readonly weightsHash: string | null },
  tolerance: number | null,
): Verified {
  const partial = original.state === "stopped";
  if (partial ? rerun.epoch < original.epoch : rerun.epoch !== original.epoch) {
    return { equal: false, detail: `${original.epoch} epochs before, ${rerun.epoch} now` };
  }
  const asBefore =
    end.state === original.state && (end.state !== "failed" || tolerance !== null || end.cause === original.cause);
  if (!partial && !asBefore) {
    return { equal: false, detail: `ended otherwise: ${ending(original)} before, ${ending(end)} now` };
  }
  const compareWeights = !partial && tolerance === null && end.state === "completed";
  if (compareWeights && end.weightsHash !== original.weightsHash) {
    return {
      equal: false,
      detail: `weights differ: ${original.weightsHash ?? "no hash"} before, ${end.weightsHash ?? "no hash"} now`,
    };
  }
  const compared = `${original.epoch} ${original.epoch === 1 ? "epoch" : "epochs"}, every metric${compareWeights ? " and the weights" : ""}`;
  const how = tolerance === null ? "to the bit" : `within ${TOLERANCE * 100} %`;
  return { equal: true, detail: `equal ${how}: ${compared}${otherDevice(rerun, original, tolerance)}` };
}

function toleranceOf(rerun: Trial, original: Trial): number | null {
  return rerun.fingerprint === original.fingerprint ? null : TOLERANCE;
}

function agree(a: MetricValue | undefined, b: MetricValue | undefined, tolerance: number | null): boolean {
  if (a === b) return true;
  if (tolerance === null || typeof a !== "number" || typeof b !== "number") return false;
  return Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a), Math.abs(b));
}

function within(tolerance: number | null): string {
  return tolerance === null ? "" : ` by more than ${TOLERANCE * 100} % (on another fingerprint)`;
}

function otherDevice(rerun: Trial, original: Trial, tolerance: number | null): string {
  if (tolerance === null) return "";
  return `, on another fingerprint (${original.fingerprint ?? "unknown"} before, ${rerun.fingerprint ?? "unknown"} now)`;
}

function ending({ state, cause }: { readonly state: Trial["state"]; readonly cause: string }): string {
  return cause === "" ? state : `${state} (${cause})`;
}
