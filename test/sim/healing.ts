/**
 * I21: what a worker still keeps of what it said is on record again after an older copy of the store took its place, and
 * after the worker's own process died.
 *
 * Kept from what is really in the worker's spool, not from what it says is there. An obligation begins when the
 * coordinator lets a life keep an attempt, and is looked at when that attempt ends by its holder's word: a lease that runs
 * out meanwhile, or a user's word, ends it without.
 */
import type { Mutation } from "../../coordinator/core/events.js";
import type { Attempt } from "../../coordinator/core/types.js";
import type { Welcome } from "../../proto/gen/convsweep/v1/worker.js";
import { type LifeBook, saidValue } from "./lives.js";
import { type DurableRecord, isLive } from "./record.js";

const BY_ITS_WORD: ReadonlySet<Attempt["state"]> = new Set(["finished", "failed", "stopped", "paused"]);

export class Healing {
  readonly #fail: (what: string) => void;
  /** Token -> epoch -> value. */
  readonly #owed = new Map<number, Map<number, unknown>>();

  constructor(fail: (what: string) => void) {
    this.#fail = fail;
  }

  welcomed(book: LifeBook, { keep, drop }: Pick<Welcome, "keep" | "drop">, record: DurableRecord): void {
    // It takes these out of its spool.
    for (const { token } of drop) book.left.delete(token);
    for (const attempt of record.live()) {
      if (book.previous.includes(attempt.incarnation)) {
        this.#fail(`${attempt.id} is left with ${attempt.incarnation}, which ${book.incarnation} knows to be dead`);
      }
    }
    if (keep.length === 0) return;
    const kept = new Set(keep.map(({ token }) => token));
    for (const { held, body } of book.spooled()) {
      if (held === null || body.$case !== "report" || !kept.has(held.token)) continue;
      const owed = this.#owed.get(held.token) ?? new Map<number, unknown>();
      this.#owed.set(held.token, owed.set(body.value.epoch, saidValue(body)));
    }
  }

  committed(
    batch: readonly Mutation[],
    record: DurableRecord,
    bookOf: (life: string) => LifeBook | undefined,
    bookAfter: (life: string) => LifeBook | undefined,
  ): void {
    for (const mutation of batch) {
      if (mutation.kind === "putAttempt" && !isLive(mutation.attempt))
        this.#ended(mutation.attempt, record, bookOf, bookAfter);
    }
  }

  #ended(
    { id, token, state, cause, incarnation }: Attempt,
    record: DurableRecord,
    bookOf: (life: string) => LifeBook | undefined,
    bookAfter: (life: string) => LifeBook | undefined,
  ): void {
    const owed = this.#owed.get(token);
    this.#owed.delete(token);
    const left = bookAfter(incarnation)?.left.delete(token) === true;
    bookOf(incarnation)?.left.delete(token);
    if (left && state === "lost" && /^the process of .* ended$/.test(cause)) {
      this.#fail(`${id} is given up although its process left a spool with what it had said`);
    }
    const said = BY_ITS_WORD.has(state) || /^(released by|the process that trained it ended)/.test(cause);
    if (owed === undefined || !said) return;
    for (const [epoch, value] of owed) {
      if (record.reports.get(id)?.get(epoch) === value) continue;
      this.#fail(`${id} ended, and epoch ${epoch}, which its worker had in its spool, is not on record`);
    }
  }
}
