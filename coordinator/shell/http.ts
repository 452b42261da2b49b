/**
 * The dashboard's HTTP server: the page, its login, its feed and its two questions.
 *
 * Guarantees: every route but /healthz and /login needs a session (/metrics also takes a token), every request an expected Host, a WebSocket also its
 * own Origin; only GET and HEAD; limits on time, sizes and connections. Errors are JSON without stacks or paths of this
 * machine. Not here: commands; they go through the admin service.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type ConvsweepError, type ErrorCode, toConvsweepError } from "../../proto/contract.js";
import { type ApiParts, curves, trialDetails } from "./api.js";
import type { ArtifactFiles } from "./artifacts.js";
import type { FeedSockets } from "./feed-socket.js";
import { type Address, listen } from "./grpc-listener.js";
import { Guard, secure } from "./http-guard.js";
import type { Log } from "./log.js";
import type { Logins } from "./logins.js";
import type { Door, Refusal } from "./metrics/meter.js";
import { METRICS_TYPE } from "./metrics/text.js";
import type { StaticFile } from "./static-files.js";

export interface HttpParts extends ApiParts {
  readonly logins: Logins;
  readonly sockets: FeedSockets;
  readonly files: ReadonlyMap<string, StaticFile>;
  readonly artifacts: ArtifactFiles;
  /** Further host names the page is opened under. */
  readonly names: readonly string[];
  readonly log: Log;
  /** Told of everybody who is turned away. */
  readonly refused: (door: Door, why: Refusal) => void;
  /** Why nothing can be recorded; `null` when all is well. */
  readonly trouble: () => ConvsweepError | null;
  /** Prometheus' text. */
  readonly metrics: () => string;
  /** `Authorization: Bearer …` opens the metrics without a session: a collector has no browser. */
  readonly mayMeasure: (authorization: string | undefined) => boolean;
}

export interface HttpServer {
  readonly address: string;
  close(): Promise<void>;
}

const LOGIN_NEEDED =
  "This page needs a login link. The coordinator printed one when it started; " +
  "`convsweep page` on its machine prints a fresh one.\n";

export async function listenHttp(at: Address, fallbackPort: boolean, parts: HttpParts): Promise<HttpServer> {
  const server = createServer({
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    maxHeaderSize: 16 << 10,
    connectionsCheckingInterval: 2_000,
  });
  server.maxHeadersCount = 100;
  server.maxConnections = 512;
  server.maxRequestsPerSocket = 1_000;
  const address = await listen(server, at, fallbackPort, "HTTP");
  const guard = new Guard(address, parts.names, parts.logins);
  server.on("request", (request, response) => {
    secure(response);
    try {
      route(request, response, guard, parts);
    } catch (thrown) {
      const error = toConvsweepError(thrown);
      if (error.code === "INTERNAL")
        parts.log("error", "page-question-failed", `a page's question failed: ${error.message}`, { url: request.url });
      sendError(response, error);
    }
  });
  server.on("upgrade", (request, socket, head) => upgrade(request, socket, head, guard, parts));
  server.on("clientError", (_error, socket) => socket.destroy());
  return {
    address,
    async close() {
      parts.sockets.close();
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function route(request: IncomingMessage, response: ServerResponse, guard: Guard, parts: HttpParts): void {
  if (!guard.knowsHost(request)) {
    parts.refused("http", "host");
    sendText(response, 421, "This server is not known under that name.\n");
    return;
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("Allow", "GET, HEAD");
    sendText(response, 405, "Only GET.\n");
    return;
  }
  const { path, query } = targetOf(request);
  if (path === "/healthz") {
    const trouble = parts.trouble();
    if (trouble === null) sendText(response, 200, "ok\n");
    else sendText(response, 503, `${trouble.code.toLowerCase()}\n`);
    return;
  }
  if (path === "/login") {
    login(request, response, guard, query.get("otp") ?? "", parts);
    return;
  }
  if (path === "/metrics") {
    metrics(request, response, guard, parts);
    return;
  }
  if (guard.session(request) === null) {
    parts.refused("http", "unauthenticated");
    sendText(response, 401, LOGIN_NEEDED);
    return;
  }
  if (path === "/api/curves") {
    sendJson(response, 200, curves(parts, query));
    return;
  }
  const trial = /^\/api\/trials\/([0-9]+\/[0-9]+)$/.exec(path)?.[1];
  if (trial !== undefined) {
    sendJson(response, 200, trialDetails(parts, trial));
    return;
  }
  const artifact = /^\/artifacts\/([1-9][0-9]{0,14})$/.exec(path)?.[1];
  if (artifact !== undefined) {
    sendArtifact(request, response, Number(artifact), parts);
    return;
  }
  const file = parts.files.get(path);
  if (file) {
    sendFile(request, response, file);
    return;
  }
  if (path === "/") {
    sendText(response, 503, "The page is not built: run `npm run build`.\n");
    return;
  }
  sendText(response, 404, "There is nothing here.\n");
}

function targetOf(request: IncomingMessage): { readonly path: string; readonly query: URLSearchParams } {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  if (mark < 0) return { path: target, query: new URLSearchParams() };
  return { path: target.slice(0, mark), query: new URLSearchParams(target.slice(mark + 1)) };
}

function metrics(request: IncomingMessage, response: ServerResponse, guard: Guard, parts: HttpParts): void {
  if (guard.session(request) === null && !parts.mayMeasure(request.headers.authorization)) {
    parts.refused("metrics", "unauthenticated");
    response.setHeader("WWW-Authenticate", "Bearer");
    sendText(response, 401, "The metrics need a token: `Authorization: Bearer …`, see docs/metrics.md.\n");
    return;
  }
  response.setHeader("Cache-Control", "no-store");
  send(response, 200, METRICS_TYPE, Buffer.from(parts.metrics()));
}

function login(request: IncomingMessage, response: ServerResponse, guard: Guard, code: string, parts: HttpParts): void {
  response.setHeader("Cache-Control", "no-store");
  // A HEAD is a program looking, not a person opening: it must not use the code up.
  const cookie = request.method === "GET" ? guard.redeem(code) : null;
  if (cookie === null && guard.session(request) === null) {
    parts.refused("login", "unauthenticated");
    sendText(response, 401, `That login link was used already or is older than five minutes.\n${LOGIN_NEEDED}`);
    return;
  }
  if (cookie !== null) response.setHeader("Set-Cookie", cookie);
  response.setHeader("Location", "/");
  sendText(response, 303, "");
}

function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, guard: Guard, parts: HttpParts): void {
  const { sockets } = parts;
  const refuse = (status: string, why?: Refusal): void => {
    if (why !== undefined) parts.refused("feed", why);
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  };
  socket.on("error", () => socket.destroy());
  const session = guard.session(request);
  if (!guard.knowsHost(request)) {
    refuse("421 Misdirected Request", "host");
    return;
  }
  if (!guard.hasOwnOrigin(request)) {
    refuse("403 Forbidden", "origin");
    return;
  }
  if (session === null) {
    refuse("401 Unauthorized", "unauthenticated");
    return;
  }
  if (targetOf(request).path !== "/feed") {
    refuse("404 Not Found");
    return;
  }
  if (!sockets.accept(session)) {
    refuse("429 Too Many Requests", "limit");
    return;
  }
  sockets.upgrade(request, socket, head, session);
}

function sendText(response: ServerResponse, status: number, text: string): void {
  if (!response.hasHeader("Cache-Control")) response.setHeader("Cache-Control", "no-store");
  send(response, status, "text/plain; charset=utf-8", Buffer.from(text));
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.setHeader("Cache-Control", "no-store");
  send(response, status, "application/json; charset=utf-8", Buffer.from(JSON.stringify(value)));
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: StaticFile): void {
  response.setHeader("Cache-Control", file.cacheControl);
  response.setHeader("ETag", file.etag);
  response.setHeader("Vary", "Accept-Encoding");
  if (request.headers["if-none-match"] === file.etag) {
    response.writeHead(304).end();
    return;
  }
  const zipped = file.gzipped !== null && /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
  if (zipped) response.setHeader("Content-Encoding", "gzip");
  send(response, 200, file.type, zipped && file.gzipped !== null ? file.gzipped : file.body);
}

/** Never as anything that the browser would run: scripts in it are dead, and only pictures are shown in place. */
function sendArtifact(request: IncomingMessage, response: ServerResponse, id: number, parts: HttpParts): void {
  const artifact = parts.store.artifact(id);
  if (artifact === null) {
    sendText(response, 404, "There is no such artifact.\n");
    return;
  }
  const { digest, bytes, mediaType, name, epoch } = artifact;
  parts.artifacts.open(digest).then(
    (file) => {
      response.setHeader("Content-Security-Policy", "sandbox; default-src 'none'");
      response.setHeader("Cache-Control", "private, no-cache");
      response.setHeader("ETag", `"${digest}"`);
      const shown = mediaType.startsWith("image/") && mediaType !== "image/svg+xml";
      const fileName = `${name}${epoch > 0 ? `-${epoch}` : ""}.${mediaType.split("/")[1]?.replace("apng", "png")}`;
      response.setHeader("Content-Disposition", `${shown ? "inline" : "attachment"}; filename="${fileName}"`);
      if (request.headers["if-none-match"] === `"${digest}"`) {
        response.writeHead(304).end();
        void file.close();
        return;
      }
      response.writeHead(200, { "Content-Type": mediaType, "Content-Length": bytes });
      if (request.method === "HEAD") {
        response.end();
        void file.close();
        return;
      }
      const stream = file.createReadStream();
      stream.on("error", () => response.destroy());
      response.on("close", () => stream.destroy());
      stream.pipe(response);
    },
    (thrown: unknown) => sendError(response, toConvsweepError(thrown)),
  );
}

function sendError(response: ServerResponse, error: ConvsweepError): void {
  const known: Partial<Record<ErrorCode, number>> = {
    BAD_INPUT: 400,
    NOT_FOUND: 404,
    TOO_LARGE: 413,
    UNAVAILABLE: 503,
  };
  const status = known[error.code] ?? 500;
  const message = status === 500 ? "something went wrong; the coordinator's log says what" : error.message;
  sendJson(response, status, {
    code: error.code,
    message,
    path: error.path,
    expected: error.expected,
    found: error.found,
  });
}

function send(response: ServerResponse, status: number, type: string, body: Buffer): void {
  // For HEAD, node:http leaves the body out and keeps its length.
  response.writeHead(status, { "Content-Type": type, "Content-Length": body.length }).end(body);
}
