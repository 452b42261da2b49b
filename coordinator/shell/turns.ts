/**
 * When the runtime takes its turns: on the event loop, after waiting events have had a chance to gather.
 *
 * Guarantees: a turn asked for is taken once, never inside the call that asked; one that somebody waits for does not wait for
 * company. Not here: what a turn does (runtime.ts).
 * A simulation brings its own, so that the loop it runs is the one people run.
 */
import { performance } from "node:perf_hooks";

export interface Turns {
  /** A turn ends after this many events, so that sockets get their share. */
  readonly events: number;
  /** It ends after this long, too, milliseconds. */
  readonly millis: number;
  /** Takes `turn` soon; `waiting` events are queued now. */
  next(turn: () => void, waiting: number): void;
  /** The turn that was asked for, if one was, waits for nothing any more. */
  hurry(): void;
  /** A commit has just returned; it took so many milliseconds. */
  committed(millis: number): void;
}

const TURN_EVENTS = 1_024;
/**
 * A commit costs a flush of the disk, whatever its size: after one, the next waits half as long for company, and a turn may
 * decide as long, so that not all of the time goes to commits when a disk is slow. Nobody waits when little happens, and many
 * events share a commit when much does.
 */
const GAP_MILLIS = { least: 1, most: 8 };
const TURN_MILLIS = { least: 2, most: 16 };
/** Weight of the newest commit in what a commit costs. */
const NEWEST = 0.25;
/** Company enough: nothing is gained by waiting. */
const COMPANY_EVENTS = 128;

/** `now`: milliseconds that pass, from any moment on. */
export function eventLoopTurns(now: () => number = () => performance.now()): Turns {
  /** Of the turn that waits for company. */
  let gap: { readonly timer: NodeJS.Timeout; readonly turn: () => void } | null = null;
  let committedAt = Number.NEGATIVE_INFINITY;
  let cost = 0;
  return {
    events: TURN_EVENTS,
    get millis() {
      return within(cost, TURN_MILLIS);
    },
    next(turn, waiting) {
      const left = committedAt + within(cost / 2, GAP_MILLIS) - now();
      if (waiting >= COMPANY_EVENTS || left <= 0) {
        setImmediate(turn);
        return;
      }
      const timer = setTimeout(() => {
        gap = null;
        turn();
      }, left);
      gap = { timer, turn };
    },
    hurry() {
      if (gap === null) return;
      clearTimeout(gap.timer);
      setImmediate(gap.turn);
      gap = null;
    },
    committed(millis) {
      committedAt = now();
      cost += NEWEST * (millis - cost);
    },
  };
}

function within(value: number, { least, most }: { readonly least: number; readonly most: number }): number {
  return Math.min(most, Math.max(least, value));
}
