/** What went wrong with a commit, by SQLite's or the system's words. Not here: what to do about it (shell/runtime.ts). */
import { ConvsweepError, type ErrorCode } from "../../proto/contract.js";

/** By the prefix of SQLite's extended code, the more special ones first. */
const COMMIT_ERRORS: readonly (readonly [string, ErrorCode])[] = [
  ["SQLITE_FULL", "DISK_FULL"],
  ["SQLITE_READONLY", "READ_ONLY"],
  ["SQLITE_IOERR_FSYNC", "SYNC_FAILED"],
  ["SQLITE_IOERR_DIR_FSYNC", "SYNC_FAILED"],
  ["SQLITE_IOERR", "IO_ERROR"],
  ["SQLITE_CANTOPEN", "IO_ERROR"],
  ["SQLITE_CORRUPT", "CORRUPT"],
  ["SQLITE_NOTADB", "CORRUPT"],
  // One member of the batch cannot be held; the others can.
  ["SQLITE_CONSTRAINT", "BAD_INPUT"],
];

/** A flush of the log that the system refused. */
export function syncError(failed: Error): ConvsweepError {
  return new ConvsweepError("SYNC_FAILED", `the store could not write: ${failed.message}; nobody knows what is kept`, {
    cause: failed,
  });
}

export function commitError(thrown: unknown): ConvsweepError {
  if (thrown instanceof ConvsweepError) return thrown;
  const { code = "", message } = thrown as Error & { readonly code?: string };
  const kind = COMMIT_ERRORS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "INTERNAL";
  const why = kind === "DISK_FULL" ? "the disk is full" : message;
  return new ConvsweepError(kind, `the store could not write: ${why}${code && ` (${code})`}; nothing of it is kept`, {
    cause: thrown,
  });
}
