/**
 * A feed that waits for a coordinator that is away for a while, so that whoever follows a sweep need not.
 *
 * Guarantees: for `PATIENCE_MILLIS` after a feed broke off it is opened again, with growing pauses; it then begins with a
 * snapshot. However long this process itself was stopped before, it waits that long. Everything but UNAVAILABLE goes to the caller at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ConvsweepError } from "../../proto/contract.js";
import type { Feed } from "./follow.js";

const PATIENCE_MILLIS = 60_000;
const PAUSE_MILLIS = { least: 200, most: 2_000 };

export interface Waiting {
  readonly now: () => number;
  /** Ends early when the signal says so. */
  readonly pause: (millis: number, signal: AbortSignal) => Promise<void>;
}

const BY_THE_CLOCK: Waiting = {
  now: () => performance.now(),
  pause: (millis, signal) => sleep(millis, undefined, { signal }).catch(() => undefined),
};

/** `notice` hears that the coordinator is away, and that it is back. */
export function patientFeed(feed: Feed, notice: (text: string) => void, waiting: Waiting = BY_THE_CLOCK): Feed {
  return {
    async watch(listener, signal) {
      let awayFrom = 0;
      let tries = 0;
      for (;;) {
        try {
          await feed.watch((message) => {
            if (tries > 0) notice("the coordinator is back");
            tries = 0;
            listener(message);
          }, signal);
          return;
        } catch (thrown) {
          const away = thrown instanceof ConvsweepError && thrown.code === "UNAVAILABLE";
          if (tries === 0) awayFrom = waiting.now();
          if (!away || signal.aborted || waiting.now() - awayFrom > PATIENCE_MILLIS) throw thrown;
          if (tries === 0) notice("the coordinator is away; waiting for it");
          await waiting.pause(Math.min(PAUSE_MILLIS.most, PAUSE_MILLIS.least * 2 ** tries), signal);
          tries += 1;
          if (signal.aborted) return;
        }
      }
    },
  };
}
