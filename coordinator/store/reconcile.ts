/**
 * Comparing a database with what is remembered of it outside, each time it is opened.
 *
 * Guarantees: a database of another store, or one that lacks commits which were made, is refused by name; a rollback that
 * is accepted raises the generation, fsynced, before anything else is written; every opening is on record before the
 * first commit of its process, so that a commit lost from the log, also one that the mark does not know of, cannot be
 * taken for another that has its number. Not here: the files (history.ts).
 */
import { randomUUID } from "node:crypto";
import type { Database } from "better-sqlite3";
import { ConvsweepError, TOKENS_A_CRASH, TOKENS_A_GENERATION } from "../../proto/contract.js";
import { adviceOf } from "./backups.js";
import { HighWaterMark, readMark, type StoreFile, writeStoreFile } from "./history.js";
import type { Opening, StoreNote } from "./store.js";

export interface StoreHistory {
  readonly generation: number;
  readonly mark: HighWaterMark;
  readonly notes: readonly StoreNote[];
  readonly openings: readonly Opening[];
}

/** Older ones are forgotten: a worker that was away for longer says everything again. */
const OPENINGS_AT_MOST = 256;

export function reconcile(
  db: Database,
  folder: string,
  known: StoreFile | null,
  acceptRollback: boolean,
): StoreHistory {
  const store = meta(db, "uuid") ?? "";
  const inside = Number(meta(db, "generation") ?? 0);
  const commit = db.prepare<[], number>("SELECT commit_seq FROM base_counters WHERE id = 1").pluck().get() ?? 0;
  if (known !== null && known.store !== store) {
    throw new ConvsweepError("CORRUPT", `the database in ${folder} is of another store than store.json says`, {
      path: folder,
      expected: `store ${known.store}`,
      found: `store ${store}`,
    });
  }
  const before = known ?? { store, generation: inside };
  const lost = lossOf(readMark(folder, before), commit, before.generation, inside);
  if (lost !== null && !acceptRollback) {
    throw new ConvsweepError(
      "CORRUPT",
      `the database in ${folder} is older than it was: ${lost} (a lost write-ahead log, or an older copy in its place). ` +
        "To go on from what is there: --accept-rollback; workers send again what they still have. " +
        `Otherwise ${adviceOf(folder)}`,
      { path: folder, expected: "every commit that was made", found: lost },
    );
  }
  const generation = Math.max(before.generation, inside) + (lost === null ? 0 : 1);
  if (known === null || known.generation !== generation) writeStoreFile(folder, { store, generation });
  if (inside !== generation) putMeta(db, "generation", String(generation));
  const earlier = openingsOf(db);
  const openings = [...earlier, { id: randomUUID(), commit, tokens: tokensFrom(db, generation, earlier) }].slice(
    -OPENINGS_AT_MOST,
  );
  putMeta(db, "openings", JSON.stringify(openings));
  // Into the database itself: a log that is lost must not take with it that there was a process.
  db.pragma("wal_checkpoint(TRUNCATE)");
  const mark = new HighWaterMark(folder, { store, generation }, commit);
  const notes =
    lost === null ? [] : [{ kind: "rollback-accepted", detail: `${lost}; generation ${generation} begins` }];
  return { generation, mark, notes, openings };
}

/** The last thing that a process writes which closes the store. */
export function noteClosed(db: Database, { openings }: StoreHistory): void {
  putMeta(db, "closed", openings.at(-1)?.id ?? "");
}

/**
 * Above what is on record, what the process before began above, and all of older generations. If it did not close the
 * store its newest grants may be lost: more tokens are passed over than it can have given unnoticed.
 */
function tokensFrom(db: Database, generation: number, earlier: readonly Opening[]): number {
  const onRecord = db.prepare<[], number>("SELECT last_token FROM base_counters WHERE id = 1").pluck().get() ?? 0;
  const before = earlier.at(-1);
  const given = Math.max(onRecord, before?.tokens ?? 0, generation * TOKENS_A_GENERATION);
  const crashed = before !== undefined && meta(db, "closed") !== before.id;
  return crashed ? given + TOKENS_A_CRASH : given;
}

function openingsOf(db: Database): readonly Opening[] {
  return JSON.parse(meta(db, "openings") ?? "[]") as readonly Opening[];
}

/** What is missing, in words; `null` if nothing is. */
function lossOf(mark: number | null, commit: number, generation: number, inside: number): string | null {
  if (mark !== null && mark > commit) return `${mark} commits were made, it holds ${commit}`;
  if (inside < generation) return `it is of generation ${inside}, the store is in generation ${generation}`;
  return null;
}

function putMeta(db: Database, name: string, value: string): void {
  db.prepare(
    "INSERT INTO base_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  ).run(name, value);
}

function meta(db: Database, name: string): string | undefined {
  return db.prepare<[string], string>("SELECT value FROM base_meta WHERE name = ?").pluck().get(name);
}
