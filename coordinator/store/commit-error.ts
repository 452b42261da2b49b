/** What went wrong with a file of the store, by SQLite's or the system's words. Not here: what to do about it. */
import { statSync, utimesSync } from "node:fs";
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

/** Of the disk, and no fault of what lies there. */
const OF_THE_DISK: ReadonlySet<ErrorCode> = new Set(["DISK_FULL", "READ_ONLY", "SYNC_FAILED", "IO_ERROR"]);

interface SystemError extends Error {
  readonly code?: string;
}

function kindOf({ code = "" }: SystemError): ErrorCode | null {
  if (code === "ENOSPC" || code === "EDQUOT") return "DISK_FULL";
  if (code === "EROFS") return "READ_ONLY";
  return COMMIT_ERRORS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? null;
}

function reason({ code = "", message }: SystemError, kind: ErrorCode): string {
  const known = { DISK_FULL: "the disk is full", READ_ONLY: "the file system is read-only" } as Partial<
    Record<ErrorCode, string>
  >;
  return (known[kind] ?? message) + (code && ` (${code})`);
}

/** Asks the file system itself; what the store holds stays as it is. */
function isReadOnly(folder: string): boolean {
  try {
    const { atime, mtime } = statSync(folder);
    utimesSync(folder, atime, mtime);
    return false;
  } catch (thrown) {
    return (thrown as SystemError).code === "EROFS";
  }
}

/** If the disk is to blame, an error that says so after `what`; `null` otherwise. */
export function diskError(thrown: unknown, what: string, path: string): ConvsweepError | null {
  const error = thrown as SystemError;
  const kind = kindOf(error);
  if (kind === null || !OF_THE_DISK.has(kind)) return null;
  return new ConvsweepError(kind, `${what}: ${reason(error, kind)}`, { path, cause: thrown });
}

/** A flush of the log that the system refused. */
export function syncError(failed: Error): ConvsweepError {
  return new ConvsweepError("SYNC_FAILED", `the store could not write: ${failed.message}; nobody knows what is kept`, {
    cause: failed,
  });
}

/** `folder` is the store's. */
export function commitError(thrown: unknown, folder: string): ConvsweepError {
  if (thrown instanceof ConvsweepError) return thrown;
  const error = thrown as SystemError;
  const first = kindOf(error) ?? "INTERNAL";
  // A file that is open already answers with an input/output error there, whose reason SQLite does not tell.
  const kind = first === "IO_ERROR" && isReadOnly(folder) ? "READ_ONLY" : first;
  const message = `the store could not write: ${reason(error, kind)}; nothing of it is kept`;
  return new ConvsweepError(kind, message, { cause: thrown });
}
