/**
 * Lets so many asynchronous jobs run at once, so many wait, and refuses the rest with UNAVAILABLE.
 */
import { ConvsweepError } from "../../proto/contract.js";

export class Gate {
  readonly #atOnce: number;
  readonly #waitingAtMost: number;
  readonly #what: string;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(atOnce: number, waitingAtMost: number, what: string) {
    this.#atOnce = atOnce;
    this.#waitingAtMost = waitingAtMost;
    this.#what = what;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#running < this.#atOnce) this.#running += 1;
    else if (this.#waiting.length >= this.#waitingAtMost) {
      throw new ConvsweepError("UNAVAILABLE", `too many ${this.#what} at once: try again in a moment`);
    } else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await job();
    } finally {
      // The place goes straight to the next in line.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}
