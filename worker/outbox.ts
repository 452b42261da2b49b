/**
 * Messages of the worker on their way to being durable at the coordinator.
 *
 * Guarantees: numbers are 1, 2, 3, ... without gaps for the life of the process, given in the order of `put` when a
 * message first goes out; a message leaves the outbox only when it is acknowledged (or, never having been sent, was
 * discarded); `due` gives every message exactly once a link, at most `window` ahead of the acknowledgement.
 * Pure: no I/O, no clock.
 */
import { ConvsweepError } from "../proto/contract.js";
import type { Held } from "./messages.js";
import type { Body } from "./wire.js";

export interface Numbered {
  readonly seq: number;
  readonly body: Body;
}

export interface Entry {
  readonly body: Body;
  /** Whose message it is; `null` if it belongs to no attempt. */
  readonly held: Held | null;
}

export class Outbox {
  private readonly window: number;
  /** Numbered and not acknowledged; the first has number `acked + 1`. */
  private sent: Entry[] = [];
  private waiting: Entry[] = [];
  private acked = 0;
  /** Highest number written to the present link. */
  private written = 0;

  constructor(window: number) {
    this.window = window;
  }

  get size(): number {
    return this.sent.length + this.waiting.length;
  }

  /** Highest number ever given. */
  get last(): number {
    return this.acked + this.sent.length;
  }

  put(body: Body, held: Held | null): void {
    this.waiting.push({ body, held });
  }

  /** Numbers up to `seq` are durable; answers what that made so. Older acknowledgements change nothing. */
  acknowledge(seq: number): readonly Entry[] {
    if (seq > this.last) {
      throw new ConvsweepError("PROTOCOL", "the coordinator acknowledged a message that was never sent", {
        expected: `at most ${this.last}`,
        found: String(seq),
      });
    }
    if (seq <= this.acked) return [];
    const durable = this.sent.splice(0, seq - this.acked);
    this.acked = seq;
    this.written = Math.max(this.written, seq);
    return durable;
  }

  /** A new link: what is not acknowledged goes out again. */
  rewind(): void {
    this.written = this.acked;
  }

  /** Messages that may go out on this link now. */
  due(): Numbered[] {
    while (this.waiting.length > 0 && this.sent.length < this.window) {
      const entry = this.waiting.shift();
      if (entry) this.sent.push(entry);
    }
    const first = this.written + 1;
    const due = this.sent.slice(this.written - this.acked).map(({ body }, i) => ({ seq: first + i, body }));
    this.written = this.last;
    return due;
  }

  /** Forgets what was never sent for an attempt that no longer counts. */
  discard(held: Held): void {
    this.waiting = this.waiting.filter((e) => e.held?.attempt !== held.attempt || e.held.token !== held.token);
  }

  /** Forgets everything: it was meant for another coordinator. Numbers go on. */
  clear(): void {
    this.acked = this.last;
    this.written = this.acked;
    this.sent = [];
    this.waiting = [];
  }

  has(kind: Body["$case"]): boolean {
    return this.sent.some((e) => e.body.$case === kind) || this.waiting.some((e) => e.body.$case === kind);
  }
}
