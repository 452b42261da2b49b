/**
 * Whether the content of a database can be relied on: its pages, and the rows that a start reads, with their constraints.
 *
 * Guarantees: nothing is written. Of a large database it takes as long as reading it, so that it can be done in a thread
 * beside the one that reads. Not here: what a file must be before SQLite may touch it (open.ts), what is looked at once a
 * day (examine.ts).
 */
import { Worker } from "node:worker_threads";
import Database from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";
import { childPath } from "./child-path.js";

/** A whole check reads every page; above this size only the tables that `load` reads are checked. */
const WHOLE_CHECK_BYTES = 64 << 20;
/** Below this size a thread takes longer to begin than the check takes. */
const BESIDE_BYTES = 8 << 20;
const LOADED_TABLES = [
  "base_meta",
  "base_counters",
  "base_sweeps",
  "base_specs",
  "base_trials",
  "base_attempts",
  "base_metrics",
  "base_workers",
];

/** What the thread says: what it found, `null` for nothing, or what SQLite threw at it. */
export type ContentAnswer =
  | { readonly fault: string | null }
  | { readonly thrown: { readonly message: string; readonly code: string } };

const sizeOf = (db: Database.Database): number =>
  Number(db.pragma("page_count", { simple: true })) * Number(db.pragma("page_size", { simple: true }));

/** What is wrong with it, in SQLite's words; `null` if nothing is. Throws what SQLite throws. */
function faultOf(db: Database.Database): string | null {
  const checks =
    sizeOf(db) <= WHOLE_CHECK_BYTES ? ["quick_check(1)"] : LOADED_TABLES.map((table) => `quick_check(${table})`);
  for (const check of checks) {
    const answer = String(db.pragma(check, { simple: true }));
    if (answer !== "ok") return answer.split("\n")[0] ?? answer;
  }
  return null;
}

/** The same on a connection of its own, closed again: what the thread does. */
export function answerContent(path: string): ContentAnswer {
  let db: Database.Database | null = null;
  try {
    // One opened for reading alone would leave the CHECK constraints out.
    db = new Database(path, { fileMustExist: true });
    db.pragma("query_only = ON");
    db.pragma("busy_timeout = 5000");
    db.pragma("cell_size_check = ON");
    return { fault: faultOf(db) };
  } catch (thrown) {
    const { message, code } = thrown as Error & { readonly code?: unknown };
    return { thrown: { message, code: String(code) } };
  } finally {
    db?.close();
  }
}

function refuse(path: string, fault: string | null): void {
  if (fault === null) return;
  throw new ConvsweepError("CORRUPT", `cannot open the store ${path}: the file is damaged: ${fault}`, {
    path,
    expected: "a sound database",
    found: "damage",
  });
}

/** Throws CORRUPT where there is damage, or what SQLite throws. */
export function checkContent(db: Database.Database, path: string): void {
  refuse(path, faultOf(db));
}

/** The same beside the caller's thread, where that is worth it. The log has been recovered: `db` has read. */
export async function checkContentBeside(db: Database.Database, path: string): Promise<void> {
  if (sizeOf(db) <= BESIDE_BYTES) return checkContent(db, path);
  const answer = await askThread(path);
  if ("thrown" in answer) throw Object.assign(new Error(answer.thrown.message), { code: answer.thrown.code });
  refuse(path, answer.fault);
}

function askThread(path: string): Promise<ContentAnswer> {
  const thread = new Worker(childPath("content-thread"), { workerData: path, env: {}, execArgv: [] });
  return new Promise((resolve, reject) => {
    const failed = (why: string, cause?: unknown): void =>
      reject(new ConvsweepError("UNAVAILABLE", `the store ${path} was not checked: ${why}`, { path, cause }));
    thread.once("message", (answer) => resolve(answer as ContentAnswer));
    thread.once("error", (error) => failed((error as Error).message, error));
    thread.once("exit", (code) => failed(`its thread ended (${code})`));
  });
}
