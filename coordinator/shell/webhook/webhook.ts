/**
 * The webhook: tells one address how sweeps end and when trials fail.
 *
 * Guarantees: it never holds up the loop; every message is a line in `events` when it is due, and another when it is
 * delivered, has failed or is dropped; what a restart interrupted is told by the next coordinator that has a webhook, with
 * the same id: at least once, so a receiver may hear it twice. The address comes from the coordinator's own command line: a sweep file cannot make it send anything anywhere.
 * Not here: what is told (notices.ts), how (delivery.ts).
 */
import { readFileSync, statSync } from "node:fs";
import { ConvsweepError } from "../../../proto/contract.js";
import { isLoopback } from "../../../proto/tls.js";
import type { Mutation, NoteKind } from "../../core/events.js";
import type { State } from "../../core/state.js";
import type { Store } from "../../store/store.js";
import type { Clock } from "../clock.js";
import type { Log } from "../log.js";
import type { Runtime } from "../runtime.js";
import { Delivery, type DeliveryOptions } from "./delivery.js";
import { type Notice, Notices, noticeOf, TOLD_EVENTS } from "./notices.js";
import { dueDetail, owedOf } from "./owed.js";

export interface WebhookSettings {
  readonly url: URL;
  readonly secret: string | null;
  /** For tests. */
  readonly delivery?: Pick<DeliveryOptions, "backOffMillis" | "timeoutMillis">;
}

export interface WebhookParts {
  readonly state: State;
  readonly store: Store;
  readonly runtime: Pick<Runtime, "push">;
  readonly clock: Clock;
  readonly log: Log;
}

/** How far back an interrupted delivery is looked for: of all events, and of those that count. */
const EVENTS_LOOKED_THROUGH = 200_000;
const EVENTS_LOOKED_AT = 20_000;
const OWN_EVENTS: readonly NoteKind[] = [
  "webhook-configured",
  "webhook-due",
  "webhook-delivered",
  "webhook-failed",
  "webhook-dropped",
];

export class Webhook {
  readonly #parts: WebhookParts;
  readonly #origin: string;
  readonly #notices: Notices;
  readonly #delivery: Delivery;

  constructor(settings: WebhookSettings, parts: WebhookParts) {
    this.#parts = parts;
    this.#origin = settings.url.origin;
    this.#delivery = new Delivery({
      ...settings.delivery,
      url: settings.url,
      secret: settings.secret,
      seconds: () => Math.floor(parts.clock.now() / 1_000),
      outcome: (notice, result, detail) => this.#outcome(notice, result, detail),
    });
    this.#notices = new Notices(parts.state, parts.clock, (notice) => this.#due(notice));
    const kinds = [...TOLD_EVENTS, ...OWN_EVENTS];
    const { again, news } = owedOf(parts.store.eventsOf(kinds, EVENTS_LOOKED_AT, EVENTS_LOOKED_THROUGH));
    this.#note("webhook-configured", null, `${this.#origin}${settings.secret === null ? ", not signed" : ", signed"}`);
    for (const { event, trials } of again) this.#delivery.send(noticeOf(parts.state, event, trials));
    for (const event of news) this.#notices.note(event);
  }

  /** What a turn recorded; durable and applied. */
  turnEnded(mutations: readonly Mutation[]): void {
    for (const mutation of mutations) if (mutation.kind === "addEvent") this.#notices.note(mutation.event);
  }

  async close(): Promise<void> {
    this.#notices.close();
    await this.#delivery.close();
  }

  /** On record before what follows in the record of events: a restart tells again what has no outcome. */
  #due(notice: Notice): void {
    this.#note("webhook-due", notice, dueDetail(this.#about(notice), notice.trials, notice.id));
    this.#delivery.send(notice);
  }

  #about({ event, sweep }: Notice): string {
    return `${event}${sweep === null ? "" : ` of sweep ${sweep}`} to ${this.#origin}`;
  }

  #outcome(notice: Notice, result: "delivered" | "failed" | "dropped", how: string): void {
    const about = this.#about(notice);
    if (result !== "delivered")
      this.#parts.log("warn", "webhook-trouble", `the webhook's message was ${result}: ${about}: ${how}`);
    this.#note(`webhook-${result}`, notice, `${about}: ${how} [${notice.id}]`);
  }

  #note(kind: NoteKind, notice: Notice | null, detail: string): void {
    this.#parts.runtime.push({ kind: "Noted", note: kind, sweep: notice?.sweep ?? null, trial: null, detail });
  }
}

/** The address as given on a command line. */
export function webhookUrl(text: string): URL {
  const refuse = (why: string): ConvsweepError =>
    new ConvsweepError("BAD_INPUT", `--webhook: ${why}`, {
      path: "--webhook",
      expected: "https://HOST/PATH, or http:// on this machine",
    });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refuse("expected an address such as https://example.org/hooks/convsweep");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw refuse(`expected https://, found ${url.protocol}//`);
  if (url.username !== "" || url.password !== "")
    throw refuse("no name and password in the address; sign messages with --webhook-secret FILE");
  if (url.protocol === "http:" && !isLoopback(url.hostname.replace(/^\[|\]$/g, "")))
    throw refuse("http:// only to this machine; names, values and results would travel in the open");
  return url;
}

/** The key in a file: at least 16 characters on one line, in a file of its owner alone. */
export function webhookSecret(file: string): string {
  const refuse = (message: string, expected: string): ConvsweepError =>
    new ConvsweepError("BAD_INPUT", `--webhook-secret: ${message}`, { path: "--webhook-secret", expected });
  let text: string;
  let mode: number;
  try {
    text = readFileSync(file, "utf8").trim();
    mode = statSync(file).mode;
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : "";
    throw refuse(`cannot read ${file}${code}`, "a file with one line");
  }
  if ((mode & 0o077) !== 0) throw refuse(`${file} can be read by others: \`chmod 600 ${file}\``, "mode 600");
  if (!/^[\x21-\x7e]{16,512}$/.test(text))
    throw refuse(`${file} holds no key`, "one line of 16 to 512 printable characters without spaces");
  return text;
}
