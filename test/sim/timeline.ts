/**
 * Virtual time: what is due, in order of time, then of insertion. Whole milliseconds from 0; nothing else passes time.
 */

export interface Timer {
  readonly at: number;
  readonly order: number;
  /** `null` once it was cancelled. */
  run: (() => void) | null;
}

export class Timeline {
  now = 0;
  readonly #heap: Timer[] = [];
  #order = 0;

  at(time: number, run: () => void): Timer {
    const timer: Timer = { at: Math.max(time, this.now), order: this.#order++, run };
    const heap = this.#heap;
    let index = heap.length;
    heap.push(timer);
    while (index > 0) {
      const up = (index - 1) >> 1;
      const parent = heap[up] as Timer;
      if (!earlier(timer, parent)) break;
      heap[index] = parent;
      index = up;
    }
    heap[index] = timer;
    return timer;
  }

  /** Runs what is due next; false if nothing is, or nothing until `end`. */
  step(end: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > end) return false;
      this.#pop();
      if (next.run === null) continue;
      this.now = next.at;
      next.run();
      return true;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    const { length } = heap;
    if (length === 0) return;
    let index = 0;
    for (;;) {
      let down = 2 * index + 1;
      if (down >= length) break;
      if (down + 1 < length && earlier(heap[down + 1] as Timer, heap[down] as Timer)) down += 1;
      const child = heap[down] as Timer;
      if (!earlier(child, last)) break;
      heap[index] = child;
      index = down;
    }
    heap[index] = last;
  }
}

function earlier(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
