/**
 * The scheduler's interface: whether a trial goes on. A pure reducer whose state is JSON, one for a sweep, committed with
 * the report that changed it.
 *
 * - Called with every report and every end of the sweep's trials, in the order in which they are recorded; reruns never.
 * - An attempt that is lost starts again: the same (trial, epoch) may be reported twice, with equal values on an equal
 *   machine. A scheduler counts it once.
 * - A paused trial waits until `promote` names it; those never named end as `stopped` with the sweep.
 *
 * Adding one: a file here, a line in index.ts.
 */
import type { ErrorData } from "../../../proto/contract.js";
import type { Json, Objective, TrialState } from "../types.js";

export interface SchedulerContext {
  readonly options: Json;
  readonly objective: Objective;
  /** Epochs a trial trains when nothing stops it. */
  readonly epochs: number;
}

export interface SchedulerReport {
  /** The trial's number. */
  readonly number: number;
  readonly epoch: number;
  /** The objective; `null` if it is missing or not finite. */
  readonly value: number | null;
}

export interface SchedulerEnd {
  readonly number: number;
  readonly state: TrialState;
  readonly epoch: number;
  /** Best value so far. */
  readonly value: number | null;
}

export type Verdict = "continue" | "stop" | "pause";

export interface Scheduler {
  /** Why these options make no sense; `null` if they do. */
  check(context: SchedulerContext): ErrorData | null;
  init(context: SchedulerContext): Json;
  onReport(state: Json, report: SchedulerReport, context: SchedulerContext): readonly [Json, Verdict];
  onEnd(state: Json, end: SchedulerEnd, context: SchedulerContext): Json;
  /** Asked when a lane is free and trials are paused: the number of one that shall go on, or `null`. */
  promote(state: Json, paused: readonly number[], context: SchedulerContext): readonly [Json, number | null];
}
