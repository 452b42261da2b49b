/**
 * The command line's side of the admin service: typed promises.
 *
 * Guarantees: every failure is a ConvsweepError, the coordinator's own where it sent one; nobody there is UNAVAILABLE
 * with what to do about it; a call that is not answered in time is TIMEOUT. The token comes from a file, never from an
 * argument. Not here: where the coordinator is (cli/connect.ts).
 */
import { type CallOptions, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import type { FeedMessage } from "../../proto/feed.js";
import { AdminServiceClient, type GetStatusResponse } from "../../proto/gen/convsweep/v1/admin.js";
import { type ClientTls, nameCheck, probe, secureContextOf } from "../../proto/tls.js";
import type { Parameters } from "../core/types.js";
import type { QueryAnswer, SqlValue } from "./admin-server.js";
import { readToken } from "./credentials.js";
import { statusToError } from "./errors.js";

export interface AdminClientOptions {
  /** `HOST:PORT` of the coordinator's gRPC. */
  readonly address: string;
  /** `null`: the token that came with the identity. */
  readonly tokenFile: string | null;
  /** `null` or absent: plaintext. */
  readonly tls?: ClientTls | null;
}

export type SweepAction = "pause" | "resume" | "cancel";

export interface AdminClient {
  submitSweep(
    fileName: string,
    text: string,
    /** Where relative paths in the text lead from; absolute. */
    directory?: string,
  ): Promise<{ readonly sweep: number; readonly warnings: readonly string[] }>;
  controlSweep(sweep: number, action: SweepAction): Promise<void>;
  /** By trials, by milliseconds of wall time, or both. */
  extendSweep(sweep: number, trials: number, wallMillis: number): Promise<void>;
  stopTrial(trial: string): Promise<void>;
  /** Answers the new trial's id. */
  enqueueTrial(sweep: number, parameters: Parameters): Promise<string>;
  rerunTrial(trial: string, verify: boolean): Promise<string>;
  query(sql: string, parameters?: readonly SqlValue[]): Promise<QueryAnswer>;
  /**
   * Calls `listener` for every message of the feed, of all sweeps or of one; ends when `signal` says so, fails when the
   * coordinator goes away.
   */
  watch(listener: (message: FeedMessage) => void, signal: AbortSignal, sweep?: number): Promise<void>;
  /** `path` is absolute, on the coordinator's machine. Answers the bytes written. */
  backup(path: string): Promise<number>;
  /** `dashboard` in it is a fresh one-time login link. */
  getStatus(): Promise<GetStatusResponse>;
  close(): void;
}

const SHORT_MILLIS = 20_000;
const LONG_MILLIS = 10 * 60_000;

type Answer<T> = (error: ServiceError | null, response: T) => void;

export function openAdminClient(options: AdminClientOptions): AdminClient {
  const metadata = new Metadata();
  const { tls = null } = options;
  const token = options.tokenFile === null ? (tls?.token ?? null) : readToken(options.tokenFile);
  if (token === null) {
    throw new ConvsweepError("BAD_INPUT", "a token is needed: --token-file FILE, or an identity that holds one", {
      path: "--token-file",
    });
  }
  metadata.set("authorization", `Bearer ${token.expose()}`);
  const { verify, options: named } = nameCheck(options.address);
  const channel =
    tls === null ? credentials.createInsecure() : credentials.createFromSecureContext(secureContextOf(tls), verify);
  const client = new AdminServiceClient(options.address, channel, {
    ...(tls === null ? {} : named),
    // A snapshot of many trials is one large message.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": LIMITS.linkMessageBytes,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    // A proxy in the environment is for the internet; a coordinator is reached directly.
    "grpc.enable_http_proxy": 0,
  });
  const ask = <T>(start: (callOptions: CallOptions, answer: Answer<T>) => unknown, millis = SHORT_MILLIS): Promise<T> =>
    new Promise((resolve, reject) => {
      start({ deadline: Date.now() + millis }, (error, response) => {
        if (error) void explained(error, options.address, tls).then(reject);
        else resolve(response);
      });
    });
  return {
    submitSweep: (fileName, text, directory = "") =>
      ask((how, done) => client.submitSweep({ fileName, text, directory }, metadata, how, done)),
    async controlSweep(sweep, action) {
      await ask((how, done) => client.controlSweep({ sweep, action }, metadata, how, done));
    },
    async extendSweep(sweep, trials, wallMillis) {
      await ask((how, done) => client.extendSweep({ sweep, trials, wallMillis }, metadata, how, done));
    },
    async stopTrial(trial) {
      await ask((how, done) => client.stopTrial({ trial }, metadata, how, done));
    },
    async enqueueTrial(sweep, parameters) {
      const request = { sweep, parameters: JSON.stringify(parameters) };
      const response = await ask<{ trial: string }>((how, done) => client.enqueueTrial(request, metadata, how, done));
      return response.trial;
    },
    async rerunTrial(trial, verify) {
      const response = await ask<{ trial: string }>((how, done) =>
        client.rerunTrial({ trial, verify }, metadata, how, done),
      );
      return response.trial;
    },
    async query(sql, parameters = []) {
      const request = { sql, parameters: JSON.stringify(parameters) };
      const response = await ask<{ columns: string[]; rows: string; truncated: boolean }>(
        (how, done) => client.query(request, metadata, how, done),
        LIMITS.queryMillis * 10,
      );
      return {
        columns: response.columns,
        rows: JSON.parse(response.rows) as unknown[][],
        truncated: response.truncated,
      };
    },
    watch: (listener, signal, sweep = 0) => watch(client, metadata, options.address, { listener, signal, sweep }),
    async backup(path) {
      const response = await ask<{ bytes: number }>(
        (how, done) => client.backup({ path }, metadata, how, done),
        LONG_MILLIS,
      );
      return response.bytes;
    },
    getStatus: () => ask((how, done) => client.getStatus({}, metadata, how, done)),
    close: () => client.close(),
  };
}

const PROBE_MILLIS = 3_000;

/** The library calls every trouble with TLS "unavailable". */
async function explained(error: ServiceError, address: string, tls: ClientTls | null): Promise<ConvsweepError> {
  const plain = statusToError(error, address);
  if (plain.code !== "UNAVAILABLE") return plain;
  const trouble = await probe(address, tls, PROBE_MILLIS);
  if (trouble === null) return plain;
  const code = trouble.proven ? "UNAUTHENTICATED" : "UNAVAILABLE";
  return new ConvsweepError(code, `${address}: ${trouble.reason}`, { cause: error });
}

interface Watching {
  readonly listener: (message: FeedMessage) => void;
  readonly signal: AbortSignal;
  /** 0 for all. */
  readonly sweep: number;
}

function watch(client: AdminServiceClient, metadata: Metadata, address: string, watching: Watching): Promise<void> {
  const { listener, signal, sweep } = watching;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const call = client.watch({ sweep }, metadata);
    const cancel = (): void => call.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    const settle = (outcome: () => void): void => {
      signal.removeEventListener("abort", cancel);
      outcome();
    };
    call.on("data", ({ message }: { readonly message: string }) => {
      try {
        listener(JSON.parse(message) as FeedMessage);
      } catch (error) {
        call.cancel();
        settle(() => reject(error));
      }
    });
    call.on("error", (error: ServiceError) => {
      if (signal.aborted && error.code === status.CANCELLED) settle(resolve);
      else settle(() => reject(statusToError(error, address)));
    });
    call.on("end", () => {
      settle(() => {
        if (signal.aborted) resolve();
        else reject(new ConvsweepError("UNAVAILABLE", `the coordinator at ${address} closed the feed`));
      });
    });
  });
}
