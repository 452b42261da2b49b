/**
 * Browsers: one-time login codes, the sessions they open, and the tickets with which a session opens a socket.
 *
 * Guarantees: a code works once, within five minutes; a session lasts twelve hours, until it is signed out or the
 * coordinator ends; a ticket works once, within thirty seconds, for the session that asked for it. All are 32 random bytes,
 * in memory, codes, sessions and tickets only as digests, bounded in number (the oldest goes first). Not here: cookies'
 * text, HTTP.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { type Millis, millis } from "../../proto/contract.js";
import type { Clock } from "./clock.js";
import { digest } from "./credentials.js";

const CODE_MILLIS = 5 * 60_000;
export const SESSION_MILLIS = 12 * 3_600_000;
export const TICKET_MILLIS = 30_000;
const CODES_AT_MOST = 64;
const SESSIONS_AT_MOST = 1_024;
/** Of one session: more than it may have sockets. */
const TICKETS_AT_MOST = 16;

export interface Session {
  /** Not its secret. */
  readonly name: string;
  /** What a request that does more than ask has to show: a page from elsewhere cannot read it. */
  readonly csrf: string;
  readonly until: Millis;
}

interface Kept extends Session {
  /** Digest to the time it ends, in the order they were made. */
  readonly tickets: Map<string, Millis>;
}

export class Logins {
  readonly #clock: Clock;
  readonly #codes = new Map<string, Millis>();
  readonly #sessions = new Map<string, Kept>();
  readonly #onEnd = new Set<(session: string) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  newCode(): string {
    return this.#lend(this.#codes, CODES_AT_MOST, CODE_MILLIS);
  }

  /** Trades a code for a session's secret; `null` if the code is unknown, used or too old. */
  redeem(code: string): string | null {
    if (!this.#take(this.#codes, code)) return null;
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size < SESSIONS_AT_MOST) break;
      this.end(oldest);
    }
    const secret = newSecret();
    const name = keyOf(secret);
    const until = millis(this.#clock.now() + SESSION_MILLIS);
    this.#sessions.set(name, { name, csrf: newSecret(), until, tickets: new Map() });
    return secret;
  }

  /** `null` if there is no such session. */
  session(secret: string): Session | null {
    const found = this.#sessions.get(keyOf(secret));
    if (found === undefined) return null;
    if (found.until > this.#clock.now()) return found;
    this.end(found.name);
    return null;
  }

  newTicket(session: string): string | null {
    const kept = this.#sessions.get(session);
    return kept === undefined ? null : this.#lend(kept.tickets, TICKETS_AT_MOST, TICKET_MILLIS);
  }

  /** True once for a ticket of this session; whatever the answer, it is used up. */
  useTicket(session: string, ticket: string): boolean {
    const kept = this.#sessions.get(session);
    return kept !== undefined && this.#take(kept.tickets, ticket);
  }

  /** Its cookie opens nothing any more. */
  end(session: string): void {
    if (!this.#sessions.delete(session)) return;
    for (const listener of this.#onEnd) listener(session);
  }

  /** Calls `listener` with the name of each session that is signed out, or found to be over. */
  onEnd(listener: (session: string) => void): void {
    this.#onEnd.add(listener);
  }

  #lend(into: Map<string, Millis>, atMost: number, lifetime: number): string {
    for (const oldest of into.keys()) {
      if (into.size < atMost) break;
      into.delete(oldest);
    }
    const secret = newSecret();
    into.set(keyOf(secret), millis(this.#clock.now() + lifetime));
    return secret;
  }

  #take(from: Map<string, Millis>, secret: string): boolean {
    const key = keyOf(secret);
    const until = from.get(key);
    from.delete(key);
    return until !== undefined && until > this.#clock.now();
  }
}

/** Whether a request shows its session's own value; takes as long whatever it shows. */
export function showsCsrf(session: Session, shown: string): boolean {
  return timingSafeEqual(digest(shown), digest(session.csrf));
}

const newSecret = (): string => randomBytes(32).toString("base64url");

/** Looked up by digest, so that the time of a look-up says nothing about the secret. */
const keyOf = (secret: string): string => digest(secret).toString("hex");
