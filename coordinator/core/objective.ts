/**
 * Comparing by a sweep's objective. Values that are not finite never win and never reach a target.
 */
import type { Checkpoint, MetricValue, Objective, Parameters, Progress, Report, Sweep, SweepSpec } from "./types.js";

/** Where a trial stands that has reported nothing. */
export const AT_THE_START: Progress = { epoch: 0, best: null, last: null, metrics: {}, lineage: [] };

export function isBetter(goal: Objective["goal"], a: number, b: number): boolean {
  return goal === "maximize" ? a > b : a < b;
}

export function reachesTarget(objective: Objective, value: number): boolean {
  if (objective.target === null) return false;
  return objective.goal === "maximize" ? value >= objective.target : value <= objective.target;
}

/** The number, or `null` for what is missing or not finite. */
export function finite(value: MetricValue | undefined): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Epochs this trial trains when nothing stops it: its own `epochs` where the space draws them. */
export function epochsOf(spec: SweepSpec, parameters: Parameters): number {
  const own = spec.structural.includes("epochs") ? parameters["epochs"] : undefined;
  return typeof own === "number" ? own : spec.epochs;
}

/** Where a trial stands after one more report. */
export function advance({ spec }: Sweep, before: Progress, { epoch, metrics }: Report): Progress {
  const { name, goal } = spec.objective;
  const value = finite(metrics[name]);
  const better = value !== null && (before.best === null || isBetter(goal, value, before.best.value));
  return {
    epoch,
    best: better ? { value, epoch } : before.best,
    last: metrics[name] ?? before.last,
    metrics: merged(before.metrics, metrics),
    lineage: before.lineage,
  };
}

/** Reports of a trial mostly have the same names, and then the newest is all there is to say. */
function merged(known: Progress["metrics"], newest: Progress["metrics"]): Progress["metrics"] {
  for (const name in known) if (!Object.hasOwn(newest, name)) return { ...known, ...newest };
  return newest;
}

/** Where the trial stands when an attempt begins with this checkpoint. */
export function progressFrom({ attempt, progress }: Checkpoint): Progress {
  const { epoch, lineage } = progress;
  const n = Number(attempt.slice(attempt.indexOf("#") + 1));
  return { ...progress, lineage: [...lineage, { n, epoch }] };
}
