/**
 * Opens the database file of a store, or makes a new one, and refuses anything that is not a store.
 *
 * Guarantees: a file is made only where none is, and appears whole (written beside, then renamed); an empty, foreign,
 * newer, cut or corrupt file is refused with one message and left untouched; every commit on the connection that comes
 * back is fsynced (`synchronous=FULL`, read back after the first write: better-sqlite3 drops to NORMAL otherwise).
 * Folders are made 0700, files 0600. Not here: in which order (opening.ts), locking (lock.ts), whether what is in it is sound
 * (content.ts), reading and writing records (sqlite.ts).
 */
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import Database from "better-sqlite3";
import { ConvsweepError, type ErrorCode } from "../../proto/contract.js";
import { diskError } from "./commit-error.js";
import { syncFile, syncFolder } from "./durable.js";
import { type Migration, migrate } from "./migrate.js";

/** `cvsw` */
export const APPLICATION_ID = 0x63767377;
export const DATABASE_NAME = "convsweep.db";

function refusal(code: ErrorCode, path: string, why: string, expected: string, found: string): ConvsweepError {
  return new ConvsweepError(code, `cannot open the store ${path}: ${why}`, { path, expected, found });
}

/** Makes the folder of a store; one that is there keeps its mode. */
export function makeStoreFolder(dir: string): void {
  if (existsSync(dir)) return;
  makeFolder(dir);
  chmodSync(dir, 0o700);
}

/** With its parents, one by one: Node's own `recursive` never returns where every folder is refused as absent (/proc). */
function makeFolder(dir: string): void {
  const parent = dirname(dir);
  if (!existsSync(parent)) makeFolder(parent);
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Every setting that a connection forgets when it closes. */
function configure(db: Database.Database): void {
  db.pragma("busy_timeout = 5000");
  db.pragma("synchronous = FULL");
  db.pragma(`journal_size_limit = ${64 << 20}`);
  db.pragma("foreign_keys = ON");
  db.pragma("trusted_schema = OFF");
  db.pragma("cell_size_check = ON");
  db.pragma("mmap_size = 0");
}

/** Writes a new store beside its place and moves it there whole. The caller holds the lock. */
export function createDatabase(path: string, migrations: readonly Migration[], createdAt: number): void {
  for (const tail of ["-wal", "-shm", "-journal"]) {
    if (!existsSync(path + tail)) continue;
    const why = `${basename(path)} is gone but ${basename(path + tail)} is there; it may hold the only copy of results`;
    throw refusal("CORRUPT", path, why, "both files or neither", `only ${basename(path + tail)}`);
  }
  const fresh = `${path}.new`;
  for (const tail of ["", "-wal", "-shm", "-journal"]) rmSync(fresh + tail, { force: true });
  closeSync(openSync(fresh, "wx", 0o600));
  const db = new Database(fresh);
  try {
    db.pragma("journal_mode = DELETE");
    configure(db);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    migrate(db, migrations);
    const put = db.prepare<[string, string]>("INSERT INTO base_meta (name, value) VALUES (?, ?)");
    put.run("uuid", randomUUID());
    put.run("created_at", new Date(createdAt).toISOString());
  } finally {
    db.close();
  }
  syncFile(fresh);
  renameSync(fresh, path);
  syncFolder(dirname(path));
}

/** Looks at the first bytes before SQLite may touch the file (it would turn an empty one into a database). */
export function checkHeader(path: string): void {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    if (size === 0) throw refusal("CORRUPT", path, "the file is empty", "a convsweep store", "0 bytes");
    const header = Buffer.alloc(100);
    const read = readSync(file, header, 0, 100, 0);
    if (read < 100 || header.toString("latin1", 0, 16) !== "SQLite format 3\0") {
      throw refusal("CORRUPT", path, "it is not a SQLite database", "a convsweep store", "another kind of file");
    }
    if (header.readUInt32BE(68) !== APPLICATION_ID) {
      const found = `application id 0x${header.readUInt32BE(68).toString(16)}`;
      throw refusal("CORRUPT", path, "it is a database of another program", "a convsweep store", found);
    }
    const pageSize = header.readUInt16BE(16) === 1 ? 65536 : header.readUInt16BE(16);
    const expected = header.readUInt32BE(28) * pageSize;
    if (size < expected) {
      throw refusal("CORRUPT", path, "the file has been cut short", `${expected} bytes`, `${size} bytes`);
    }
  } finally {
    closeSync(file);
  }
}

function checkVersion(db: Database.Database, path: string, newest: number): number {
  const version = Number(db.pragma("user_version", { simple: true }));
  if (version > newest) {
    const why = `a newer version of convsweep made it (schema ${version}, this one knows up to ${newest}); update convsweep`;
    throw refusal("CORRUPT", path, why, `schema ${newest} or older`, `schema ${version}`);
  }
  if (version < 1) throw refusal("CORRUPT", path, "it holds no schema", "schema 1 or newer", `schema ${version}`);
  return version;
}

/** The first write of a connection, and proof that it was fsynced. */
function proveDurable(db: Database.Database, path: string): void {
  db.exec("UPDATE base_counters SET openings = openings + 1 WHERE id = 1");
  const level = Number(db.pragma("synchronous", { simple: true }));
  if (level !== 2) {
    throw refusal("INTERNAL", path, "SQLite would not wait for the disk", "synchronous = 2 (FULL)", String(level));
  }
}

/** A database that was there: its connection, which may read, and the schema that it has. */
export interface FoundDatabase {
  readonly db: Database.Database;
  readonly version: number;
}

/** Opens an existing store as far as it can be without a write. Throws, and leaves the file as it was. */
export function findDatabase(path: string, newest: number): FoundDatabase {
  checkHeader(path);
  const db = new Database(path, { fileMustExist: true });
  try {
    configure(db);
    return { db, version: checkVersion(db, path, newest) };
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

/** Makes what was found, and is sound, ready for writing. */
export function prepareDatabase({ db, version }: FoundDatabase, path: string, migrations: readonly Migration[]): void {
  const mode = db.pragma("journal_mode = WAL", { simple: true });
  if (mode !== "wal") throw refusal("INTERNAL", path, "the file system cannot do WAL", "wal", String(mode));
  db.pragma("synchronous = FULL");
  if (version < migrations.length) {
    keepBeforeMigration(db, `${path}.schema-${version}`);
    migrate(db, migrations);
  }
  proveDurable(db, path);
  for (const tail of ["", "-wal", "-shm"]) if (existsSync(path + tail)) chmodSync(path + tail, 0o600);
}

/** What SQLite or the system said on the way, in our words. */
export function openingError(thrown: unknown, path: string): ConvsweepError {
  if (thrown instanceof ConvsweepError) return thrown;
  const disk = diskError(thrown, `cannot open the store ${path}`, path);
  if (disk !== null) return disk;
  const error = thrown as Error & { code?: unknown };
  return new ConvsweepError("CORRUPT", `cannot open the store ${path}: ${error.message} (${String(error.code)})`, {
    path,
    expected: "a sound database",
    found: error.message,
    cause: thrown,
  });
}

/** A copy of the file as it was, named after its schema. An older copy of the same schema is kept. */
function keepBeforeMigration(db: Database.Database, copy: string): void {
  if (existsSync(copy)) return;
  const fresh = `${copy}.new`;
  rmSync(fresh, { force: true });
  try {
    db.prepare<[string]>("VACUUM INTO ?").run(fresh);
    chmodSync(fresh, 0o600);
    syncFile(fresh);
    renameSync(fresh, copy);
  } finally {
    rmSync(fresh, { force: true });
  }
  syncFolder(dirname(copy));
}

export const databasePath = (dir: string): string => join(dir, DATABASE_NAME);
