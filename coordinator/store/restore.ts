/**
 * Putting a backup in the place of a store's database.
 *
 * Guarantees: only a sound backup of this store (or into a folder without one) is taken, only while no coordinator runs,
 * and the generation is raised, fsynced, before the file changes: no token that a living worker holds can be given again.
 * The database that was there is kept beside it under another name. A crash on the way leaves either the old file or the
 * new one in place. Not here: what workers send again afterwards (core/workers.ts).
 */
import { chmodSync, copyFileSync, existsSync, renameSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import Database from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";
import { examineBackup } from "./backups.js";
import { syncFile, syncFolder } from "./durable.js";
import { readStoreFile, writeStoreFile } from "./history.js";
import { lockStore } from "./lock.js";
import { readMigrations } from "./migrate.js";
import { databasePath, makeStoreFolder } from "./open.js";

export interface Restored {
  readonly path: string;
  readonly commit: number;
  readonly generation: number;
  /** Where the database that was there is now; `null` if there was none. */
  readonly kept: string | null;
}

export function restoreStore(dir: string, backup: string, now: Date): Restored {
  const source = resolve(backup);
  if (!existsSync(source)) throw new ConvsweepError("NOT_FOUND", `there is no file ${source}`, { path: source });
  const health = examineBackup(source);
  if (!health.good) {
    throw new ConvsweepError("CORRUPT", `restore: ${source} is not a good backup: ${health.detail}`, { path: source });
  }
  const newest = readMigrations().length;
  if (health.schemaVersion > newest) {
    const message = `restore: a newer version of convsweep made ${source} (schema ${health.schemaVersion}, this one knows up to ${newest})`;
    throw new ConvsweepError("CORRUPT", message, { path: source });
  }
  const folder = resolve(dir);
  makeStoreFolder(folder);
  const lock = lockStore(folder);
  try {
    const known = readStoreFile(folder);
    if (known !== null && known.store !== health.store) {
      throw new ConvsweepError("CONFLICT", `restore: ${source} is a backup of another store; use an empty folder`, {
        path: source,
        expected: known.store,
        found: health.store,
      });
    }
    const path = databasePath(folder);
    const fresh = `${path}.restoring`;
    for (const tail of ["", "-wal", "-shm", "-journal"]) rmSync(fresh + tail, { force: true });
    copyFileSync(source, fresh);
    chmodSync(fresh, 0o600);
    const generation = Math.max(known?.generation ?? 0, generationIn(fresh)) + 1;
    sign(fresh, generation, `${health.commit} commits from ${source}, generation ${generation}`, now);
    syncFile(fresh);
    writeStoreFile(folder, { store: health.store, generation });
    const kept = setAside(path, now);
    renameSync(fresh, path);
    syncFolder(folder);
    return { path, commit: health.commit, generation, kept };
  } finally {
    lock.release();
  }
}

function generationIn(path: string): number {
  const db = new Database(path, { readonly: true });
  try {
    return Number(db.prepare("SELECT value FROM base_meta WHERE name = 'generation'").pluck().get() ?? 0);
  } finally {
    db.close();
  }
}

/** The copy says of itself which generation it begins, and that it was restored. */
function sign(path: string, generation: number, detail: string, now: Date): void {
  const db = new Database(path);
  try {
    db.pragma("journal_mode = DELETE");
    db.pragma("synchronous = FULL");
    db.transaction(() => {
      db.prepare(
        "INSERT INTO base_meta (name, value) VALUES ('generation', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      ).run(String(generation));
      db.prepare("INSERT INTO base_events (at, kind, detail) VALUES (?, 'store-restored', ?)").run(
        now.getTime(),
        detail,
      );
    })();
  } finally {
    db.close();
  }
}

/** The write-ahead log goes with its database: beside the restored one it would be taken for its own. */
function setAside(path: string, now: Date): string | null {
  const aside = `${path}.before-restore-${now.toISOString().replace(/[-:]|\.[0-9]+/g, "")}`;
  let moved = false;
  for (const tail of ["-wal", "-shm", "-journal", ""]) {
    if (!existsSync(path + tail)) continue;
    renameSync(path + tail, aside + tail);
    moved = true;
  }
  return moved ? aside : null;
}
