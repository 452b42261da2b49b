/**
 * The dashboard's HTTP server: the ways in, in front of routes (http-routes.ts) and feed (feed-socket.ts).
 *
 * Guarantees: every request has an expected Host and a plain path, a WebSocket also the page's own Origin, a session and a
 * ticket that this session was given for it; each route has its method, none a body; limits on time, sizes and connections, in all and from one address; with `tls` HTTPS
 * from TLS 1.3 on, and a renewed certificate is used without a restart; what listens on 127.0.0.1 does so on [::1] too,
 * where this machine has it, so that `localhost` is the page whichever a browser takes it for. Errors are JSON without stacks or paths of this
 * machine. Not here: commands; they go through the admin service.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { toConvsweepError } from "../../proto/contract.js";
import { isLoopback } from "../../proto/tls.js";
import { plainAddress } from "./connections.js";
import type { FeedSockets } from "./feed-socket.js";
import { type Address, listen } from "./grpc-listener.js";
import { sendError, sendText } from "./http-answers.js";
import { Guard, secure } from "./http-guard.js";
import { methodsOf, type RouteParts, route } from "./http-routes.js";
import type { Log } from "./log.js";
import type { Logins } from "./logins.js";
import type { Refusal } from "./metrics/meter.js";
import type { ServerTls } from "./server-tls.js";

export interface HttpParts extends RouteParts {
  readonly logins: Logins;
  readonly sockets: FeedSockets;
  /** Further host names the page is opened under. */
  readonly names: readonly string[];
  /** `null`: plaintext. */
  readonly tls: ServerTls | null;
  readonly log: Log;
}

export interface HttpServer {
  readonly address: string;
  readonly scheme: "http" | "https";
  /** Takes connections. */
  readonly listening: boolean;
  close(): Promise<void>;
}

const OPTIONS = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 16 << 10,
  connectionsCheckingInterval: 2_000,
  handshakeTimeout: 10_000,
} as const;

const CONNECTIONS = 512;
const CONNECTIONS_AN_ADDRESS = 64;
/** Of this machine, where SSH tunnels end too. */
const CONNECTIONS_HERE = 256;

export async function listenHttp(at: Address, fallbackPort: boolean, parts: HttpParts): Promise<HttpServer> {
  const { tls } = parts;
  const server = newServer(tls);
  const address = await listen(server, at, fallbackPort, "HTTP");
  const guard = new Guard(address, parts.names, parts.logins, tls !== null);
  serve(server, guard, parts);
  const twin = at.host === "127.0.0.1" || at.host === "localhost" ? await listenBeside(address, guard, parts) : null;
  const servers = twin === null ? [server] : [server, twin];
  return {
    address,
    scheme: tls === null ? "http" : "https",
    get listening() {
      return servers.every((one) => one.listening);
    },
    async close() {
      parts.sockets.close();
      await Promise.all(servers.map(closed));
    },
  };
}

/** The same port of [::1]; `null` where there is no IPv6, or another program has it. */
async function listenBeside(address: string, guard: Guard, parts: HttpParts): Promise<Server | null> {
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  const server = newServer(parts.tls);
  try {
    await listen(server, { host: "::1", port }, false, "HTTP");
  } catch (thrown) {
    const { message } = toConvsweepError(thrown);
    parts.log("debug", "page-not-doubled", `the page is not on [::1]: ${message}`, { port });
    return null;
  }
  serve(server, guard, parts);
  return server;
}

function closed(server: Server): Promise<void> {
  const done = new Promise<void>((resolve) => void server.close(() => resolve()));
  server.closeAllConnections();
  return done;
}

function newServer(tls: ServerTls | null): Server {
  const server = tls === null ? createServer(OPTIONS) : createHttps(tls);
  server.maxHeadersCount = 100;
  server.maxConnections = CONNECTIONS;
  server.maxRequestsPerSocket = 1_000;
  limitAddresses(server);
  return server;
}

function serve(server: Server, guard: Guard, parts: HttpParts): void {
  const { tls } = parts;
  server.on("request", (request, response) => {
    secure(response, tls !== null);
    try {
      answer(request, response, guard, parts);
    } catch (thrown) {
      const error = toConvsweepError(thrown);
      if (error.code === "INTERNAL")
        parts.log("error", "page-question-failed", `a page's question failed: ${error.message}`, { url: request.url });
      sendError(response, error);
    }
  });
  server.on("upgrade", (request, socket, head) => upgrade(request, socket, head, guard, parts));
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || !error.code?.startsWith("HPE_")) socket.destroy();
    else if (error.code === "HPE_HEADER_OVERFLOW") refuse(socket, "431 Request Header Fields Too Large");
    else refuse(socket, "400 Bad Request");
  });
}

function createHttps(tls: ServerTls): Server {
  const server = createHttpsServer({ ...OPTIONS, ...tls.options });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  tls.onRenewal((options) => server.setSecureContext(options));
  return server as unknown as Server;
}

/** Counted when they come, before any handshake. */
function limitAddresses(server: Server): void {
  const open = new Map<string, number>();
  server.prependListener("connection", (socket: Socket) => {
    const address = plainAddress(socket.remoteAddress ?? "");
    const now = (open.get(address) ?? 0) + 1;
    open.set(address, now);
    socket.once("close", () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
    if (now > (isLoopback(address) ? CONNECTIONS_HERE : CONNECTIONS_AN_ADDRESS)) socket.destroy();
  });
}

function answer(request: IncomingMessage, response: ServerResponse, guard: Guard, parts: HttpParts): void {
  if (!guard.knowsHost(request)) {
    parts.refused("http", "host");
    sendText(response, 421, "This server is not known under that name.\n");
    return;
  }
  const target = targetOf(request);
  const methods = methodsOf(target.path, parts);
  if (!methods.includes(request.method ?? "")) {
    response.setHeader("Allow", methods.join(", "));
    response.setHeader("Connection", "close");
    sendText(response, 405, `Only ${methods[0]}.\n`);
    return;
  }
  if (hasBody(request)) {
    response.setHeader("Connection", "close");
    sendText(response, 400, "A question has no body.\n");
    return;
  }
  route({ request, response, guard, parts, ...target });
}

function hasBody(request: IncomingMessage): boolean {
  const { headers } = request;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

function targetOf(request: IncomingMessage): { readonly path: string; readonly query: URLSearchParams } {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  if (mark < 0) return { path: target, query: new URLSearchParams() };
  return { path: target.slice(0, mark), query: new URLSearchParams(target.slice(mark + 1)) };
}

function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, guard: Guard, parts: HttpParts): void {
  const { sockets } = parts;
  socket.on("error", () => socket.destroy());
  const session = guard.session(request);
  const refusal = refusalOf();
  if (refusal !== null) {
    if (refusal.why !== null) parts.refused("feed", refusal.why);
    refuse(socket, refusal.status);
    return;
  }
  if (session !== null) sockets.upgrade(request, socket, head, session);

  function refusalOf(): { readonly status: string; readonly why: Refusal | null } | null {
    if (!guard.knowsHost(request)) return { status: "421 Misdirected Request", why: "host" };
    if (!guard.hasOwnOrigin(request)) return { status: "403 Forbidden", why: "origin" };
    if (session === null) return { status: "401 Unauthorized", why: "unauthenticated" };
    const { path, query } = targetOf(request);
    if (path !== FEED_PATH) return { status: "404 Not Found", why: null };
    // Shows that the one who opens it can read this server's answers, as no page from elsewhere can.
    if (!guard.useTicket(session, query.get("ticket") ?? "")) return { status: "403 Forbidden", why: "ticket" };
    return sockets.accept(session.name) ? null : { status: "429 Too Many Requests", why: "limit" };
  }
}

/** The only WebSocket there is. */
export const FEED_PATH = "/feed";

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
