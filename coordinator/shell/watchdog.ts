/**
 * Ends a coordinator that is there and does nothing: a process that runs and serves nobody keeps its supervisor from
 * starting another.
 *
 * Guarantees: it is called dead after 30 seconds in a row in which it does not listen, one commit does not end, or events
 * wait and none is decided. Seconds are counted as they are lived, so a process that was stopped is not dead when it goes
 * on, nor one that waits for a full disk. Not here: an event loop that stands still (nothing runs then), how a process ends.
 */
import { millis } from "../../proto/contract.js";
import type { Clock } from "./clock.js";

export const DEAD_SECONDS = 30;
const SECOND = 1_000;

export interface VitalSigns {
  /** Whether every port still takes connections. */
  listening(): boolean;
  /** Calls back when nothing waits for the disk: at once, or when the commit under way has ended. */
  whenDurable(action: () => void): void;
  /** Events that wait to be decided. */
  waiting(): number;
  /** Events that were decided since the start. */
  decided(): number;
  /** Nothing can be recorded, which is known, said and tried again. */
  excused(): boolean;
}

/** `dead` is called once, with why. Answers how to stop looking. */
export function watchOver(clock: Clock, signs: VitalSigns, dead: (why: string) => void): () => void {
  let flushing = false;
  let decided = signs.decided();
  const seconds = { deaf: 0, flush: 0, undecided: 0 };
  let cancel: () => void = () => {};

  function look(): string | null {
    seconds.deaf = signs.listening() ? 0 : seconds.deaf + 1;
    if (flushing) seconds.flush += 1;
    else {
      seconds.flush = 0;
      flushing = true;
      signs.whenDurable(() => {
        flushing = false;
      });
    }
    const before = decided;
    decided = signs.decided();
    seconds.undecided = signs.waiting() > 0 && decided === before && !signs.excused() ? seconds.undecided + 1 : 0;
    if (seconds.deaf >= DEAD_SECONDS) return "a port takes no more connections";
    if (seconds.flush >= DEAD_SECONDS) return "the disk does not end a commit";
    return seconds.undecided >= DEAD_SECONDS ? "events wait and none is decided" : null;
  }

  function arm(): void {
    cancel = clock.schedule(millis(clock.now() + SECOND), () => {
      const why = look();
      if (why === null) arm();
      else dead(`${why} for ${DEAD_SECONDS} s`);
    });
  }

  arm();
  return () => cancel();
}
