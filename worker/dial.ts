/**
 * How a worker reaches its coordinator: one client of the worker service, with or without TLS.
 *
 * Guarantees: a silent loss of the network is noticed well before the lease ends; certificates are read again for every
 * connection, so that renewed ones are used without a restart. Not here: what travels (link.ts, checkpoint-client.ts).
 */
import { credentials, Metadata } from "@grpc/grpc-js";
import { LIMITS, TIMES } from "../proto/contract.js";
import { WorkerServiceClient } from "../proto/gen/convsweep/v1/worker.js";
import type { Secret } from "../proto/secret.js";
import { type ClientTls, nameCheck, readClientTls, secureContextOf, type TlsFiles } from "../proto/tls.js";

/** Asked before every connection; `null` for plaintext. */
export type TlsSource = () => ClientTls | null;

const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": TIMES.lease / 3,
  "grpc.keepalive_timeout_ms": TIMES.heartbeat,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": LIMITS.linkMessageBytes,
  "grpc.max_send_message_length": LIMITS.linkMessageBytes,
  // Every link connects anew, at once: the waits between tries are ours.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
} as const;

export function dial(address: string, tls: ClientTls | null): WorkerServiceClient {
  if (tls === null) return new WorkerServiceClient(address, credentials.createInsecure(), CHANNEL_OPTIONS);
  const { verify, options } = nameCheck(address);
  const channel = credentials.createFromSecureContext(secureContextOf(tls), verify);
  return new WorkerServiceClient(address, channel, { ...CHANNEL_OPTIONS, ...options });
}

export function bearer(token: Secret): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token.expose()}`);
  return metadata;
}

/** What the files say now; what they said before where they cannot be read, since they may just be being written. */
export function tlsSource(files: TlsFiles): TlsSource {
  let last: ClientTls | null | undefined;
  return () => {
    try {
      last = readClientTls(files);
    } catch (thrown) {
      if (last === undefined) throw thrown;
    }
    return last;
  };
}
