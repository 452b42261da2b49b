/**
 * Counts who is refused: five failures a minute from one address, then none is answered in detail for a minute.
 *
 * Guarantees: bounded memory; only failures count, so a right token or login from the same address is never held up; of
 * the many failures of a flood few reach the log. Secrets have 256 random bits: this saves work and log lines, it is not
 * what keeps them from being guessed. Not here: what counts as a failure.
 */
import type { Clock } from "./clock.js";
import type { Log } from "./log.js";

export const FAILURES_A_MINUTE = 5;
const WINDOW_MILLIS = 60_000;
const ADDRESSES_AT_MOST = 4_096;

interface Count {
  since: number;
  failures: number;
  limited: boolean;
}

export interface Refusal {
  /** What was asked for: a method, a route. */
  readonly what: string;
  readonly why: string;
  /** Id of the token, where one was recognised; never the secret. */
  readonly tokenId?: string;
}

export class Failures {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counts = new Map<string, Count>();
  #total = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Refusals since the start. */
  get total(): number {
    return this.#total;
  }

  /** One more from `address`; true: too many, say no more than that. */
  note(address: string, refusal: Refusal): boolean {
    this.#total += 1;
    const now = this.#clock.now();
    let count = this.#counts.get(address);
    if (count === undefined || now - count.since >= WINDOW_MILLIS) {
      count = { since: now, failures: 0, limited: false };
      // The one longest known goes first when there are too many.
      this.#counts.delete(address);
      this.#counts.set(address, count);
      for (const oldest of this.#counts.keys()) {
        if (this.#counts.size <= ADDRESSES_AT_MOST) break;
        this.#counts.delete(oldest);
      }
    }
    count.failures += 1;
    if (count.failures <= FAILURES_A_MINUTE) {
      this.#log("warn", "access-refused", `refused: ${refusal.why}`, {
        address,
        what: refusal.what,
        tokenId: refusal.tokenId,
      });
      return false;
    }
    if (!count.limited) {
      count.limited = true;
      // A whole minute from here, whenever the window began.
      count.since = now;
      this.#log("warn", "access-refused", "too many refusals from one address: no more of them are told for a minute", {
        address,
      });
    }
    return true;
  }
}
