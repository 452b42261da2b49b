/**
 * The coordinator as the page sees it, over real sockets on 127.0.0.1: the built page under the product's strict
 * headers, /feed with its tickets, snapshot, deltas and resume, /api/curves, /api/trials. What happens is the test's script.
 *
 * Not here: authentication, limits; those are tested with the real coordinator.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { type WebSocket, WebSocketServer } from "ws";
import type { FeedChange, FeedHello, FeedMessage, ReportRow, SweepRow, TrialRow, WorkerRow } from "../../proto/feed.js";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
  "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; " +
  "require-trusted-types-for 'script'";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

export class ScriptedCoordinator {
  readonly sweeps = new Map<number, SweepRow>();
  readonly trials = new Map<string, TrialRow>();
  readonly workers = new Map<string, WorkerRow>();
  readonly reports = new Map<string, ReportRow[]>();
  /** Every hello that came in, oldest first. */
  readonly hellos: FeedHello[] = [];
  /** Files of every trial: name, media type and content; each has its place in the list, from 1, as its number. */
  files: readonly { readonly name: string; readonly mediaType: string; readonly content: string }[] = [];
  /** While true /feed answers 401, as to a browser that is not signed in. */
  refuse = false;
  readonly #pageDirectory: string;
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #deltas: FeedMessage[] = [];
  readonly #tickets = new Set<string>();
  #seq = 0;
  #asked = 0;
  #helloWaits: (() => void)[] = [];

  constructor(pageDirectory: string) {
    this.#pageDirectory = pageDirectory;
    this.#server.on("upgrade", (request, socket, head) => {
      const { searchParams } = new URL(request.url ?? "/", "http://127.0.0.1");
      if (this.refuse || !this.#tickets.delete(searchParams.get("ticket") ?? "")) {
        socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
        return;
      }
      this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#welcome(ws));
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Fills the tables without telling anybody. */
  fill(changes: readonly FeedChange[]): void {
    for (const change of changes) {
      if (change.kind === "sweep") this.sweeps.set(change.row.id, change.row);
      else if (change.kind === "trial") this.trials.set(change.row.id, change.row);
      else if (change.kind === "worker") this.workers.set(change.row.id, change.row);
      else this.reports.set(change.row.trial, [...(this.reports.get(change.row.trial) ?? []), change.row]);
    }
  }

  push(changes: readonly FeedChange[]): void {
    this.fill(changes);
    this.#seq += 1;
    const delta: FeedMessage = { kind: "delta", seq: this.#seq, changes };
    this.#deltas.push(delta);
    for (const socket of this.#sockets.clients) socket.send(JSON.stringify(delta));
  }

  /** Every socket is lost, as by a network that fails. */
  cut(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  nextHello(): Promise<void> {
    return new Promise((resolve) => this.#helloWaits.push(resolve));
  }

  #welcome(socket: WebSocket): void {
    socket.once("message", (data) => {
      const hello = JSON.parse(String(data)) as FeedHello;
      this.hellos.push(hello);
      if (hello.resume?.feed === "life-1") {
        for (const delta of this.#deltas) if (delta.seq > hello.resume.seq) socket.send(JSON.stringify(delta));
      } else {
        const snapshot: FeedMessage = {
          kind: "snapshot",
          feed: "life-1",
          seq: this.#seq,
          version: "0.1.0",
          rest: 0,
          sweeps: [...this.sweeps.values()],
          trials: [...this.trials.values()],
          workers: [...this.workers.values()],
        };
        socket.send(JSON.stringify(snapshot));
      }
      for (const wake of this.#helloWaits.splice(0)) wake();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    response.setHeader("Content-Security-Policy", POLICY);
    response.setHeader("X-Content-Type-Options", "nosniff");
    if (url.pathname.startsWith("/api/")) {
      const answer = this.refuse ? null : this.#api(url, request);
      response.statusCode = this.refuse ? 401 : answer === null ? 404 : 200;
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify(answer ?? { code: "NOT_FOUND", message: "there is nothing of that name" }));
      return;
    }
    const file = this.files[Number(/^\/artifacts\/([0-9]+)$/.exec(url.pathname)?.[1]) - 1];
    if (file !== undefined) {
      response.setHeader("Content-Type", file.mediaType);
      response.setHeader("Content-Disposition", "attachment");
      response.end(file.content);
      return;
    }
    const path = url.pathname === "/" ? "/index.html" : normalize(url.pathname);
    const body = await readFile(join(this.#pageDirectory, path)).catch(() => null);
    response.statusCode = body === null ? 404 : 200;
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    response.end(body ?? "");
  }

  #api(url: URL, { method, headers }: IncomingMessage): unknown {
    if (url.pathname === "/api/session") return { csrf: "this page" };
    if (url.pathname === "/api/ws-ticket") {
      if (method !== "POST" || headers["x-csrf"] !== "this page") return null;
      const ticket = `ticket-${this.#asked++}`;
      this.#tickets.add(ticket);
      return { ticket };
    }
    if (url.pathname === "/api/curves") {
      const sweep = Number(url.searchParams.get("sweep"));
      const limit = Number(url.searchParams.get("limit"));
      const rows = [...this.trials.values()].filter((row) => row.sweep === sweep);
      const best = rows.filter((row) => row.best !== null && row.state !== "failed");
      best.sort((a, b) => (b.best ?? 0) - (a.best ?? 0));
      const wanted = new Set([...best.slice(0, limit), ...rows.filter((row) => row.state === "running")]);
      const curves = [...wanted].map((row) => ({ trial: row.id, reports: this.reports.get(row.id) ?? [] }));
      return { sweep, seq: this.#seq, curves };
    }
    const trial = this.trials.get(url.pathname.replace("/api/trials/", ""));
    if (trial === undefined) return null;
    const at = trial.startedAt ?? trial.createdAt;
    return {
      trial,
      reports: this.reports.get(trial.id) ?? [],
      attempts: [
        { id: `${trial.id}#1`, n: 1, state: trial.state, worker: trial.worker, device: trial.device, startedAt: at },
      ],
      artifacts: this.files.map(({ name, mediaType }, i) => ({ id: i + 1, name, mediaType, epoch: 0 })),
      events: [
        { at: trial.createdAt, kind: "trial-created", detail: "sampled" },
        { at, kind: "attempt-started", detail: `on ${trial.worker} ${trial.device}` },
      ],
    };
  }
}
