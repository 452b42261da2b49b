/**
 * A coordinator inside this process, with local workers: what `up` and `run` start.
 *
 * Guarantees: `close` ends the workers first (they drain), then the coordinator, and leaves nothing behind but the store.
 */
import { ConvsweepError, DEFAULT_PORTS } from "../../proto/contract.js";
import { setLastWords } from "../../proto/crash.js";
import { type AdminClient, openAdminClient } from "../shell/admin-client.js";
import { type RunningCoordinator, startCoordinator } from "../shell/coordinator.js";
import { tokenFile } from "../shell/credentials.js";
import type { Log, LogLevel } from "../shell/log.js";
import type { Security } from "../shell/security.js";
import type { WebhookSettings } from "../shell/webhook/webhook.js";
import type { Context } from "./context.js";
import { openJsonLog } from "./json-log.js";
import { type LocalWorkers, startLocalWorkers } from "./local-workers.js";

export interface EmbeddedOptions {
  readonly grpc: { readonly host: string; readonly port: number };
  readonly http: { readonly host: string; readonly port: number };
  readonly workers: number;
  readonly workerArguments: readonly string[];
  readonly insecurePlaintext: boolean;
  readonly acceptRollback: boolean;
  /** A structured log from this level up on standard error; `null` for warnings and errors in words. */
  readonly logLevel: LogLevel | null;
  readonly webhook: WebhookSettings | null;
  readonly security: Security;
  /** Take any free port when the wanted one is taken. */
  readonly fallbackPort: boolean;
}

export interface Embedded {
  readonly coordinator: RunningCoordinator;
  readonly workers: LocalWorkers;
  close(): Promise<void>;
}

export async function startEmbedded(context: Context, options: EmbeddedOptions): Promise<Embedded> {
  const log = options.logLevel === null ? noticing(context) : openJsonLog(options.logLevel);
  if (options.logLevel !== null) setLastWords(({ message, stack }) => log("error", "crashed", message, { stack }));
  const coordinator = await startCoordinator({
    storeDir: context.options.store,
    grpc: options.grpc,
    http: options.http,
    insecurePlaintext: options.insecurePlaintext,
    acceptRollback: options.acceptRollback,
    security: options.security,
    fallbackPort: options.fallbackPort,
    ...(options.webhook === null ? {} : { webhook: options.webhook }),
    log,
  });
  const workers = startLocalWorkers({
    count: options.workers,
    coordinator: coordinator.grpcFromHere,
    tokenFile: coordinator.workerTokenFile,
    tlsFiles: coordinator.tlsFiles,
    storeDir: context.options.store,
    extra: options.workerArguments,
    onTrouble: (text) => log("warn", "local-worker", text),
  });
  return {
    coordinator,
    workers,
    close: async () => {
      await workers.close();
      await coordinator.close();
    },
  };
}

/** For people at a terminal: what they should know, in words. */
function noticing(context: Context): Log {
  return (level, event, message) => {
    if (event === "local-worker") context.output.notice(message);
    else if (level === "warn" || level === "error")
      context.output.notice(`${level === "warn" ? "warning" : "error"}: ${message}`);
  };
}

/**
 * Runs `action` with a client of a coordinator in this process, on loopback, with local workers; ends all of it afterwards.
 */
export async function withEmbedded<T>(
  context: Context,
  local: Pick<EmbeddedOptions, "workers" | "workerArguments">,
  action: (client: AdminClient, embedded: Embedded) => Promise<T>,
): Promise<T> {
  const embedded = await startEmbedded(context, {
    ...local,
    grpc: { host: "127.0.0.1", port: DEFAULT_PORTS.grpc },
    http: { host: "127.0.0.1", port: DEFAULT_PORTS.http },
    insecurePlaintext: false,
    acceptRollback: false,
    logLevel: null,
    webhook: null,
    security: "auto",
    fallbackPort: true,
  });
  const client = openAdminClient({
    address: embedded.coordinator.grpcAddress,
    tokenFile: tokenFile(context.options.store, "admin"),
  });
  try {
    return await action(client, embedded);
  } finally {
    client.close();
    await embedded.close();
  }
}

/** `HOST:PORT`, `[::1]:7440`, `:7440` or a bare port. */
export function parseListen(option: string): (text: string) => { host: string; port: number } {
  return (text) => {
    const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:\s]*):)?([0-9]{1,5})$/.exec(text);
    const port = Number(match?.[2]);
    if (!match || port > 65_535) {
      throw new ConvsweepError("BAD_INPUT", `${option}: expected HOST:PORT such as 127.0.0.1:7440, found \`${text}\``, {
        path: option,
        expected: "HOST:PORT",
        found: text,
      });
    }
    const host = (match[1] ?? "").replace(/^\[|\]$/g, "");
    return { host: host === "" ? "127.0.0.1" : host, port };
  };
}
