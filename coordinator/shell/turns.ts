/**
 * When the runtime takes its turns: on the event loop, after waiting events have had a chance to gather.
 *
 * Guarantees: a turn asked for is taken once, never inside the call that asked. Not here: what a turn does (runtime.ts).
 * A simulation brings its own, so that the loop it runs is the one people run.
 */
import { performance } from "node:perf_hooks";

export interface Turns {
  /** A turn ends after this many events, so that sockets get their share. */
  readonly events: number;
  /** Takes `turn` soon; `waiting` events are queued now. */
  next(turn: () => void, waiting: number): void;
  /** A commit has just returned. */
  committed(): void;
}

const TURN_EVENTS = 1_024;
/**
 * A commit costs a flush of the disk, whatever its size: after one, the next waits this long for company. Nobody waits
 * when little happens, and many events share a commit when much does.
 */
const COMMIT_GAP_MILLIS = 1;
/** Company enough: nothing is gained by waiting. */
const COMPANY_EVENTS = 128;

export function eventLoopTurns(): Turns {
  let committedAt = Number.NEGATIVE_INFINITY;
  return {
    events: TURN_EVENTS,
    next(turn, waiting) {
      const alone = waiting < COMPANY_EVENTS;
      if (alone && performance.now() - committedAt < COMMIT_GAP_MILLIS) setTimeout(turn, COMMIT_GAP_MILLIS);
      else setImmediate(turn);
    },
    committed() {
      committedAt = performance.now();
    },
  };
}
