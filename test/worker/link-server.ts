/** The least gRPC server that speaks `Link`: hands every stream to the test. */
import { type Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { PROTOCOL } from "../../proto/contract.js";
import { type LinkRequest, type LinkResponse, WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";

export type LinkCall = ServerDuplexStream<LinkRequest, LinkResponse>;

export interface LinkServer {
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

export async function startLinkServer(
  onLink: (call: LinkCall, metadata: Metadata) => void,
  port = 0,
): Promise<LinkServer> {
  const server = new Server();
  server.addService(WorkerServiceService, {
    link: (call: LinkCall) => {
      call.on("error", () => {});
      onLink(call, call.metadata);
    },
  });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  return {
    address: `127.0.0.1:${bound}`,
    port: bound,
    close: async () => {
      server.forceShutdown();
    },
  };
}

/** Ends a stream with a status, as a gRPC server does. */
export function refuse(call: LinkCall, code: number, details: string): void {
  call.emit("error", Object.assign(new Error(details), { code, details }));
}

export const welcomeMessage = (received = 0): LinkResponse => ({
  seq: 0,
  ack: received,
  body: {
    $case: "welcome",
    value: {
      store: "s",
      heartbeatMillis: 2_000,
      leaseMillis: 9_000,
      keep: [],
      drop: [],
      received,
      generation: 0,
      commit: 0,
      opening: "",
      lost: 0,
      protocolMinor: PROTOCOL.minor,
    },
  },
  commit: 0,
});
