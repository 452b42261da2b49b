/**
 * Posts notices to one address, one after another.
 *
 * Guarantees: nothing waits for it; a try ends after ten seconds; a receiver that does not answer, or answers with 5xx, 408
 * or 429, is tried again, five times in all, each time later; other answers end it; redirects are not followed. At most
 * 100 notices wait, further ones are dropped. What became of each is told to `outcome`, with the receiver's origin alone:
 * the rest of the address may be a secret. With a secret every message is signed, time included.
 * Not here: what is told (notices.ts), the record of it (webhook.ts).
 */
import { createHmac } from "node:crypto";
import type { Notice } from "./notices.js";

export interface DeliveryOptions {
  readonly url: URL;
  /** Key of the signature; `null` for none. */
  readonly secret: string | null;
  /** Seconds since 1970, for the signature. */
  readonly seconds: () => number;
  readonly outcome: (notice: Notice, result: "delivered" | "failed" | "dropped", detail: string) => void;
  /** Waits between tries. */
  readonly backOffMillis?: readonly number[];
  readonly timeoutMillis?: number;
}

const BACK_OFF_MILLIS = [1_000, 4_000, 16_000, 60_000];
const TIMEOUT_MILLIS = 10_000;
const WAITING_AT_MOST = 100;

/** The value of `X-Convsweep-Signature`: HMAC-SHA256 over the time, a point and the body. */
export function signature(secret: string, seconds: number, body: string): string {
  return `t=${seconds},v1=${createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex")}`;
}

type Answer =
  | { readonly ok: true; readonly what: string }
  | { readonly ok: false; readonly what: string; readonly again: boolean };

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #queue: Notice[] = [];
  readonly #closing = new AbortController();
  #running: Promise<void> | null = null;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  send(notice: Notice): void {
    if (this.#closing.signal.aborted) return;
    if (this.#queue.length >= WAITING_AT_MOST) {
      this.#options.outcome(notice, "dropped", `${WAITING_AT_MOST} others wait`);
      return;
    }
    this.#queue.push(notice);
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  /** Ends the try that runs; what waits is not sent. */
  async close(): Promise<void> {
    this.#queue.length = 0;
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      const notice = this.#queue[0];
      if (notice === undefined) return;
      await this.#deliver(notice);
      // Only now: what is being sent counts as waiting.
      this.#queue.shift();
    }
  }

  async #deliver(notice: Notice): Promise<void> {
    const waits = this.#options.backOffMillis ?? BACK_OFF_MILLIS;
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#post(notice);
      if (this.#closing.signal.aborted) return;
      const wait = waits[tries - 1];
      const how = `${answer.what}, try ${tries}`;
      if (answer.ok) return this.#options.outcome(notice, "delivered", how);
      if (!answer.again || wait === undefined) return this.#options.outcome(notice, "failed", how);
      await this.#pause(wait);
      if (this.#closing.signal.aborted) return;
    }
  }

  async #post(notice: Notice): Promise<Answer> {
    const { url, secret, seconds } = this.#options;
    const body = JSON.stringify(notice.body);
    const headers: Record<string, string> = {
      "content-type": "application/json",
      "user-agent": "convsweep",
      "x-convsweep-event": notice.event,
      "x-convsweep-delivery": notice.id,
    };
    if (secret !== null) headers["x-convsweep-signature"] = signature(secret, seconds(), body);
    const timeout = AbortSignal.timeout(this.#options.timeoutMillis ?? TIMEOUT_MILLIS);
    const signal = AbortSignal.any([timeout, this.#closing.signal]);
    try {
      const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
      // Nothing in it is of use, and an endless one must not be read.
      await response.body?.cancel().catch(() => undefined);
      return answerOf(response.status);
    } catch (thrown) {
      return { ok: false, what: timeout.aborted ? "no answer in time" : reasonOf(thrown), again: true };
    }
  }

  #pause(wait: number): Promise<void> {
    const { signal } = this.#closing;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, wait);
      signal.addEventListener("abort", done);
    });
  }
}

function answerOf(status: number): Answer {
  if (status >= 200 && status < 300) return { ok: true, what: `answered ${status}` };
  if (status >= 300 && status < 400)
    return { ok: false, what: `answered ${status}; redirects are not followed`, again: false };
  return { ok: false, what: `answered ${status}`, again: status >= 500 || status === 408 || status === 429 };
}

/** The system's word for it, without the address. */
function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return code === "" ? "the connection failed" : `the connection failed (${code})`;
}
