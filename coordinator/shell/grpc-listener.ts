/**
 * The gRPC port: a listener of our own in front of the library's server, so that limits on connections hold.
 *
 * Guarantees: a connection that stays silent is closed after ten seconds; there are at most 4,096 of them, the rest is
 * refused; a port that is taken is reported with the address and what to do, or, where the owner allows it, replaced by
 * a free one. Keepalive finds dead peers within 15 s. Not here: services, authentication, TLS.
 */
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { Server, ServerCredentials, type ServerInterceptor } from "@grpc/grpc-js";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import { type AdminServiceServer, AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { type WorkerServiceServer, WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";

const CONNECTIONS_AT_MOST = 4_096;
const SILENT_MILLIS = 10_000;
const DRAIN_MILLIS = 1_000;

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
}

export interface GrpcListener {
  readonly address: string;
  /** Takes no more connections; those that are open go on. */
  stopAccepting(): void;
  /** Lets calls that were answered reach their clients, for at most a second, then ends every connection. */
  drain(): Promise<void>;
  /** Ends every connection at once. */
  destroy(): Promise<void>;
}

export async function listenGrpc(at: Address, fallbackPort: boolean, parts: GrpcParts): Promise<GrpcListener> {
  const server = new Server({ ...SERVER_OPTIONS, interceptors: parts.interceptors });
  server.addService(AdminServiceService, parts.admin);
  server.addService(WorkerServiceService, parts.worker);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    socket.setNoDelay(true);
    sockets.add(socket);
    const silence = setTimeout(() => {
      if (socket.bytesRead === 0) socket.destroy();
    }, SILENT_MILLIS);
    silence.unref();
    socket.once("close", () => {
      clearTimeout(silence);
      sockets.delete(socket);
    });
    socket.on("error", () => socket.destroy());
    injector.injectConnection(socket);
  });
  listener.maxConnections = CONNECTIONS_AT_MOST;
  const address = await listen(listener, at, fallbackPort, "gRPC");
  const closed = new Promise<void>((resolve) => void listener.once("close", resolve));
  const stopAccepting = (): void => {
    if (listener.listening) listener.close();
  };
  const destroy = async (): Promise<void> => {
    stopAccepting();
    server.forceShutdown();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    address,
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

/** Only this machine can reach it. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.[0-9]{1,3}){3}$/.test(host);
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
