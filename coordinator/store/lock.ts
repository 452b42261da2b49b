/**
 * One coordinator a store: `lock.db` is a SQLite file on which the running coordinator holds an exclusive lock.
 *
 * The operating system drops the lock with the process, however it dies, so a lock is never stale. A second coordinator
 * is refused at once with IN_USE, naming the first where `coordinator.json` says who it is. Not here: the database.
 */
import { chmodSync, closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";

export interface StoreLock {
  release(): void;
}

/** What the first coordinator wrote about itself, for the message only. */
function holder(dir: string): string {
  try {
    const said = JSON.parse(readFileSync(join(dir, "coordinator.json"), "utf8")) as { pid?: unknown; http?: unknown };
    const pid = typeof said.pid === "number" ? ` (process ${said.pid})` : "";
    return typeof said.http === "string" ? `${pid}, its page is at ${said.http}` : pid;
  } catch {
    return "";
  }
}

export function lockStore(dir: string): StoreLock {
  const path = join(dir, "lock.db");
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  const db = new Database(path, { timeout: 0 });
  try {
    db.pragma("journal_mode = MEMORY");
    db.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    db.close();
    if ((cause as { code?: unknown }).code !== "SQLITE_BUSY") {
      throw new ConvsweepError("CORRUPT", `cannot lock the store: ${path}: ${(cause as Error).message}`, {
        path,
        cause,
      });
    }
    throw new ConvsweepError("IN_USE", `another coordinator has the store ${dir} open${holder(dir)}`, {
      path,
      expected: "one coordinator a store",
      found: "a second one",
      cause,
    });
  }
  return { release: () => db.close() };
}
