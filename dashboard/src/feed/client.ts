/**
 * The page's end of the WebSocket at /feed: asks for a ticket, connects, resumes by (feed, seq), reconnects for ever with
 * growing pauses.
 *
 * Guarantees: `onModel` sees every model in order, at most one a frame; a gap or a message that cannot be read ends the
 * socket and asks again, first from the last good `seq`, the second time for a whole snapshot. `onReports` gets every
 * report of the feed once per delivery, and `null` after a snapshot (reports may have been missed).
 *
 * Not here: what a message means (reducer.ts). Everything of the browser comes in through `FeedWorld`.
 */
import { TIMES } from "../../../proto/contract.js";
import type { FeedHello, FeedMessage, ReportRow } from "../../../proto/feed.js";
import { emptyModel, type Model, reduce } from "./reducer.js";

/**
 * `live`: connected. `reconnecting`: lost, trying. `gone`: no answer for `GONE_AFTER` ms, still trying.
 * `signed-out`: the coordinator answers but does not know this browser; a new login link is needed.
 */
export type Connection = "connecting" | "live" | "reconnecting" | "gone" | "signed-out";

export const GONE_AFTER = 30_000;

/** The part of WebSocket that is used. */
export interface FeedSocket {
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface FeedWorld {
  /** Asks the coordinator for leave to open one socket; it may not answer, or not know us. */
  ticket(): Promise<{ readonly ticket: string } | "signed-out" | "silent">;
  open(ticket: string): FeedSocket;
  now(): number;
  random(): number;
  later(run: () => void, millis: number): () => void;
  /** Runs before the next frame, or soon when the page is hidden. */
  frame(run: () => void): void;
}

export interface FeedEvents {
  onModel(model: Model): void;
  onReports(reports: readonly ReportRow[] | null): void;
  onConnection(connection: Connection): void;
}

export class FeedClient {
  readonly #world: FeedWorld;
  readonly #events: FeedEvents;
  #model: Model = emptyModel;
  #socket: FeedSocket | null = null;
  #asking = false;
  #connection: Connection = "connecting";
  #lostAt: number | null = null;
  #failures = 0;
  /** After a second gap at the same place only a snapshot helps. */
  #gapAt: number | null = null;
  #wholeSnapshot = false;
  #publishing = false;
  #cancelRetry: (() => void) | null = null;

  constructor(world: FeedWorld, events: FeedEvents) {
    this.#world = world;
    this.#events = events;
  }

  start(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    if (this.#socket !== null || this.#asking) return;
    this.#asking = true;
    void this.#world.ticket().then((answer) => {
      this.#asking = false;
      if (typeof answer === "string") this.#lost(answer === "signed-out");
      else this.#open(this.#world.open(answer.ticket));
    });
  }

  /** The network is back or somebody looks at the page again: do not wait for the pause to end. */
  hurry(): void {
    if (this.#cancelRetry !== null) this.start();
  }

  #open(socket: FeedSocket): void {
    this.#socket = socket;
    socket.onopen = () => {
      const { feed, seq, rest } = this.#model;
      const resume = feed === null || rest > 0 || this.#wholeSnapshot ? null : { feed, seq };
      socket.send(JSON.stringify({ kind: "hello", resume, parts: true } satisfies FeedHello));
      if (resume !== null) this.#live();
    };
    socket.onmessage = (event) => {
      if (this.#socket === socket) this.#receive(event.data);
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#lost(false);
    };
  }

  #receive(data: unknown): void {
    const message = readMessage(data);
    const reduction = message === null ? null : reduce(this.#model, message);
    if (message === null || reduction === null || reduction.outcome === "gap") {
      this.#wholeSnapshot = message === null || this.#gapAt === this.#model.seq || this.#model.feed === null;
      this.#gapAt = this.#model.seq;
      const socket = this.#socket;
      this.#socket = null;
      socket?.close();
      this.#lost(false);
      return;
    }
    if (reduction.outcome === "repeated") return;
    this.#model = reduction.model;
    this.#gapAt = null;
    this.#wholeSnapshot = false;
    this.#live();
    if (message.kind === "snapshot") this.#events.onReports(null);
    else if (message.kind === "delta") {
      const reports = message.changes.flatMap((change) => (change.kind === "report" ? [change.row] : []));
      if (reports.length > 0) this.#events.onReports(reports);
    }
    // Drawing what is on its way would make it come later.
    if (message.kind !== "rows" || this.#model.rest === 0) this.#publish();
  }

  #publish(): void {
    if (this.#publishing) return;
    this.#publishing = true;
    this.#world.frame(() => {
      this.#publishing = false;
      this.#events.onModel(this.#model);
    });
  }

  #live(): void {
    this.#failures = 0;
    this.#lostAt = null;
    this.#show("live");
  }

  #lost(signedOut: boolean): void {
    this.#lostAt ??= this.#world.now();
    const pause = Math.min(TIMES.reconnectMax, TIMES.reconnectMin * 2 ** this.#failures);
    this.#failures += 1;
    this.#show(signedOut ? "signed-out" : this.#lostState(this.#world.now() - this.#lostAt));
    // A full pause of jitter keeps 100 viewers of a restarted coordinator apart.
    this.#cancelRetry = this.#world.later(() => this.start(), pause * (0.5 + this.#world.random()));
  }

  /** Between two tries the page keeps saying what is known until something else is. */
  #lostState(millis: number): Connection {
    if (millis >= GONE_AFTER) return "gone";
    if (this.#connection === "signed-out") return "signed-out";
    return this.#model.feed === null && this.#failures <= 1 ? "connecting" : "reconnecting";
  }

  #show(connection: Connection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.#events.onConnection(connection);
  }
}

/** `null` for what is not a message of the feed. Rows are the coordinator's and are taken as they are. */
export function readMessage(data: unknown): FeedMessage | null {
  if (typeof data !== "string") return null;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("kind" in value)) return null;
  const message = value as { readonly [key: string]: unknown };
  if (!Number.isSafeInteger(message["seq"])) return null;
  if (message["kind"] === "delta") return Array.isArray(message["changes"]) ? (value as FeedMessage) : null;
  if (message["kind"] === "rows") return Array.isArray(message["trials"]) ? (value as FeedMessage) : null;
  if (!Number.isSafeInteger(message["rest"])) return null;
  if (message["kind"] !== "snapshot" || typeof message["feed"] !== "string") return null;
  const lists = [message["sweeps"], message["trials"], message["workers"]];
  return lists.every((list) => Array.isArray(list)) ? (value as FeedMessage) : null;
}
