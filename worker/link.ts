/**
 * The worker's end of the `Link` stream: one after another, for as long as the worker lives.
 *
 * Guarantees: at most one link at a time; nothing of an older link is ever delivered after its `linkDown`; a lost link
 * is opened again after a back-off with full jitter, which starts anew once the coordinator has answered; a refusal that
 * trying again cannot mend (token, certificates, protocol version) ends the link for good with a clear message: since the
 * library calls every trouble with TLS "unavailable", three failures in a row are looked into. Delivers messages as they
 * come, without looking into them. Not here: what they mean (agent.ts).
 */
import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import type { LinkRequest, LinkResponse, WorkerServiceClient } from "../proto/gen/convsweep/v1/worker.js";
import type { Secret } from "../proto/secret.js";
import { probe } from "../proto/tls.js";
import { reconnectDelay } from "./backoff.js";
import { bearer, dial, type TlsSource } from "./dial.js";

export type LinkEvent =
  | { readonly kind: "linkUp" }
  | { readonly kind: "linkDown"; readonly reason: string; readonly retryMillis: number }
  | { readonly kind: "received"; readonly message: LinkResponse }
  /**
   * No further try will be made. `exitCode` 77: certificates; 78: refused; 70: the coordinator could not make sense of
   * this worker.
   */
  | { readonly kind: "refused"; readonly reason: string; readonly exitCode: 70 | 77 | 78 };

export interface LinkOptions {
  /** HOST:PORT */
  readonly address: string;
  readonly token: Secret;
  readonly tls?: TlsSource;
  readonly onEvent: (event: LinkEvent) => void;
  /** In [0, 1). */
  readonly random?: () => number;
  /** How long the coordinator may take to answer a new link. */
  readonly answerMillis?: number;
}

const ANSWER_MILLIS = 10_000;
/** Failures in a row after which TLS is looked into. */
const PROBE_AFTER = 3;
const PROBE_MILLIS = 3_000;

/** What trying again cannot mend, in words for the person who started the worker. */
function refusalOf(error: ServiceError): { readonly reason: string; readonly exitCode: 70 | 78 } | null {
  switch (error.code) {
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return {
        reason: `the coordinator refused the token (${error.details}); check --token-file or --identity`,
        exitCode: 78,
      };
    case status.FAILED_PRECONDITION:
      return { reason: `the coordinator refused this worker: ${error.details}`, exitCode: 78 };
    case status.UNIMPLEMENTED:
      return { reason: `no convsweep coordinator answers there (${error.details}); check --coordinator`, exitCode: 78 };
    case status.INVALID_ARGUMENT:
      return { reason: `the coordinator could not read this worker's message: ${error.details}`, exitCode: 70 };
    default:
      return null;
  }
}

interface OpenLink {
  readonly client: WorkerServiceClient;
  readonly stream: ClientDuplexStream<LinkRequest, LinkResponse>;
  answered: boolean;
  timer: NodeJS.Timeout | null;
}

export class Link {
  private readonly options: LinkOptions;
  private current: OpenLink | null = null;
  private retry: NodeJS.Timeout | null = null;
  private failures = 0;
  /** Somebody who speaks as we do has answered there, ever. */
  private wasAnswered = false;
  private closed = false;

  constructor(options: LinkOptions) {
    this.options = options;
  }

  /** Begins to connect; `linkUp` follows at once, then the agent's Hello goes out with the connection. */
  open(): void {
    if (this.closed || this.current) return;
    const client = dial(this.options.address, this.options.tls?.() ?? null);
    const link: OpenLink = { client, stream: client.link(bearer(this.options.token)), answered: false, timer: null };
    this.current = link;
    const answerMillis = this.options.answerMillis ?? ANSWER_MILLIS;
    link.timer = setTimeout(() => {
      this.end(link, `no answer within ${answerMillis / 1000} s`);
    }, answerMillis);
    link.stream.on("data", (message: LinkResponse) => {
      if (this.current !== link) return;
      if (!link.answered) {
        link.answered = true;
        this.wasAnswered = true;
        this.failures = 0;
        if (link.timer) clearTimeout(link.timer);
      }
      this.options.onEvent({ kind: "received", message });
    });
    link.stream.on("error", (error: ServiceError) => {
      const refusal = this.current === link ? refusalOf(error) : null;
      if (refusal) this.refuse(refusal);
      else this.end(link, error.details || error.message);
    });
    link.stream.on("end", () => {
      this.end(link, "the coordinator ended the link");
    });
    this.options.onEvent({ kind: "linkUp" });
  }

  /** Messages sent while no link is open are dropped: the agent sends them again on the next one. */
  send(message: LinkRequest): void {
    this.current?.stream.write(message);
  }

  /** Gives this link up and opens another. */
  relink(reason: string): void {
    if (this.current) this.end(this.current, reason);
  }

  /** For good. What was written already is flushed as far as the connection allows. */
  close(): void {
    this.closed = true;
    if (this.retry) clearTimeout(this.retry);
    const link = this.current;
    this.current = null;
    if (!link) return;
    if (link.timer) clearTimeout(link.timer);
    link.stream.end();
    link.client.close();
  }

  /** Three times in a row nothing came of it: says so for good if certificates are why. */
  private async lookIntoTls(): Promise<void> {
    const trouble = await probe(this.options.address, this.options.tls?.() ?? null, PROBE_MILLIS);
    if (trouble === null || this.closed || this.failures < PROBE_AFTER) return;
    // One that once spoke TLS and says nothing now is stopped, ending or overrun: that passes.
    if (trouble.proven || !this.wasAnswered) this.refuse({ reason: trouble.reason, exitCode: 77 });
  }

  private refuse(refusal: { readonly reason: string; readonly exitCode: 70 | 77 | 78 }): void {
    this.close();
    this.options.onEvent({ kind: "refused", ...refusal });
  }

  private end(link: OpenLink, reason: string): void {
    if (this.current !== link) return;
    this.current = null;
    if (link.timer) clearTimeout(link.timer);
    link.stream.cancel();
    link.client.close();
    const retryMillis = reconnectDelay(this.failures, (this.options.random ?? Math.random)());
    this.failures += 1;
    if (this.failures % PROBE_AFTER === 0) void this.lookIntoTls();
    this.options.onEvent({ kind: "linkDown", reason, retryMillis });
    if (this.closed) return;
    this.retry = setTimeout(() => this.open(), retryMillis);
  }
}
