/**
 * The coordinator's clock and its only timers.
 *
 * Guarantees: `now` never steps back within one life: it is the wall clock read once at the start plus what the
 * monotonic clock says has passed since, so a change of the machine's time moves no lease. A timer never fires before
 * its time. Not here: what is done at that time (runtime.ts, feed-hub.ts).
 */
import { performance } from "node:perf_hooks";
import { type Millis, millis } from "../../proto/contract.js";

export interface Clock {
  now(): Millis;
  /** Calls `action` once, at or after `at`; the answer cancels it. */
  schedule(at: Millis, action: () => void): () => void;
}

/** setTimeout treats anything longer as 1 ms; a longer wait is done in steps. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

export function systemClock(wallAtStart: number = Date.now()): Clock {
  const started = performance.now();
  const now = (): Millis => millis(Math.floor(wallAtStart + (performance.now() - started)));
  return {
    now,
    schedule(at, action) {
      let timer: NodeJS.Timeout | null = null;
      const arm = (): void => {
        const left = at - now();
        if (left <= 0 && timer !== null) {
          timer = null;
          action();
          return;
        }
        timer = setTimeout(arm, Math.min(Math.max(left, 0), LONGEST_TIMEOUT));
      };
      arm();
      return () => {
        if (timer !== null) clearTimeout(timer);
        timer = null;
      };
    },
  };
}
