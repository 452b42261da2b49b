/**
 * Messages of the worker on their way to being durable at the coordinator, and those that are, while their attempt lives.
 *
 * Guarantees: numbers are 1, 2, 3, ... without gaps for the life of the process, given in the order of `put` when a
 * message first goes out; a message leaves the outbox only when it is acknowledged (or its attempt is discarded); `due`
 * gives every message exactly once a link, at most `window` ahead of the acknowledgement. What is acknowledged is kept
 * until its attempt is settled: `again` lets all of it go out once more, before everything else, to a coordinator that
 * turned out to be older than it was. The journal hears of every message before it goes out, and when it is of no more
 * use. Pure: no I/O, no clock.
 */
import { ConvsweepError } from "../proto/contract.js";
import type { Held } from "./messages.js";
import type { Body } from "./wire.js";

export interface Numbered {
  readonly seq: number;
  readonly body: Body;
}

export interface Entry {
  /** Rising in the order of `put`. */
  readonly id: number;
  readonly body: Body;
  /** Whose message it is; `null` if it belongs to no attempt. */
  readonly held: Held | null;
}

export interface Journal {
  kept(entry: Entry): void;
  settled(entries: readonly Entry[]): void;
}

/** On its way under a number. One of an attempt that no longer counts goes with its number, and is not kept after that. */
interface Sent extends Entry {
  readonly discarded?: boolean;
}

/** Acknowledged messages kept of one attempt; of one that says more, the oldest go. */
const RETAINED_AT_MOST = 20_000;

const NO_JOURNAL: Journal = { kept: () => undefined, settled: () => undefined };

export class Outbox {
  private readonly window: number;
  private readonly journal: Journal;
  /** Numbered and not acknowledged; the first has number `acked + 1`. */
  private sent: Sent[] = [];
  private waiting: Entry[] = [];
  /** Acknowledged, by attempt and token. */
  private readonly retained = new Map<string, Entry[]>();
  private acked = 0;
  /** Highest number written to the present link. */
  private written = 0;
  private nextId = 1;

  constructor(window: number, journal: Journal = NO_JOURNAL) {
    this.window = window;
    this.journal = journal;
  }

  get size(): number {
    return this.sent.length + this.waiting.length;
  }

  /** Highest number ever given. */
  get last(): number {
    return this.acked + this.sent.length;
  }

  put(body: Body, held: Held | null): void {
    const entry: Entry = { id: this.nextId++, body, held };
    this.waiting.push(entry);
    if (held) this.journal.kept(entry);
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
    for (const entry of durable) if (!entry.discarded) this.retain(entry);
    return durable;
  }

  /** A new link: what is not acknowledged goes out again. */
  rewind(): void {
    this.written = this.acked;
  }

  /** The coordinator has lost what it acknowledged: all that is kept goes out once more, oldest first, newly numbered. */
  again(): number {
    const lost = [...this.retained.values()].flat().sort((a, b) => a.id - b.id);
    this.retained.clear();
    this.acked = this.last;
    this.written = this.acked;
    this.waiting = [...lost, ...this.sent.filter((entry) => !entry.discarded), ...this.waiting];
    this.sent = [];
    return lost.length;
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

  /** The attempt is settled: nothing it said is needed any more. */
  settle(held: Held): void {
    const retained = this.retained.get(keyOf(held)) ?? [];
    this.retained.delete(keyOf(held));
    this.journal.settled(retained);
  }

  /** Forgets all of an attempt that no longer counts, but for what is numbered; answers what was not acknowledged. */
  discard(held: Held): readonly Entry[] {
    const unsent = this.waiting.filter((entry) => isOf(entry, held));
    const open = this.sent.filter((entry) => isOf(entry, held));
    this.waiting = this.waiting.filter((entry) => !isOf(entry, held));
    this.sent = this.sent.map((entry) => (isOf(entry, held) ? { ...entry, discarded: true } : entry));
    this.journal.settled([...open, ...unsent]);
    this.settle(held);
    return [...open, ...unsent];
  }

  /** Forgets everything: it was meant for another coordinator. Numbers go on. */
  clear(): void {
    this.acked = this.last;
    this.written = this.acked;
    this.journal.settled([...this.sent, ...this.waiting, ...[...this.retained.values()].flat()]);
    this.sent = [];
    this.waiting = [];
    this.retained.clear();
  }

  has(kind: Body["$case"]): boolean {
    return this.sent.some((e) => e.body.$case === kind) || this.waiting.some((e) => e.body.$case === kind);
  }

  private retain(entry: Entry): void {
    if (!entry.held) return;
    const key = keyOf(entry.held);
    const kept = this.retained.get(key) ?? [];
    this.retained.set(key, kept);
    kept.push(entry);
    if (kept.length > RETAINED_AT_MOST) this.journal.settled(kept.splice(0, kept.length - RETAINED_AT_MOST));
  }
}

const keyOf = ({ attempt, token }: Held): string => `${attempt} ${token}`;

function isOf({ held }: Entry, other: Held): boolean {
  return held?.attempt === other.attempt && held.token === other.token;
}
