/**
 * Events that wait to be decided, in the order they came. Taking one costs the same however many wait. Knows how many of them
 * are pressing: of what they change somebody is to hear at once.
 */
import type { ConvsweepError, Millis } from "../../proto/contract.js";
import type { Event } from "../core/events.js";

/** Who sent an event, when it is not a call. */
export interface Origin {
  /** True when the event must not be decided any more; asked just before. */
  skip(): boolean;
  /** What the event changed is durable. Called before the effects of its turn. */
  committed(): void;
  /** `decide` refused the event by throwing; it changed nothing. */
  failed(error: ConvsweepError): void;
}

export interface Entry {
  readonly event: Event;
  /** When it was received: leases are measured from there, however long it waited. */
  readonly at: Millis;
  readonly origin: Origin | null;
}

/** Entries already taken are given back to memory in lots of this size. */
const LOT = 4_096;

export class EventQueue {
  #entries: Entry[] = [];
  #head = 0;
  #pressing = 0;

  get size(): number {
    return this.#entries.length - this.#head;
  }

  /** Those of them that are pressing. */
  get pressing(): number {
    return this.#pressing;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    if (isPressing(entry.event)) this.#pressing += 1;
  }

  /** The oldest. There must be one. */
  take(): Entry {
    const entry = this.#entries[this.#head] as Entry;
    this.#head += 1;
    if (isPressing(entry.event)) this.#pressing -= 1;
    if (this.#head === this.#entries.length) this.clear();
    else if (this.#head >= LOT) this.putBack([]);
    return entry;
  }

  /** Entries that were taken come first again. */
  putBack(entries: readonly Entry[]): void {
    this.#entries = [...entries, ...this.#entries.slice(this.#head)];
    this.#head = 0;
    for (const { event } of entries) if (isPressing(event)) this.#pressing += 1;
  }

  takeAll(): readonly Entry[] {
    const all = this.#entries.slice(this.#head);
    this.clear();
    return all;
  }

  clear(): void {
    this.#entries = [];
    this.#head = 0;
    this.#pressing = 0;
  }
}

/** A slot is free until what comes of it is durable, or a person waits. */
function isPressing(event: Event): boolean {
  switch (event.kind) {
    case "AttemptEnded":
    case "WorkerHello":
      return true;
    case "Reported":
    case "Heartbeat":
    case "AttemptStarted":
      return false;
    default:
      return "call" in event;
  }
}
