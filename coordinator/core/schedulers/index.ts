/** Schedulers by the name that a sweep file's `early_terminate.type` gives; `none` where there is no such key. */
import { noScheduler } from "./none.js";
import type { Scheduler } from "./scheduler.js";

export const SCHEDULERS: ReadonlyMap<string, Scheduler> = new Map([["none", noScheduler]]);
