/**
 * The backups of a store: `backups/convsweep-TIME.db`, made while it runs, the newest 24 kept.
 *
 * Guarantees: the newest good one is found by reading every page of the candidates, the newest first; pruning takes only
 * files of that name. Not here: making a copy (backup.ts), when (shell/backup-timer.ts), restoring (restore.ts).
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { APPLICATION_ID } from "./open.js";

const NAME = /^convsweep-[0-9]{8}T[0-9]{6}Z\.db$/;
const BEFORE_MIGRATION = /^convsweep\.db\.schema-[0-9]+$/;

export interface Backup {
  readonly path: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface BackupHealth {
  readonly good: boolean;
  /** Commits it holds; 0 if it is not good. */
  readonly commit: number;
  readonly store: string;
  readonly schemaVersion: number;
  readonly detail: string;
}

export const backupFolder = (dir: string): string => join(dir, "backups");

/** A name for a backup made now. */
export function newBackupPath(dir: string, now: Date): string {
  const folder = backupFolder(dir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return join(folder, `convsweep-${now.toISOString().replace(/[-:]|\.[0-9]+/g, "")}.db`);
}

/** The newest first; copies from before a migration among them. */
export function listBackups(dir: string): readonly Backup[] {
  const found: Backup[] = [];
  for (const [folder, shape] of [
    [backupFolder(dir), NAME],
    [dir, BEFORE_MIGRATION],
  ] as const) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      if (!shape.test(name)) continue;
      const path = join(folder, name);
      const { size, mtimeMs } = statSync(path);
      found.push({ path, bytes: size, at: mtimeMs });
    }
  }
  return found.sort((a, b) => b.at - a.at || (a.path < b.path ? 1 : -1));
}

export function pruneBackups(dir: string, keep: number): void {
  const hourly = listBackups(dir).filter(({ path }) => path.startsWith(backupFolder(dir)));
  for (const { path } of hourly.slice(keep)) rmSync(path, { force: true });
}

/** Reads every page. Never throws. */
export function examineBackup(path: string): BackupHealth {
  const bad = (detail: string): BackupHealth => ({ good: false, commit: 0, store: "", schemaVersion: 0, detail });
  let db: Database.Database | null = null;
  try {
    db = new Database(path, { readonly: true, fileMustExist: true });
    const id = Number(db.pragma("application_id", { simple: true }));
    if (id !== APPLICATION_ID) return bad(`it is not a convsweep store (application id 0x${id.toString(16)})`);
    const answer = String(db.pragma("quick_check(1)", { simple: true }));
    if (answer !== "ok") return bad(answer.split("\n")[0] ?? "damaged");
    const commit = db.prepare<[], number>("SELECT commit_seq FROM base_counters").pluck().get() ?? 0;
    const store = db.prepare<[], string>("SELECT value FROM base_meta WHERE name = 'uuid'").pluck().get() ?? "";
    const schemaVersion = Number(db.pragma("user_version", { simple: true }));
    return { good: true, commit, store, schemaVersion, detail: `${commit} commits` };
  } catch (thrown) {
    return bad((thrown as Error).message);
  } finally {
    db?.close();
  }
}

/** For messages: where help is, in words. */
export function adviceOf(dir: string): string {
  for (const { path } of listBackups(dir)) {
    const { good, commit } = examineBackup(path);
    if (good)
      return `the newest good backup is ${path} (${commit} commits): \`convsweep restore ${path}\` puts it in place`;
  }
  return "there is no good backup beside it; `convsweep restore FILE` puts one from elsewhere in place";
}
