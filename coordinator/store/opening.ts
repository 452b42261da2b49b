/**
 * The steps in which the store of a folder is opened, and their order.
 *
 * Guarantees: one process at a time, from the first step on; a database is found, checked, and only then written, so that
 * one that is refused is left as it was; whatever is thrown on the way becomes a ConvsweepError that says where help is,
 * and `undo` leaves nothing open. Not here: the steps themselves (open.ts, content.ts, reconcile.ts).
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Database } from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";
import { adviceOf } from "./backups.js";
import { Ballast } from "./ballast.js";
import { diskError } from "./commit-error.js";
import { checkContent, checkContentBeside } from "./content.js";
import { demandLocalDisk } from "./file-system.js";
import { readStoreFile, type StoreFile, storeFilePath } from "./history.js";
import { lockStore, type StoreLock } from "./lock.js";
import { type Migration, readMigrations } from "./migrate.js";
import {
  createDatabase,
  databasePath,
  type FoundDatabase,
  findDatabase,
  makeStoreFolder,
  openingError,
  prepareDatabase,
} from "./open.js";
import { reconcile, type StoreHistory } from "./reconcile.js";

/** What the system says of a folder that nobody can write to. */
const UNUSABLE_FOLDER: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR"]);

export interface OpenOptions {
  /** Make a store where there is none. */
  readonly create: boolean;
  /** Go on although commits that were made are missing. */
  readonly acceptRollback?: boolean;
  /** Set space on the disk aside for the day when it is full. */
  readonly ballast?: boolean;
}

/** A store that may be written. */
export interface Opened {
  readonly db: Database;
  readonly path: string;
  readonly lock: StoreLock;
  readonly history: StoreHistory;
  readonly ballast: Ballast | null;
}

interface Begun extends FoundDatabase {
  readonly lock: StoreLock;
  readonly known: StoreFile | null;
  readonly migrations: readonly Migration[];
}

export class Opening {
  readonly #folder: string;
  readonly #path: string;
  readonly #options: OpenOptions;
  #lock: StoreLock | null = null;
  #begun: Begun | null = null;

  constructor(dir: string, options: OpenOptions) {
    this.#folder = resolve(dir);
    this.#path = databasePath(this.#folder);
    this.#options = options;
  }

  /** Takes the lock, makes a store where there is none and one is wanted, and finds the database. */
  begin(): void {
    const [folder, path] = [this.#folder, this.#path];
    if (!this.#options.create && !existsSync(path) && !existsSync(storeFilePath(folder))) {
      throw new ConvsweepError("NOT_FOUND", `there is no store in ${folder}`, {
        path,
        expected: "a store made by `convsweep up` or `convsweep run`",
        found: "no file",
      });
    }
    makeStoreFolder(folder);
    demandLocalDisk(folder);
    const lock = lockStore(folder);
    this.#lock = lock;
    const migrations = readMigrations();
    const known = readStoreFile(folder);
    if (!existsSync(path)) {
      if (known !== null) throw this.#missing();
      createDatabase(path, migrations, Date.now());
    }
    try {
      this.#begun = { ...findDatabase(path, migrations.length), lock, known, migrations };
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
  }

  check(): void {
    try {
      checkContent(this.#found().db, this.#path);
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
  }

  async checkBeside(): Promise<void> {
    try {
      await checkContentBeside(this.#found().db, this.#path);
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
  }

  /** Answers what `read` does of a database that is not checked yet; `null` if it cannot be read as it is. */
  read<T>(read: (db: Database) => T): T | null {
    const { db, version, migrations } = this.#found();
    if (version < migrations.length) return null;
    try {
      return read(db);
    } catch {
      // The check says why; if it finds nothing, whoever reads it once it is open is told.
      return null;
    }
  }

  /** The first writes. */
  finish(): Opened {
    const found = this.#found();
    const { db, lock, known, migrations } = found;
    try {
      prepareDatabase(found, this.#path, migrations);
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
    const history = reconcile(db, this.#folder, known, this.#options.acceptRollback ?? false);
    const ballast = this.#options.ballast ? new Ballast(this.#folder) : null;
    ballast?.keepLater();
    return { db, path: this.#path, lock, history, ballast };
  }

  /** After any of the others, or whoever took what was opened, threw: closes all; answers what to throw instead. */
  undo(thrown: unknown): ConvsweepError {
    this.#begun?.db.close();
    this.#lock?.release();
    if (thrown instanceof ConvsweepError) return thrown;
    const path = this.#path;
    const disk = diskError(thrown, `cannot open the store ${path}`, path);
    if (disk !== null) return disk;
    const { code, message } = thrown as NodeJS.ErrnoException;
    const refused = UNUSABLE_FOLDER.has(code ?? "");
    const hint = refused ? "; name a folder of your own with --store or CONVSWEEP_STORE" : "";
    return new ConvsweepError(
      refused ? "FORBIDDEN" : "UNAVAILABLE",
      `cannot open the store ${path}: ${message}${hint}`,
      { path, cause: thrown },
    );
  }

  #found(): Begun {
    if (this.#begun === null) throw new ConvsweepError("INTERNAL", "the opening of a store has not begun");
    return this.#begun;
  }

  #missing(): ConvsweepError {
    const [folder, path] = [this.#folder, this.#path];
    const message = `the database ${path} is gone, but ${storeFilePath(folder)} says that there was one; ${adviceOf(folder)}`;
    return new ConvsweepError("CORRUPT", message, { path, expected: "the database of this store", found: "no file" });
  }

  /** A file that cannot be used is left as it is; whoever reads of it is told where help is. */
  #refusal(thrown: unknown): ConvsweepError {
    const path = this.#path;
    const error = openingError(thrown, path);
    if (error.code !== "CORRUPT") return error;
    return new ConvsweepError("CORRUPT", `${error.message}; ${adviceOf(this.#folder)}`, {
      path,
      ...(error.expected === null ? {} : { expected: error.expected }),
      ...(error.found === null ? {} : { found: error.found }),
      cause: error,
    });
  }
}
