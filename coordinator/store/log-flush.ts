/**
 * Makes what was written to SQLite's write-ahead log durable, on request, beside the main thread or on it.
 *
 * A connection with `synchronous = NORMAL` writes every commit to the log and leaves the flush to this. Guarantees: what
 * was in the log when a flush began is on the disk when it is said to be done; the file stays open until the last one has
 * ended. A flush that failed is never tried again: nobody knows what the disk has.
 *
 * Of the log alone, so closing it does not touch SQLite's locks, which are on other files. Each kind of flush has a file
 * descriptor of its own: the system tells each of a failure once, whoever asks first.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";

type Done = (failed: Error | null) => void;

export class LogFlush {
  readonly #here: number;
  readonly #beside: number;
  #waiting: Done | null = null;
  /** Flushes that the system is at, also those that nobody waits for any more. */
  #running = 0;
  #closed = false;

  /** The log is there: something has been written since the database was opened. */
  constructor(databasePath: string) {
    const log = `${databasePath}-wal`;
    this.#here = openSync(log, "r+");
    this.#beside = openSync(log, "r+");
  }

  /** Waits for the disk. */
  now(): void {
    fdatasyncSync(this.#here);
  }

  /** Calls `done` later, once. The answer waits for the disk and calls it at once, if it has not been called. */
  later(done: Done): () => void {
    this.#waiting = done;
    this.#running += 1;
    fdatasync(this.#beside, (failed) => {
      this.#running -= 1;
      if (this.#closed && this.#running === 0) closeSync(this.#beside);
      this.#settle(done, failed);
    });
    return () => {
      if (this.#waiting !== done) return;
      let failed: Error | null = null;
      try {
        this.now();
      } catch (thrown) {
        failed = thrown as Error;
      }
      this.#settle(done, failed);
    };
  }

  /** Nobody is called any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting = null;
    closeSync(this.#here);
    if (this.#running === 0) closeSync(this.#beside);
  }

  #settle(done: Done, failed: Error | null): void {
    if (this.#waiting !== done) return;
    this.#waiting = null;
    done(failed);
  }
}
