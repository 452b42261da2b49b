/**
 * A process that may stand still: what comes meanwhile waits, and is taken in order when it goes on.
 */
import type { Timeline } from "./timeline.js";

export class Standstill {
  readonly #timeline: Timeline;
  #waiting: (() => void)[] = [];
  #until = 0;
  #armed = false;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** Until then the process does nothing. */
  get until(): number {
    return this.#until;
  }

  stand(until: number): void {
    this.#until = Math.max(this.#until, until);
  }

  /** Runs `action` now, or when the process goes on. */
  enter(action: () => void): void {
    if (this.#waiting.length === 0 && this.#timeline.now >= this.#until) return action();
    this.#waiting.push(action);
    this.#arm();
  }

  /** The process is dead: nothing that waits happens. */
  forget(): void {
    this.#waiting = [];
    this.#until = 0;
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#timeline.at(this.#until, () => {
      this.#armed = false;
      this.#drain();
    });
  }

  #drain(): void {
    while (this.#waiting.length > 0) {
      if (this.#timeline.now < this.#until) return this.#arm();
      this.#waiting.shift()?.();
    }
  }
}
