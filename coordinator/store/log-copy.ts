/**
 * Copies SQLite's write-ahead log into the database in a thread of its own (log-copy-thread.ts), while commits go on.
 *
 * SQLite begins the log anew with a commit that finds all of it copied and nobody reading it. The thread copies what there
 * is when it begins, the bulk; each commit that finds the log still too long sends it after the rest, which is as much as
 * was committed meanwhile, until it is done between two commits. Nobody waits for that.
 *
 * Guarantees: no commit fails because of it, as it copies without locking out a writer; a log that goes on growing although
 * little of it is left to copy is finished here, and one that outgrows the thread holds commits up. What could not be
 * copied stays in the log, is told once and tried again; whatever the disk has kept of the first try is written again.
 * Nothing is copied before the disk has it in the log (SQLite flushes that first). A reader keeps the log from beginning
 * anew for as long as it reads. Not here: making a commit durable (log-flush.ts).
 */
import { Worker } from "node:worker_threads";
import type { Database, Statement } from "better-sqlite3";
import { childPath } from "./child-path.js";

/** Lengths of the log in pages of 4 KiB. */
export interface LogLimits {
  /**
   * Copied from here on: 16 MiB. A page that every report touches is copied once for all its versions in the log, so a longer
   * log copies less; reading it again after a kill takes some tens of milliseconds.
   */
  readonly copied: number;
  /** So long, and no more than `rest` left to copy: that is done on the main thread. */
  readonly finished: number;
  readonly rest: number;
  /** So long: each commit waits for the thread. */
  readonly most: number;
}

const LIMITS: LogLimits = { copied: 4_000, finished: 16_000, rest: 250, most: 64_000 };
/** A commit waits no longer, so that sockets are served also while a very long log is copied. */
const HOLD_MILLIS = 1_000;
/** After a failure. */
const AGAIN_MILLIS = 1_000;
/** Longer than copying takes; a connection that is not closed then only keeps the log from being removed. */
const END_MILLIS = 30_000;

/** What the one word says that the two threads share. Asked for by the main thread, answered by `IDLE` and `ENDED`. */
export const IDLE = 0;
export const WANTED = 1;
export const ENDING = 2;
export const ENDED = 3;

export interface LogCopyTask {
  readonly path: string;
  readonly state: Int32Array;
}

/** Of `PRAGMA wal_checkpoint`: whether another had the log, its pages, those of them that are copied. */
type Progress = readonly [busy: number, pages: number, copied: number];

export class LogCopy {
  readonly #db: Database;
  readonly #path: string;
  readonly #limits: LogLimits;
  readonly #length: Statement<[], Progress>;
  readonly #copy: Statement<[], Progress>;
  readonly #state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  #thread: Worker | null = null;
  /** Moment from which on it is tried again; `null` while nothing fails. */
  #failing: number | null = null;
  #tell: (why: string) => void = () => {};

  constructor(db: Database, path: string, limits: LogLimits = LIMITS) {
    this.#db = db;
    this.#path = path;
    this.#limits = limits;
    db.pragma("wal_autocheckpoint = 0");
    this.#length = db.prepare<[], Progress>("PRAGMA wal_checkpoint(NOOP)").raw();
    this.#copy = db.prepare<[], Progress>("PRAGMA wal_checkpoint(PASSIVE)").raw();
  }

  /** Calls `tell` with why the log cannot be copied, once until it can be. */
  onFailure(tell: (why: string) => void): void {
    this.#tell = tell;
  }

  /** After each commit, when it is in the log. */
  written(): void {
    const { copied, finished, rest, most } = this.#limits;
    const [, pages, done] = this.#length.get() as Progress;
    if (pages < copied) {
      this.#failing = null;
      return;
    }
    if (this.#failing !== null && performance.now() < this.#failing) return;
    const at = Atomics.load(this.#state, 0);
    if (at === ENDED || (at === IDLE && pages >= finished && pages - done <= rest)) return this.#finish();
    if (at === IDLE) this.#ask();
    if (pages >= most) Atomics.wait(this.#state, 0, WANTED, HOLD_MILLIS);
  }

  /** Waits for what the thread is at. The caller closes its own connection afterwards, as the last one. */
  close(): void {
    if (this.#thread === null || Atomics.load(this.#state, 0) === ENDED) return;
    Atomics.store(this.#state, 0, ENDING);
    Atomics.notify(this.#state, 0);
    Atomics.wait(this.#state, 0, ENDING, END_MILLIS);
  }

  #ask(): void {
    Atomics.store(this.#state, 0, WANTED);
    Atomics.notify(this.#state, 0);
    this.#thread ??= this.#start();
  }

  #start(): Worker {
    const workerData: LogCopyTask = { path: this.#path, state: this.#state };
    const thread = new Worker(childPath("log-copy-thread"), { workerData, env: {}, execArgv: [] });
    thread.unref();
    thread.on("message", (why: string) => this.#failed(why));
    thread.on("error", (error) => this.#failed((error as Error).message));
    // Copying goes on here without it.
    thread.on("exit", () => Atomics.store(this.#state, 0, ENDED));
    return thread;
  }

  #finish(): void {
    try {
      this.#copy.get();
    } catch (thrown) {
      this.#failed((thrown as Error).message);
    }
  }

  #failed(why: string): void {
    if (!this.#db.open) return;
    const known = this.#failing !== null;
    this.#failing = performance.now() + AGAIN_MILLIS;
    if (!known) this.#tell(why);
  }
}
