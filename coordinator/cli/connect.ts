/**
 * Finds the coordinator a verb talks to, and answers questions with or without one (docs/decisions/0004).
 */
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";
import { checkPlaintext, plaintextAllowed, readClientTls, type TlsFiles } from "../../proto/tls.js";
import { type AdminClient, openAdminClient } from "../shell/admin-client.js";
import { tokenFile } from "../shell/credentials.js";
import { runQuery } from "../store/query.js";
import type { Context } from "./context.js";
import type { Answer } from "./rows.js";

export interface RunningInfo {
  readonly grpc: string;
  /** `null`: the token that came with the identity. */
  readonly tokenFile: string | null;
  readonly tlsFiles: TlsFiles;
}

/**
 * Where the coordinator of the store listens, as it wrote it down; `null` when none runs. One that was killed leaves its
 * file behind, and its process number may belong to another program by now: only what answers counts.
 */
export async function findRunning(storeDir: string): Promise<RunningInfo | null> {
  const info = readCoordinatorFile(join(storeDir, "coordinator.json"));
  if (info === null || !isAlive(info.pid) || !(await listens(info.grpc))) return null;
  return { grpc: info.grpc, tokenFile: tokenFile(storeDir, "admin"), tlsFiles: info.tlsFiles };
}

/** A file that says nothing is no coordinator; a second one is refused by the store's lock, whatever the file says. */
function readCoordinatorFile(
  file: string,
): { readonly pid: number; readonly grpc: string; readonly tlsFiles: TlsFiles } | null {
  try {
    const { pid, grpc, ca, identity } = JSON.parse(readFileSync(file, "utf8")) as Partial<Record<string, unknown>>;
    const path = (value: unknown): string | null => (typeof value === "string" ? value : null);
    return typeof pid === "number" && typeof grpc === "string"
      ? { pid, grpc, tlsFiles: { ca: path(ca), identity: path(identity) } }
      : null;
  } catch {
    return null;
  }
}

const ANSWER_MILLIS = 2_000;

function listens(address: string): Promise<boolean> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(address.slice(at + 1)), timeout: ANSWER_MILLIS });
    const say = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => say(true));
    socket.once("error", () => say(false));
    socket.once("timeout", () => say(false));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The one named with --coordinator, else the one that serves the store; `null` when none does. */
export async function findCoordinator(context: Context): Promise<RunningInfo | null> {
  const { coordinator, tokenFile: given, tlsFiles, store } = context.options;
  if (coordinator === null) return await findRunning(store);
  const fallback = tlsFiles.identity === null ? tokenFile(store, "admin") : null;
  return { grpc: coordinator, tokenFile: given ?? fallback, tlsFiles };
}

/** Runs `action` with a client of the coordinator and closes the client. UNAVAILABLE when there is none. */
export async function withAdmin<T>(context: Context, action: (client: AdminClient) => Promise<T>): Promise<T> {
  const running = await findCoordinator(context);
  if (!running) {
    throw new ConvsweepError(
      "UNAVAILABLE",
      `no coordinator serves ${context.options.store}; start one with \`${context.command} up\``,
    );
  }
  const client = openClient(context, running);
  try {
    return await action(client);
  } finally {
    client.close();
  }
}

/** Throws where the token would leave this machine unencrypted. */
export function openClient(context: Context, running: RunningInfo): AdminClient {
  const tls = readClientTls(running.tlsFiles);
  checkPlaintext(running.grpc, tls, plaintextAllowed(context.options.insecurePlaintext, process.env));
  return openAdminClient({ address: running.grpc, tokenFile: running.tokenFile, tls });
}

/** Rows of a read-only question: from the coordinator named with --coordinator, else from the store on this machine. */
export async function ask(
  context: Context,
  sql: string,
  parameters: readonly (string | number | null)[] = [],
): Promise<Answer> {
  if (context.options.coordinator !== null) return await withAdmin(context, (client) => client.query(sql, parameters));
  if (!existsSync(join(context.options.store, "convsweep.db"))) {
    throw new ConvsweepError(
      "NOT_FOUND",
      `nothing recorded yet in ${context.options.store}; run a sweep first: \`${context.command} run FILE\``,
      { path: context.options.store },
    );
  }
  return await runQuery(context.options.store, sql, parameters);
}
