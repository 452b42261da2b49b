/**
 * The gRPC port: a listener of our own in front of the library's server, so that TLS and limits on connections are ours.
 *
 * Guarantees: with `tls` every connection is TLS 1.3, and with `mutual` the client's certificate is signed by the store's
 * authority before a byte reaches the library; a renewed certificate is used at once for new connections. A port that is
 * taken is reported with the address and what to do, or, where the owner allows it, replaced by a free one. Keepalive
 * finds dead peers within 15 s; what one peer may make the library hold is bounded. Not here: services, tokens
 * (authorize.ts), how many connections and for how long (connections.ts).
 */
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { Server, ServerCredentials, type ServerInterceptor } from "@grpc/grpc-js";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import { type AdminServiceServer, AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { type WorkerServiceServer, WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";
import type { Connections, ShownCertificate } from "./connections.js";
import type { ServerTls } from "./server-tls.js";

const DRAIN_MILLIS = 1_000;

/** None of the library's own defaults would do: keepalive off, idle for ever, session memory without a bound. */
const SERVER_OPTIONS = {
  "grpc.max_receive_message_length": LIMITS.linkMessageBytes,
  // What is sent is our own: a snapshot of many trials is one large message.
  "grpc.max_send_message_length": -1,
  "grpc.max_concurrent_streams": 64,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.max_connection_idle_ms": 300_000,
  "grpc-node.max_session_memory": 32,
  "grpc.enable_channelz": 0,
} as const;

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface GrpcParts {
  readonly admin: AdminServiceServer;
  readonly worker: WorkerServiceServer;
  readonly interceptors: ServerInterceptor[];
  readonly connections: Connections;
  /** `null`: plaintext. */
  readonly tls: ServerTls | null;
  /** Clients must show a certificate. */
  readonly mutual: boolean;
}

export interface GrpcListener {
  readonly address: string;
  /** Takes connections. */
  readonly listening: boolean;
  /** Takes no more connections; those that are open go on. */
  stopAccepting(): void;
  /** Lets calls that were answered reach their clients, for at most a second, then ends every connection. */
  drain(): Promise<void>;
  /** Ends every connection at once. */
  destroy(): Promise<void>;
}

export async function listenGrpc(at: Address, fallbackPort: boolean, parts: GrpcParts): Promise<GrpcListener> {
  const { connections, tls } = parts;
  const server = new Server({ ...SERVER_OPTIONS, interceptors: parts.interceptors });
  server.addService(AdminServiceService, parts.admin);
  server.addService(WorkerServiceService, parts.worker);
  // The library takes a TLS socket whose handshake has ended like any other connection.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const secured =
    tls === null ? null : secure(tls, parts.mutual, connections, (socket) => injector.injectConnection(socket));
  const listener = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    if (!connections.accept(socket, tls === null)) return;
    if (secured === null) injector.injectConnection(socket);
    else secured(socket);
  });
  const address = await listen(listener, at, fallbackPort, "gRPC");
  const closed = new Promise<void>((resolve) => void listener.once("close", resolve));
  const stopAccepting = (): void => {
    if (listener.listening) listener.close();
  };
  const destroy = async (): Promise<void> => {
    stopAccepting();
    server.forceShutdown();
    connections.destroyAll();
    await closed;
  };
  return {
    address,
    get listening() {
      return listener.listening;
    },
    stopAccepting,
    async drain() {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, DRAIN_MILLIS);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
      await destroy();
    },
    destroy,
  };
}

/** Answers what begins a handshake on a socket; `secured` gets those that ended well. */
function secure(
  tls: ServerTls,
  mutual: boolean,
  connections: Connections,
  secured: (socket: Socket) => void,
): (socket: Socket) => void {
  const server = createTlsServer({
    ...tls.options,
    ALPNProtocols: ["h2"],
    requestCert: mutual,
    rejectUnauthorized: mutual,
  });
  server.on("secureConnection", (socket) => {
    socket.on("error", () => socket.destroy());
    connections.greeted(socket, mutual ? shownBy(socket) : null);
    // Without ALPN it would not be HTTP/2 to the library.
    if (socket.alpnProtocol === "h2") secured(socket);
    else socket.destroy();
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  tls.onRenewal((options) => server.setSecureContext(options));
  return (socket) => void server.emit("connection", socket);
}

function shownBy(socket: TLSSocket): ShownCertificate | null {
  const { serialNumber, subject } = socket.getPeerCertificate();
  return socket.authorized ? { serial: serialNumber, unit: String(subject.OU ?? "") } : null;
}

/** Listens and answers `HOST:PORT`; shared with the HTTP port. */
export async function listen(server: NetServer, at: Address, fallbackPort: boolean, what: string): Promise<string> {
  try {
    return await listenOnce(server, at);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "EADDRINUSE" && fallbackPort) return await listenOnce(server, { host: at.host, port: 0 });
    throw new ConvsweepError("CONFLICT", `${reasonFor(code, what, at)}`, {
      path: what.toLowerCase(),
      expected: "an address of this machine and a port that is free",
      found: `${at.host}:${at.port}`,
      cause: error,
    });
  }
}

function reasonFor(code: unknown, what: string, at: Address): string {
  const where = `${at.host}:${at.port}`;
  if (code === "EADDRINUSE") {
    return (
      `the ${what} port ${where} is taken by another program, perhaps another coordinator ` +
      `(\`ss -ltnp 'sport = :${at.port}'\` names it): stop it, or choose another port; 0 takes any that is free`
    );
  }
  if (code === "EACCES") return `this user may not open the ${what} port ${where}: choose one above 1023`;
  return `cannot listen on the ${what} address ${where} (${String(code)})`;
}

function listenOnce(server: NetServer, at: Address): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: at.host, port: at.port, exclusive: true }, () => {
      server.off("error", reject);
      const bound = server.address();
      const port = bound !== null && typeof bound === "object" ? bound.port : at.port;
      resolve(at.host.includes(":") ? `[${at.host}]:${port}` : `${at.host}:${port}`);
    });
  });
}

const isEverywhere = (host: string): boolean => host === "0.0.0.0" || host === "::";

/** How a program on this machine reaches what listens at `address`. */
export function fromHere(address: string): string {
  return address.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:");
}

/** The host names under which a browser reaches what listens at `host`. */
export function namesOf(host: string): readonly string[] {
  if (!isEverywhere(host)) return [];
  const addresses = Object.values(networkInterfaces()).flatMap((cards) => (cards ?? []).map((card) => card.address));
  return [hostname(), ...addresses.map((one) => (one.includes(":") ? `[${one.replace(/%.*$/, "")}]` : one))];
}
