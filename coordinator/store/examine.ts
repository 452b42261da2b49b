/**
 * Looking through a whole store without changing it: every page, every reference, every value of what has ended, its history, its backups.
 *
 * Guarantees: reads only; never throws for what is wrong with a store, but says it, with what to do. A coordinator may be
 * running. Not here: mending anything (restore.ts).
 */
import { existsSync } from "node:fs";
import Database from "better-sqlite3";
import { adviceOf, examineBackup, listBackups } from "./backups.js";
import { checkDigests } from "./digests.js";
import { readMark, readStoreFile, type StoreFile, storeFilePath } from "./history.js";
import { readMigrations } from "./migrate.js";
import { checkHeader, databasePath } from "./open.js";

export interface StoreFinding {
  readonly what: string;
  readonly verdict: "ok" | "warning" | "bad";
  readonly detail: string;
}

const messageOf = (thrown: unknown): string => (thrown as Error).message;

export function examineStore(dir: string): readonly StoreFinding[] {
  const findings: StoreFinding[] = [];
  const say = (what: string, verdict: StoreFinding["verdict"], detail: string): void => {
    findings.push({ what, verdict, detail });
  };
  const path = databasePath(dir);
  let known: StoreFile | null = null;
  try {
    known = readStoreFile(dir);
  } catch (thrown) {
    say("store.json", "bad", messageOf(thrown));
  }
  if (!existsSync(path)) {
    if (known === null && findings.length === 0) say("database", "ok", `${dir}: nothing recorded yet`);
    else
      say(
        "database",
        "bad",
        `${path} is gone although ${storeFilePath(dir)} says that there was one; ${adviceOf(dir)}`,
      );
    return findings;
  }
  let db: Database.Database | null = null;
  try {
    checkHeader(path);
    db = new Database(path, { readonly: true, fileMustExist: true });
    content(db, say);
    history(db, dir, known, say);
  } catch (thrown) {
    say("database", "bad", messageOf(thrown));
  } finally {
    db?.close();
  }
  if (findings.some(({ verdict }) => verdict === "bad")) say("help", "warning", adviceOf(dir));
  else backups(dir, say);
  return findings;
}

type Say = (what: string, verdict: StoreFinding["verdict"], detail: string) => void;

function content(db: Database.Database, say: Say): void {
  const version = Number(db.pragma("user_version", { simple: true }));
  const newest = readMigrations().length;
  if (version > newest) say("schema", "bad", `schema ${version}, this version knows up to ${newest}: update convsweep`);
  else
    say(
      "schema",
      "ok",
      version === newest ? `schema ${version}` : `schema ${version}; the next start brings it to ${newest}`,
    );
  const faults = db.pragma("integrity_check(20)") as readonly { readonly integrity_check: string }[];
  const first = faults[0]?.integrity_check ?? "no answer";
  if (first === "ok") say("pages", "ok", `${Number(db.pragma("page_count", { simple: true }))} pages, all sound`);
  else say("pages", "bad", faults.map((fault) => fault.integrity_check).join("\n"));
  const orphans = db.pragma("foreign_key_check") as readonly { readonly table: string }[];
  if (orphans.length > 0)
    say("references", "bad", `${orphans.length} rows refer to what is not there, the first in ${orphans[0]?.table}`);
  else say("references", "ok", "every row refers to one that is there");
  if (version >= DIGESTS_SINCE) values(db, say);
  const counts = db
    .prepare<[], { trials: number; reports: number; events: number }>(
      "SELECT (SELECT count(*) FROM base_trials) AS trials, (SELECT count(*) FROM base_reports) AS reports, (SELECT count(*) FROM base_events) AS events",
    )
    .get();
  say("content", "ok", `${counts?.trials} trials, ${counts?.reports} reported values, ${counts?.events} events`);
}

/** Migration 7 made them. */
const DIGESTS_SINCE = 7;
/** Named, of those that have been altered. */
const NAMED = 20;

function values(db: Database.Database, say: Say): void {
  const { attempts, trials, altered } = checkDigests(db);
  if (altered.length === 0)
    return say(
      "values",
      "ok",
      `those of ${trials} ended trials and ${attempts} ended attempts are as they were written`,
    );
  const named = altered.slice(0, NAMED).map(({ what }) => what);
  const more = altered.length > named.length ? ` and ${altered.length - named.length} more` : "";
  say("values", "bad", `changed since they were written: ${named.join(", ")}${more}`);
}

function history(db: Database.Database, dir: string, known: StoreFile | null, say: Say): void {
  const store = db.prepare<[], string>("SELECT value FROM base_meta WHERE name = 'uuid'").pluck().get() ?? "";
  const commit = db.prepare<[], number>("SELECT commit_seq FROM base_counters").pluck().get() ?? 0;
  if (known === null) return say("history", "warning", `${commit} commits; there is no store.json to compare with`);
  if (known.store !== store)
    return say("history", "bad", `the database is of store ${store}, store.json of ${known.store}`);
  const mark = readMark(dir, known);
  if (mark !== null && mark > commit)
    return say("history", "bad", `${mark} commits were made, the database holds ${commit}`);
  say(
    "history",
    "ok",
    `${commit} commits, generation ${known.generation}${mark === null ? "; no high-water mark yet" : ""}`,
  );
}

function backups(dir: string, say: Say): void {
  const all = listBackups(dir);
  const newest = all[0];
  if (newest === undefined) return say("backups", "warning", "none yet: a coordinator makes one an hour");
  const { good, detail } = examineBackup(newest.path);
  say("backups", good ? "ok" : "warning", `${all.length}, the newest ${newest.path}: ${detail}`);
}
