/** The log is copied into the database beside the writer, who never waits and never fails because of it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { LogCopy, type LogLimits } from "../../coordinator/store/log-copy.js";
import { scratchFolder } from "./scratch.js";

const folder = scratchFolder();
afterAll(() => folder.remove());

const path = join(folder.path, "a.db");
const KEYS = 200;
let db: Database.Database;
let copy: LogCopy;

beforeEach(() => {
  for (const tail of ["", "-wal", "-shm"]) rmSync(path + tail, { force: true });
  db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  db.exec("CREATE TABLE t (k INTEGER PRIMARY KEY, n INTEGER, padding TEXT)");
});
afterEach(() => {
  copy.close();
  db.close();
});

/** Pages in the log. */
const length = (): number => (db.pragma("wal_checkpoint(NOOP)") as { log: number }[])[0]?.log ?? 0;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** As a writer that pauses: until all of the log is in the database. */
async function caughtUp(): Promise<void> {
  for (;;) {
    const [state] = db.pragma("wal_checkpoint(NOOP)") as { log: number; checkpointed: number }[];
    if (state === undefined || state.checkpointed >= state.log) return;
    copy.written();
    await turn();
  }
}

/** Commits `n`, each row of about a page of its own; answers how long the log is. */
function write(n: number): number {
  const put = db.prepare("INSERT INTO t VALUES (?, ?, ?) ON CONFLICT (k) DO UPDATE SET n = excluded.n");
  put.run(n % KEYS, n, "x".repeat(3_000));
  copy.written();
  return length();
}

/** The last value of every key, as a reader sees it that has the database's own file alone. */
function expectWhole(commits: number): void {
  const rows = db.prepare<[], { k: number; n: number }>("SELECT k, n FROM t ORDER BY k").all();
  const last = (k: number): number => k + KEYS * Math.floor((commits - 1 - k) / KEYS);
  expect(rows).toEqual(Array.from({ length: Math.min(KEYS, commits) }, (_, k) => ({ k, n: last(k) })));
  expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
}

const limits = (more: Partial<LogLimits>): LogLimits => ({ copied: 50, finished: 1e9, rest: 0, most: 1e9, ...more });

describe("under a writer that never pauses", () => {
  it("the log stays below the bound at which commits wait, and a few commits", async () => {
    copy = new LogCopy(db, path, limits({ finished: 100, rest: 60, most: 400 }));
    let longest = 0;
    for (let n = 0; n < 5_000; n += 1) {
      longest = Math.max(longest, write(n));
      // As a coordinator's event loop would: sockets between two commits.
      if (n % 10 === 0) await turn();
    }
    expect(longest).toBeGreaterThanOrEqual(50);
    expect(longest).toBeLessThan(420);
    expectWhole(5_000);
  });

  it("and no event loop turns: the same", () => {
    copy = new LogCopy(db, path, limits({ finished: 100, rest: 60, most: 400 }));
    let longest = 0;
    for (let n = 0; n < 2_000; n += 1) longest = Math.max(longest, write(n));
    expect(longest).toBeLessThan(420);
    expectWhole(2_000);
  });
});

it("begins anew between two commits, without a copying on the writer's thread", async () => {
  copy = new LogCopy(db, path, limits({}));
  let before = 0;
  let anew = 0;
  for (let n = 0; anew < 3; n += 1) {
    const now = write(n);
    if (now < before) anew += 1;
    before = now;
    if (now >= 50) await caughtUp();
  }
  expect(anew).toBe(3);
});

it("a reader keeps the log; when it is gone all is copied", async () => {
  copy = new LogCopy(db, path, limits({}));
  let n = 0;
  write(n++);
  const reader = new Database(path, { readonly: true });
  const rows = reader.prepare("SELECT k FROM t").iterate();
  rows.next();
  const held = 500;
  while (length() < held) {
    write(n++);
    await turn();
  }
  rows.return?.();
  reader.close();
  write(n++);
  await caughtUp();
  expect(write(n++)).toBeLessThan(held);
  expectWhole(n);
});

it("closed while the thread is at it: nothing is left beside the database, which is whole", () => {
  copy = new LogCopy(db, path, limits({}));
  for (let n = 0; n < 300; n += 1) write(n);
  copy.close();
  db.close();
  expect(existsSync(`${path}-wal`)).toBe(false);
  db = new Database(path);
  expectWhole(300);
});

it("goes on without a thread that is lost", async () => {
  copy = new LogCopy(db, join(folder.path, "no such file"), limits({ most: 400 }));
  const told: string[] = [];
  copy.onFailure((why) => told.push(why));
  let n = 0;
  let before = 0;
  for (let now = 0; now >= before || told.length === 0; now = write(n++)) {
    before = now;
    await turn();
  }
  expect(told.length).toBe(1);
  expect(told[0]).toMatch(/unable to open|does not exist/);
  expectWhole(n);
});

it("killed again and again in the middle: every commit that was told is there, and the next process goes on", async () => {
  copy = new LogCopy(db, path, limits({}));
  copy.close();
  db.close();
  const writer = fileURLToPath(new URL("./log-copy-writer.mjs", import.meta.url));
  let next = 0;
  for (let life = 1; life <= 12; life += 1) {
    const child = spawn(process.execPath, [writer, path, String(next), String(KEYS)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(child, "close");
    const first = next;
    for await (const line of createInterface({ input: child.stdout })) {
      next = Number(line) + 1;
      // Each life at another point of a copying.
      if (next - first === 40 + 37 * life) child.kill("SIGKILL");
    }
    await ended;
    db = new Database(path);
    // One more may have been committed and not told.
    const newest = db.prepare<[], number>("SELECT max(n) + 1 FROM t").pluck().get() ?? 0;
    expect(next - first).toBeGreaterThanOrEqual(40 + 37 * life);
    expect([next, next + 1]).toContain(newest);
    next = newest;
    expectWhole(newest);
    db.close();
  }
  db = new Database(path);
});
