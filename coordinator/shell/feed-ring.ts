/**
 * The newest deltas of the feed, kept for viewers that come back or fall behind.
 *
 * Guarantees: consecutive numbers from `first` to `last`; bounded by count and, about, by bytes; the newest is always kept, unless
 * it was skipped.
 */
import type { FeedChange } from "../../proto/feed.js";

export interface Delta {
  readonly seq: number;
  readonly changes: readonly FeedChange[];
  /** The whole message as JSON. Written when somebody wants it: mostly nobody looks. */
  readonly text: string;
}

/** About, of a change as JSON. */
export const CHANGE_BYTES = 250;

function deltaOf(seq: number, changes: readonly FeedChange[]): Delta {
  let text: string | null = null;
  return {
    seq,
    changes,
    get text() {
      text ??= JSON.stringify({ kind: "delta", seq, changes });
      return text;
    },
  };
}

export class FeedRing {
  readonly #atMost: number;
  readonly #bytesAtMost: number;
  #deltas: Delta[] = [];
  /** How many at the front of `#deltas` are gone. */
  #gone = 0;
  #bytes = 0;
  #last = 0;

  constructor(atMost: number, bytesAtMost: number) {
    this.#atMost = atMost;
    this.#bytesAtMost = bytesAtMost;
  }

  /** Number of the newest delta; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  push(changes: readonly FeedChange[]): Delta {
    const seq = this.#last + 1;
    const delta = deltaOf(seq, changes);
    this.#last = seq;
    this.#deltas.push(delta);
    this.#bytes += changes.length * CHANGE_BYTES;
    while (this.#kept > 1 && (this.#kept > this.#atMost || this.#bytes > this.#bytesAtMost)) this.#drop();
    return delta;
  }

  /** A delta that nobody wants: it has a number, and none before it is kept. */
  skip(): void {
    this.#last += 1;
    this.#deltas = [];
    this.#gone = 0;
    this.#bytes = 0;
  }

  /** `null` if it is gone already, or not there yet. */
  at(seq: number): Delta | null {
    const first = this.#last - this.#kept + 1;
    if (seq < first || seq > this.#last) return null;
    return this.#deltas[this.#gone + seq - first] ?? null;
  }

  get #kept(): number {
    return this.#deltas.length - this.#gone;
  }

  #drop(): void {
    this.#bytes -= (this.#deltas[this.#gone]?.changes.length ?? 0) * CHANGE_BYTES;
    this.#gone += 1;
    if (this.#gone < 1_024 && this.#gone < this.#deltas.length / 2) return;
    this.#deltas = this.#deltas.slice(this.#gone);
    this.#gone = 0;
  }
}
