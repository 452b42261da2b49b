/**
 * The oracle: sees everything that is said, decided, committed and sent, keeps its own books, and knows what must hold.
 *
 * The 21 invariants (numbers as in docs/simulator.md) and where each is checked:
 * I1 here (`told`, `recovered`, `finish`) · I2 to I9, I12, I17, I18, I19 in record.ts · I4b and I13 here (`told`) ·
 * I10, I14, I15, I20 in ending.ts · I16 in viewer.ts · I21 in healing.ts.
 * Not here: how the world runs (world.ts).
 */
import type { Event, Mutation, Reply } from "../../coordinator/core/events.js";
import type { State } from "../../coordinator/core/state.js";
import type { Report } from "../../coordinator/core/types.js";
import type { AttemptId } from "../../proto/contract.js";
import type { LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { Healing } from "./healing.js";
import { type Birth, LifeBook, saidValue } from "./lives.js";
import { DurableRecord, isLive, LEASE } from "./record.js";

export interface Violation {
  readonly invariant: string;
  readonly what: string;
  readonly at: number;
}

export interface Clocked {
  readonly now: number;
  count(what: string): void;
}

/** Who was last told of a token. */
interface Holder {
  readonly attempt: string;
  readonly incarnation: string;
}

export class Oracle {
  readonly #world: Clocked;
  violation: Violation | null = null;
  record: DurableRecord;
  readonly #lives = new Map<string, LifeBook>();
  readonly #successors = new Map<string, string>();
  /** How often an older copy was put in place. */
  #restores = 0;
  readonly #healing = new Healing((what) => this.fail("I21", what));
  readonly #heard = new Map<string, number>();
  /** `token:epoch` of reports that this life of the coordinator decided while their sender held the attempt. */
  readonly #due = new Set<string>();
  /** Attempt -> epoch -> value, as it was on record when its report was acknowledged. */
  readonly #owed = new Map<string, Map<number, unknown>>();
  /** Token -> who was told of it, over all lives of the coordinator. */
  readonly #holders = new Map<number, Holder>();
  /** Every attempt that was ever given out. */
  readonly assigned: { readonly attempt: string; readonly token: number }[] = [];
  #decidingAt = 0;
  /** Events decided, for the figures. */
  decided = 0;

  constructor(world: Clocked) {
    this.#world = world;
    this.record = this.#newRecord();
  }

  #newRecord(): DurableRecord {
    return new DurableRecord({
      decidingAt: () => this.#decidingAt,
      fail: (id, what) => this.fail(id, what),
      count: (what) => this.#world.count(what),
      bookOf: (incarnation) => this.#lives.get(incarnation),
      heardAt: (attempt) => this.#heard.get(attempt),
    });
  }

  /** The first counts: what follows from a violation says little. */
  fail(invariant: string, what: string): void {
    this.violation ??= { invariant, what, at: this.#world.now };
  }

  born(birth: Birth): void {
    this.#lives.set(birth.incarnation, new LifeBook(birth));
    for (const previous of birth.previous ?? []) {
      const before = this.#lives.get(previous);
      if (before === undefined) continue;
      before.succeeded = true;
      this.#successors.set(previous, birth.incarnation);
    }
  }

  died(incarnation: string): void {
    const book = this.#lives.get(incarnation);
    if (book) book.alive = false;
  }

  get lives(): Iterable<LifeBook> {
    return this.#lives.values();
  }

  /** `first`: it is the first on its link that has a number. */
  said(incarnation: string, message: LinkRequest, first: boolean): void {
    const book = this.#lives.get(incarnation);
    if (book === undefined) return;
    // To an older copy, once it is welcomed by it, a worker says again with new numbers what it still keeps: then, and no
    // later, the old numbers come to stand for nothing.
    if (first && book.numberedFor < book.welcomedBy) {
      book.acked = Math.max(book.acked, message.seq - 1);
      book.numberedFor = book.welcomedBy;
    }
    book.said(message);
  }

  /** Just before the core decides; `state` is what it decides on. */
  deciding(state: State, event: Event, at: number): void {
    this.decided += 1;
    this.#decidingAt = at;
    switch (event.kind) {
      case "Booted":
        // Another life, another clock; what it acknowledges it has decided itself.
        this.#heard.clear();
        this.#due.clear();
        for (const id of state.attempts.keys()) this.#heard.set(id, at);
        return;
      case "WorkerHello":
      case "Heartbeat": {
        const listed = new Set<string>();
        for (const { attempt, token } of event.running) {
          if (this.#holds(state, event, attempt, token)) {
            this.#heard.set(attempt, at);
            listed.add(attempt);
          } else this.#world.count("stale claim");
        }
        if (event.kind === "Heartbeat") this.#unlisted(state, event, listed, at);
        return;
      }
      case "Reported":
        if (this.record.reports.get(event.attempt)?.has(event.epoch)) this.#world.count("duplicate report");
        // The last decision counts: one that the disk did not take is undone, and made again later.
        if (this.#claimed(state, event, at)) this.#due.add(`${event.token}:${event.epoch}`);
        else this.#due.delete(`${event.token}:${event.epoch}`);
        return;
      case "AttemptStarted":
      case "AttemptEnded":
        this.#claimed(state, event, at);
        return;
      default:
        return;
    }
  }

  #claimed(state: State, event: Extract<Event, { readonly attempt: AttemptId }>, at: number): boolean {
    const holds = this.#holds(state, event, event.attempt, event.token);
    if (holds) this.#heard.set(event.attempt, at);
    else this.#world.count("stale report refused");
    return holds;
  }

  #holds(
    state: State,
    speaker: { readonly worker: string; readonly incarnation: string },
    attempt: AttemptId,
    token: number,
  ): boolean {
    const held = state.attempts.get(attempt);
    return held?.token === token && held.worker === speaker.worker && held.incarnation === speaker.incarnation;
  }

  #unlisted(
    state: State,
    event: Extract<Event, { readonly kind: "Heartbeat" }>,
    listed: Set<string>,
    at: number,
  ): void {
    for (const id of state.indexes.workers.get(event.worker) ?? []) {
      const attempt = state.attempts.get(id);
      if (attempt === undefined || attempt.incarnation !== event.incarnation || listed.has(id)) continue;
      if (at - attempt.offeredAt >= LEASE) this.#lives.get(event.incarnation)?.unlisted.add(attempt.token);
    }
  }

  /** A batch is durable. */
  committed(batch: readonly Mutation[]): void {
    for (const mutation of batch) {
      // A grant, and an offer made again, start the clock of a lease.
      if (mutation.kind === "putAttempt" && mutation.attempt.state === "offered") {
        const { id, offeredAt } = mutation.attempt;
        if (this.record.attempts.get(id)?.offeredAt !== offeredAt) this.#heard.set(id, offeredAt);
      }
    }
    this.record.apply(batch);
    this.#healing.committed(
      batch,
      this.record,
      (life) => this.#lives.get(life),
      (life) => this.#lives.get(this.#successors.get(life) ?? ""),
    );
  }

  /** A message leaves for a worker. I13: it may say only what is durable. */
  told(incarnation: string, { ack, body }: LinkResponse): void {
    const book = this.#lives.get(incarnation);
    if (book === undefined) return;
    const received = body?.$case === "welcome" ? body.value.received : ack;
    if (received > book.acked) this.#acknowledged(book, received);
    switch (body?.$case) {
      case "assign":
        return this.#assigned(book, body.value.attempt, body.value.token);
      case "stop": {
        const attempt = this.record.attempts.get(body.value.attempt);
        if (attempt?.token !== body.value.token || attempt.stopping === null) {
          this.fail("I13", `${incarnation} is told to stop ${body.value.attempt}, which is not on record`);
        }
        return;
      }
      case "revoke": {
        const attempt = this.record.attempts.get(body.value.attempt);
        const holds =
          attempt?.token === body.value.token && attempt.incarnation === incarnation && isLive(attempt) && book.honest;
        if (holds) this.fail("I13", `${body.value.attempt} is revoked from ${incarnation}, which holds it on record`);
        return;
      }
      case "welcome":
        book.welcomedBy = this.#restores;
        this.#healing.welcomed(book, body.value, this.record);
        for (const { attempt, token } of body.value.keep) {
          if (this.record.attempts.get(attempt)?.token !== token) {
            this.fail("I13", `${incarnation} may keep ${attempt}, which is not on record`);
          }
        }
        for (const { attempt: id, token } of body.value.drop) {
          const attempt = this.record.attempts.get(id);
          const holds = attempt?.token === token && attempt.incarnation === incarnation && isLive(attempt);
          if (holds) this.fail("I8", `${incarnation} has to drop ${id}, which it holds on record`);
        }
        return;
      default:
        return;
    }
  }

  #assigned(book: LifeBook, attempt: string, token: number): void {
    const granted = this.record.attempts.get(attempt);
    if (granted?.token !== token || granted.incarnation !== book.incarnation) {
      this.fail("I13", `${attempt} (${token}) goes to ${book.incarnation} and is not on record as its`);
    }
    const who = `${attempt} ${book.incarnation}`;
    const before = this.#holders.get(token);
    if (before !== undefined && !this.#mayFollow(before, attempt, book)) {
      this.fail("I4b", `token ${token} was given to ${before.attempt} ${before.incarnation} and to ${who}`);
    }
    if (before?.incarnation === book.incarnation) this.#world.count("assignment sent again");
    this.#holders.set(token, { attempt, incarnation: book.incarnation });
    if (before === undefined) this.assigned.push({ attempt, token });
  }

  /** The same life again, or a later one of its name, which has proof that the one before is dead. */
  #mayFollow(before: Holder, attempt: string, { incarnation, previous }: LifeBook): boolean {
    if (before.attempt !== attempt) return false;
    if (before.incarnation === incarnation) return true;
    return previous.includes(before.incarnation) && this.#lives.get(before.incarnation)?.alive === false;
  }

  #acknowledged(book: LifeBook, upTo: number): void {
    for (let seq = book.acked + 1; seq <= upTo; seq += 1) this.#durable(book, seq);
    book.acked = upTo;
  }

  /** I1: what an acknowledged message said is on record, or its attempt was no longer its sender's to speak of. */
  #durable(book: LifeBook, seq: number): void {
    const body = book.numbered[seq];
    if (body === undefined) {
      // A liar's numbers begin where it likes.
      if (book.honest) this.fail("I1", `${book.incarnation} is told that its message ${seq}, never sent, is durable`);
      return;
    }
    if (body.$case !== "report" && body.$case !== "ended") return;
    const { attempt: id, token } = body.value;
    const attempt = this.record.attempts.get(id);
    const held = attempt?.token === token && attempt.incarnation === book.incarnation && isLive(attempt);
    if (body.$case === "ended") {
      if (held && book.honest) this.fail("I1", `the end of ${id} is acknowledged and not on record`);
      return;
    }
    const { epoch } = body.value;
    const value = this.record.reports.get(id)?.get(epoch);
    const due = held || this.#due.delete(`${token}:${epoch}`);
    // A liar's epoch before its last changes nothing.
    if (book.honest && (value === undefined ? due : held && value !== saidValue(body))) {
      this.fail("I1", `${id} epoch ${epoch} is acknowledged and not on record`);
    }
    if (value === undefined) return;
    const owed = this.#owed.get(id);
    if (owed === undefined) this.#owed.set(id, new Map([[epoch, value]]));
    else owed.set(epoch, value);
  }

  /** The coordinator is back: everything that was acknowledged must still be there. `log` is all that the disk holds. */
  recovered(log: readonly (readonly Mutation[])[], applied: number, restored: boolean): void {
    if (log.length === applied) return;
    const lost = applied - log.length;
    const before = this.record;
    this.record = this.#newRecord();
    const violation = this.violation;
    for (const batch of log) this.record.apply(batch);
    this.violation = violation;
    // Of an older copy that somebody put back it is known that it lacks the newest: healing.ts says what must come again.
    if (restored) {
      this.#restores += 1;
      this.#forgive();
      return;
    }
    for (const [attempt, epochs] of this.#owed) {
      const now = this.record.reports.get(attempt);
      for (const [epoch, value] of epochs) {
        if (now?.get(epoch) === value) continue;
        this.fail("I1", `${attempt} epoch ${epoch} was acknowledged, and the disk lost it with ${lost} batches`);
      }
    }
    for (const [id, attempt] of before.attempts) {
      if (
        !isLive(attempt) &&
        this.#endAcknowledged(attempt.token) &&
        !sameEnd(attempt.state, this.record.attempts.get(id)?.state)
      )
        this.fail("I1", `the end of ${id} was acknowledged, and the disk lost it`);
    }
  }

  /** What the copy does not have is owed no more. */
  #forgive(): void {
    for (const [attempt, epochs] of this.#owed) {
      const now = this.record.reports.get(attempt);
      for (const [epoch, value] of epochs) if (now?.get(epoch) !== value) epochs.delete(epoch);
    }
  }

  #endAcknowledged(token: number): boolean {
    for (const book of this.#lives.values()) {
      for (let seq = 1; seq <= book.acked; seq += 1) {
        const body = book.numbered[seq];
        if (body?.$case === "ended" && body.value.token === token) return true;
      }
    }
    return false;
  }

  /** A call is answered. I13 once more. */
  replied(kind: string, reply: Reply): void {
    if (!reply.ok || kind !== "SweepSubmitted") return;
    const { sweep } = reply.value as { readonly sweep: number };
    if (!this.record.sweeps.has(sweep)) this.fail("I13", `sweep ${sweep} is answered and not on record`);
  }

  /** I1 at the end: what was on record when it was acknowledged is found on the disk, with its value. */
  finish(onDisk: (attempt: string) => readonly Report[]): void {
    for (const [attempt, epochs] of this.#owed) {
      const found = new Map(onDisk(attempt).map(({ epoch, metrics }) => [epoch, metrics["val_accuracy"]]));
      for (const [epoch, value] of epochs) {
        if (found.get(epoch) === value) continue;
        this.fail("I1", `${attempt} epoch ${epoch} was acknowledged and is not on the disk at the end`);
      }
    }
  }
}

function sameEnd(a: string, b: string | undefined): boolean {
  return a === b;
}
