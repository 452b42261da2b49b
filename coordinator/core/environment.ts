/**
 * What a decision may read beside the state: reports on record, and the algorithms by name. All of it pure.
 */
import type { AttemptId } from "../../proto/contract.js";
import { SAMPLERS } from "./samplers/index.js";
import type { Sampler } from "./samplers/sampler.js";
import { SCHEDULERS } from "./schedulers/index.js";
import type { Scheduler } from "./schedulers/scheduler.js";
import type { Report } from "./types.js";

/**
 * Reports as recorded. A `Store` is one. Best when it also knows those decided in this batch and not yet committed: without
 * them, a repeat of such a report with another value is taken for an equal one (it changes nothing either way).
 */
export interface History {
  /** Reports of one attempt, in order of epoch. */
  attemptReports(attempt: AttemptId): readonly Report[];
}

export interface Algorithms {
  readonly samplers: ReadonlyMap<string, Sampler>;
  readonly schedulers: ReadonlyMap<string, Scheduler>;
}

export const ALGORITHMS: Algorithms = { samplers: SAMPLERS, schedulers: SCHEDULERS };
