/** Commits one row after the other, with a log that is copied all the time, and says each once it is committed, until it is killed. */
import { writeSync } from "node:fs";
import Database from "better-sqlite3";
import { LogCopy } from "../../dist/coordinator/store/log-copy.js";

const [path, from, keys] = process.argv.slice(2);
const db = new Database(path);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = NORMAL");
db.exec("CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, n INTEGER, padding TEXT)");
const copy = new LogCopy(db, path, { copied: 20, finished: 60, rest: 30, most: 200 });
const put = db.prepare("INSERT INTO t VALUES (?, ?, ?) ON CONFLICT (k) DO UPDATE SET n = excluded.n");
for (let n = Number(from); ; n += 1) {
  put.run(n % Number(keys), n, "x".repeat(3_000));
  copy.written();
  writeSync(1, `${n}\n`);
  // Messages of the thread, and its end.
  if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
}
