/**
 * Finds the coordinator a verb talks to, and answers questions with or without one (docs/decisions/0004).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";
import { type AdminClient, openAdminClient } from "../shell/admin-client.js";
import { runQuery } from "../store/query.js";
import type { Context } from "./context.js";
import type { Answer } from "./rows.js";

export interface RunningInfo {
  readonly grpc: string;
  readonly tokenFile: string;
}

/** Where the coordinator of the store listens, as it wrote it down; `null` when none runs. */
export function findRunning(storeDir: string): RunningInfo | null {
  const file = join(storeDir, "coordinator.json");
  if (!existsSync(file)) return null;
  try {
    const info = JSON.parse(readFileSync(file, "utf8")) as { pid?: unknown; grpc?: unknown };
    if (typeof info.pid !== "number" || typeof info.grpc !== "string" || !isAlive(info.pid)) return null;
    return { grpc: info.grpc, tokenFile: join(storeDir, "admin.token") };
  } catch (error) {
    throw new ConvsweepError("CORRUPT", `cannot read ${file}; if no coordinator runs, remove it`, {
      path: file,
      cause: error,
    });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function addressed(context: Context): RunningInfo | null {
  const { coordinator, tokenFile, store } = context.options;
  if (coordinator !== null) return { grpc: coordinator, tokenFile: tokenFile ?? join(store, "admin.token") };
  return findRunning(store);
}

/** Runs `action` with a client of the coordinator and closes the client. UNAVAILABLE when there is none. */
export async function withAdmin<T>(context: Context, action: (client: AdminClient) => Promise<T>): Promise<T> {
  const running = addressed(context);
  if (!running) {
    throw new ConvsweepError(
      "UNAVAILABLE",
      `no coordinator serves ${context.options.store}; start one with \`${context.command} up\``,
    );
  }
  const client = openAdminClient({ address: running.grpc, tokenFile: running.tokenFile });
  try {
    return await action(client);
  } finally {
    client.close();
  }
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
