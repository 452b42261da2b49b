/**
 * The thread that copies the log of a database for log-copy.ts, on a connection of its own, whenever that is wanted. It
 * sleeps in between. Says why when a copying failed, and nothing otherwise.
 */
import { parentPort, workerData } from "node:worker_threads";
import Database from "better-sqlite3";
import { ENDED, ENDING, IDLE, type LogCopyTask, WANTED } from "./log-copy.js";

const { path, state } = workerData as LogCopyTask;
let db: Database.Database | null = null;
try {
  db = new Database(path, { fileMustExist: true });
  // The database is flushed before it counts as copied.
  db.pragma("synchronous = FULL");
  // A connection finds the log when it first reads.
  db.pragma("user_version");
  work(db.prepare("PRAGMA wal_checkpoint(PASSIVE)"));
} catch (thrown) {
  say(thrown);
} finally {
  db?.close();
  answer(ENDED);
}

function work(copy: Database.Statement): void {
  for (let at = Atomics.load(state, 0); at !== ENDING; at = Atomics.load(state, 0)) {
    if (at === IDLE) {
      Atomics.wait(state, 0, IDLE);
      continue;
    }
    try {
      copy.get();
    } catch (thrown) {
      say(thrown);
    }
    answer(IDLE);
  }
}

/** The end may be wanted since. */
function answer(now: number): void {
  if (now === ENDED) Atomics.store(state, 0, ENDED);
  else Atomics.compareExchange(state, 0, WANTED, now);
  Atomics.notify(state, 0);
}

function say(thrown: unknown): void {
  const { message, code } = thrown as Error & { readonly code?: unknown };
  parentPort?.postMessage(`${message} (${String(code)})`);
}
