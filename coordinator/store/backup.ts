/**
 * A consistent copy of a running store: SQLite's online backup to a temporary name, checked, fsynced, then put in place.
 *
 * Guarantees: the target appears whole or not at all, and an existing file is never overwritten (CONFLICT). Commits may
 * go on meanwhile. The copy opens as a store. Not here: when to back up, how many to keep.
 */
import { chmodSync, existsSync, linkSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import Database from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";
import { diskError } from "./commit-error.js";
import { syncFile, syncFolder } from "./durable.js";
import { faultPoint } from "./fault-point.js";

const taken = (path: string): ConvsweepError =>
  new ConvsweepError("CONFLICT", `backup: ${path} exists already; choose another name`, {
    path,
    expected: "a name that is free",
    found: "a file",
  });

export async function backupTo(db: Database.Database, target: string): Promise<void> {
  const path = resolve(target);
  if (existsSync(path)) throw taken(path);
  const folder = dirname(path);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new ConvsweepError("NOT_FOUND", `backup: there is no folder ${folder}`, { path: folder });
  }
  const fresh = `${path}.${process.pid}.new`;
  try {
    rmSync(fresh, { force: true });
    await db.backup(fresh);
    chmodSync(fresh, 0o600);
    faultPoint("midBackup");
    checkCopy(fresh);
    syncFile(fresh);
    try {
      linkSync(fresh, path);
    } catch (cause) {
      throw (cause as { code?: unknown }).code === "EEXIST" ? taken(path) : cause;
    }
    syncFolder(folder);
  } catch (thrown) {
    if (thrown instanceof ConvsweepError) throw thrown;
    const what = `backup to ${path} failed`;
    const disk = diskError(thrown, what, path);
    if (disk !== null) throw disk;
    throw new ConvsweepError("UNAVAILABLE", `${what}: ${(thrown as Error).message}`, { path, cause: thrown });
  } finally {
    for (const tail of ["", "-wal", "-shm", "-journal"]) rmSync(fresh + tail, { force: true });
  }
}

/** Leaves write-ahead mode, so that the copy is one file, and reads every page of it. */
function checkCopy(path: string): void {
  const copy = new Database(path);
  try {
    copy.pragma("journal_mode = DELETE");
    const answer = String(copy.pragma("quick_check(1)", { simple: true }));
    if (answer !== "ok") throw new ConvsweepError("CORRUPT", `backup: the copy is damaged: ${answer}`, { path });
  } finally {
    copy.close();
  }
}
