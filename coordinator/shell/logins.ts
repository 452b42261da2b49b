/**
 * Browsers: one-time login codes and the sessions they open.
 *
 * Guarantees: a code works once, within five minutes; a session lasts twelve hours or until the coordinator ends; both
 * are 32 random bytes kept only as digests, in memory, bounded in number (the oldest goes first). Not here: cookies'
 * text, HTTP.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "./clock.js";
import { digest } from "./credentials.js";

const CODE_MILLIS = 5 * 60_000;
export const SESSION_MILLIS = 12 * 3_600_000;
const CODES_AT_MOST = 64;
const SESSIONS_AT_MOST = 1_024;

export class Logins {
  readonly #clock: Clock;
  /** Digest to the time it ends, in the order they were made. */
  readonly #codes = new Map<string, number>();
  readonly #sessions = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  newCode(): string {
    return this.#remember(this.#codes, CODES_AT_MOST, CODE_MILLIS);
  }

  /** Trades a code for a session's secret; `null` if the code is unknown, used or too old. */
  redeem(code: string): string | null {
    const key = keyOf(code);
    const until = this.#codes.get(key);
    this.#codes.delete(key);
    if (until === undefined || until <= this.#clock.now()) return null;
    return this.#remember(this.#sessions, SESSIONS_AT_MOST, SESSION_MILLIS);
  }

  /** A name for the session that is not its secret; `null` if there is no such session. */
  session(secret: string): string | null {
    const key = keyOf(secret);
    const until = this.#sessions.get(key);
    if (until === undefined) return null;
    if (until > this.#clock.now()) return key;
    this.#sessions.delete(key);
    return null;
  }

  #remember(into: Map<string, number>, atMost: number, lifetime: number): string {
    for (const oldest of into.keys()) {
      if (into.size < atMost) break;
      into.delete(oldest);
    }
    const secret = randomBytes(32).toString("base64url");
    into.set(keyOf(secret), this.#clock.now() + lifetime);
    return secret;
  }
}

/** Looked up by digest, so that the time of a look-up says nothing about the secret. */
const keyOf = (secret: string): string => digest(secret).toString("hex");
