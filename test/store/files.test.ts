/** What the SQLite store does with files: making, refusing, locking, modes, durability settings, backups, migrations. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readMigrations } from "../../coordinator/store/migrate.js";
import { APPLICATION_ID } from "../../coordinator/store/open.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import type { Store } from "../../coordinator/store/store.js";
import { attemptId, ConvsweepError, sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleEvent, sampleReport, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { scratchFolder } from "./scratch.js";

const trial = trialId(sweepId(1), 0);
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("files of the sqlite store", () => {
  let folder: ReturnType<typeof scratchFolder>;
  let dir: string;
  let db: string;
  let open: Store[];

  const openStore = (create = false): Store => {
    const store = openSqliteStore(dir, { create });
    open.push(store);
    return store;
  };
  const make = (): void => {
    const store = openSqliteStore(dir, { create: true });
    store.commit([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)]);
    store.close();
  };
  const refusal = (create = true): ConvsweepError => {
    try {
      openStore(create);
    } catch (thrown) {
      if (thrown instanceof ConvsweepError) return thrown;
      throw thrown;
    }
    throw new Error("it opened");
  };

  beforeEach(() => {
    folder = scratchFolder();
    dir = join(folder.path, "deep", "store");
    db = join(dir, "convsweep.db");
    open = [];
  });
  afterEach(() => {
    for (const store of open) store.close();
    folder.remove();
  });

  it("makes the folder 0700 and files 0600, whatever the umask", () => {
    const before = process.umask(0);
    try {
      const store = openStore(true);
      store.commit([sampleSweep(1)]);
      expect(mode(dir)).toBe("700");
      for (const name of readdirSync(dir)) expect(`${name} ${mode(join(dir, name))}`).toBe(`${name} 600`);
      expect(readdirSync(dir).sort()).toEqual([
        "convsweep.db",
        "convsweep.db-shm",
        "convsweep.db-wal",
        "hwm",
        "lock.db",
        "store.json",
      ]);
    } finally {
      process.umask(before);
    }
  });

  it("leaves the mode of a folder that was there", () => {
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o755);
    openStore(true);
    expect(mode(dir)).toBe("755");
    expect(mode(db)).toBe("600");
  });

  it("makes nothing unless asked to", () => {
    const error = refusal(false);
    expect(error.code).toBe("NOT_FOUND");
    expect(error.message).toContain("there is no store in");
    expect(existsSync(dir)).toBe(false);
  });

  it("clears what a creation cut short has left", () => {
    mkdirSync(dir, { recursive: true });
    writeFileSync(`${db}.new`, "half");
    openStore(true).commit([sampleSweep(1)]);
    expect(existsSync(`${db}.new`)).toBe(false);
  });

  it("keeps everything in WAL mode with FULL synchronisation", () => {
    make();
    const header = readFileSync(db);
    expect(header.readUInt32BE(68)).toBe(APPLICATION_ID);
    expect(header.toString("latin1", 68, 72)).toBe("cvsw");
    expect([header[18], header[19]]).toEqual([2, 2]);
    expect(header.readUInt32BE(60)).toBe(readMigrations().length);
  });

  describe("refuses, and leaves as it was,", () => {
    const cases: readonly (readonly [string, (path: string) => void, RegExp])[] = [
      ["an empty file", (path) => writeFileSync(path, ""), /the file is empty/],
      ["a text file", (path) => writeFileSync(path, "hello\n".repeat(100)), /it is not a SQLite database/],
      [
        "a database of another program",
        (path) => {
          const other = new Database(path);
          other.exec("CREATE TABLE t (a)");
          other.close();
        },
        /it is a database of another program/,
      ],
      [
        "a store of a newer version",
        (path) => {
          const other = new Database(path);
          other.pragma(`application_id = ${APPLICATION_ID}`);
          other.pragma("user_version = 99");
          other.close();
        },
        /a newer version of convsweep made it \(schema 99, this one knows up to \d+\); update convsweep/,
      ],
    ];
    it.each(cases)("%s", (_what, write, message) => {
      mkdirSync(dir, { recursive: true });
      write(db);
      const before = readFileSync(db);
      const error = refusal();
      expect(error.code).toBe("CORRUPT");
      expect(error.message).toMatch(message);
      expect(error.message).toContain(db);
      expect(readFileSync(db).equals(before)).toBe(true);
      expect(existsSync(`${db}-wal`)).toBe(false);
    });

    it("a file that was cut in half", () => {
      make();
      truncateSync(db, Math.floor(statSync(db).size / 8192) * 4096);
      expect(refusal().message).toMatch(/the file has been cut short/);
    });

    it("a file whose pages are damaged", () => {
      make();
      const file = openSync(db, "r+");
      writeSync(file, Buffer.alloc(4096 * 3, 0x5a), 0, 4096 * 3, 4096 * 2);
      const error = refusal();
      expect(error.code).toBe("CORRUPT");
      expect(error.message).toContain("cannot open the store");
    });

    it("a write-ahead log whose database is gone", () => {
      mkdirSync(dir, { recursive: true });
      writeFileSync(`${db}-wal`, "x");
      expect(refusal().message).toMatch(/convsweep\.db is gone but convsweep\.db-wal is there/);
      expect(existsSync(db)).toBe(false);
    });
  });

  it("refuses a second coordinator, names the first, and lets it in when the first is gone", () => {
    const first = openStore(true);
    writeFileSync(join(dir, "coordinator.json"), JSON.stringify({ pid: 4711, http: "http://127.0.0.1:7441" }));
    const error = refusal();
    expect(error.code).toBe("IN_USE");
    expect(error.message).toContain("another coordinator has the store");
    expect(error.message).toContain("(process 4711), its page is at http://127.0.0.1:7441");
    first.close();
    open = [];
    openStore().commit([sampleSweep(1)]);
  });

  it("recovers what a killed process committed, and its lock does not stay", () => {
    const script = `
      const { openSqliteStore } = await import(${JSON.stringify(pathToFileURL("dist/coordinator/store/sqlite.js").href)});
      const store = openSqliteStore(${JSON.stringify(dir)}, { create: true });
      store.commit(${JSON.stringify([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)])});
      process.kill(process.pid, "SIGKILL");`;
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    expect(child.signal).toBe("SIGKILL");
    expect(statSync(`${db}-wal`).size).toBeGreaterThan(0);
    const store = openStore();
    expect(store.load().trials.map((t) => t.id)).toEqual(["1/0"]);
    expect(store.info().commitSeq).toBe(1);
  });

  it("says a commit is durable later, once, or at once when it is told to hurry", async () => {
    const store = openStore(true);
    const before = store.info().commitSeq;
    const said: (string | number)[] = [];
    const later = (name: string, batch: Parameters<Store["commit"]>[0]) =>
      new Promise<() => void>((resolve) => {
        const hurry = store.commitLater?.(batch, (failed) => {
          said.push(name, store.info().commitSeq - before, String(failed));
          resolve(hurry ?? (() => undefined));
        });
        said.push("written", store.info().commitSeq - before);
        if (name === "hurried") hurry?.();
      });
    const hurry = await later("first", [sampleSweep(1), sampleTrial(1, 0)]);
    expect(said.splice(0)).toEqual(["written", 0, "first", 1, "null"]);
    hurry();
    const second = later("hurried", [sampleAttempt(trial, 1, 1)]);
    expect(said.splice(0)).toEqual(["written", 1, "hurried", 2, "null"]);
    await second;
    // The flush that was overtaken by the hurry ends in its own time, and says nothing.
    await later("third", [sampleReport(attemptId(trial, 1), 1, { val_loss: 1 })]);
    expect(said).toEqual(["written", 2, "third", 3, "null"]);
    expect(store.reports(trial)).toHaveLength(1);
    expect(() => store.commitLater?.([sampleTrial(2, 0)], () => said.push("never"))).toThrow(/a sweep of the store/);
    expect(said).not.toContain("never");
  });

  it("waits for the disk once a commit (fsyncs counted with strace)", (context) => {
    if (spawnSync("strace", ["-V"]).status !== 0) return context.skip("strace is not installed");
    const trace = join(folder.path, "trace");
    const script = `
      const { openSqliteStore } = await import(${JSON.stringify(pathToFileURL("dist/coordinator/store/sqlite.js").href)});
      const store = openSqliteStore(${JSON.stringify(dir)}, { create: true });
      const sweep = ${JSON.stringify(sampleSweep(1))};
      for (let i = 0; i < 200; i++) store.commit([{ ...sweep, sweep: { ...sweep.sweep, nextTrial: i } }]);
      store.close();`;
    const run = spawnSync(
      "strace",
      ["-f", "-e", "trace=fsync,fdatasync", "-o", trace, process.execPath, "--input-type=module", "-e", script],
      { encoding: "utf8" },
    );
    if (/ptrace|PTRACE/.test(run.stderr)) return context.skip("strace may not trace here");
    expect(run.stderr).toBe("");
    const syncs = readFileSync(trace, "utf8").match(/f(data)?sync\(/g)?.length ?? 0;
    expect(syncs).toBeGreaterThanOrEqual(200);
  });

  it("writes a trial whole after a transaction that held it was undone", () => {
    const store = openStore(true);
    const opening = sampleTrial(1, 0);
    const holder = sampleAttempt(trial, 1, 1);
    store.commit([sampleSweep(1)]);
    const other = new Database(db);
    other.exec("CREATE TRIGGER refusing BEFORE INSERT ON base_events BEGIN SELECT RAISE(ABORT, 'not now'); END");
    expect(() => store.commit([opening, holder, sampleEvent()])).toThrow(/not now/);
    other.exec("DROP TRIGGER refusing");
    other.close();
    const progress = { epoch: 3, metrics: { val_loss: 0.5 } };
    store.commit([
      { kind: "putTrial", trial: { ...opening.trial, ...progress } },
      { kind: "putAttempt", attempt: { ...holder.attempt, lastEpoch: 3 } },
    ]);
    store.close();
    const again = openStore();
    expect(again.load().trials).toEqual([{ ...opening.trial, ...progress }]);
    expect(again.load().attempts).toEqual([{ ...holder.attempt, lastEpoch: 3 }]);
  });

  it("backs up while commits go on, never over a file, and the copy is a store", async () => {
    const store = openStore(true);
    store.commit([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)]);
    for (let i = 0; i < 50; i++) {
      store.commit(
        Array.from({ length: 50 }, (_, k) => sampleReport(attemptId(trial, 1), i * 50 + k, { loss: i, accuracy: k })),
      );
    }
    const target = join(folder.path, "copy", "convsweep.db");
    mkdirSync(join(folder.path, "copy"));
    const done = store.backup(target);
    store.commit([sampleTrial(1, 1)]);
    await done;
    expect(mode(target)).toBe("600");
    expect(readdirSync(join(folder.path, "copy"))).toEqual(["convsweep.db"]);
    await expect(store.backup(target)).rejects.toThrow(/exists already/);
    await expect(store.backup(join(folder.path, "nowhere", "x.db"))).rejects.toThrow(/there is no folder/);
    const copy = openSqliteStore(join(folder.path, "copy"), { create: false });
    open.push(copy);
    expect(copy.attemptReports(attemptId(trial, 1))).toEqual(store.attemptReports(attemptId(trial, 1)));
    expect(copy.info().uuid).toBe(store.info().uuid);
  });

  it("brings an older schema up to date and keeps the file as it was", () => {
    make();
    const migrations = readMigrations();
    const old = join(folder.path, "old");
    mkdirSync(old);
    const oldDb = new Database(join(old, "convsweep.db"));
    oldDb.pragma(`application_id = ${APPLICATION_ID}`);
    oldDb.exec(migrations[0]?.sql ?? "");
    oldDb.exec("INSERT INTO base_meta VALUES ('uuid', 'abc'); UPDATE base_counters SET last_token = 5");
    oldDb.pragma("user_version = 1");
    oldDb.close();
    const store = openSqliteStore(old, { create: false });
    open.push(store);
    expect(store.info().schemaVersion).toBe(migrations.length);
    expect(store.load().lastToken).toBe(5);
    const kept = new Database(join(old, "convsweep.db.schema-1"), { readonly: true });
    expect(kept.pragma("user_version", { simple: true })).toBe(1);
    kept.close();
  });

  it("has migrations numbered from 1 without gaps", () => {
    expect(readMigrations().map((migration) => migration.version)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const odd = join(folder.path, "migrations");
    mkdirSync(odd);
    for (const name of ["0001_a.sql", "0003_c.sql"]) writeFileSync(join(odd, name), "SELECT 1;");
    expect(() => readMigrations(pathToFileURL(`${odd}/`))).toThrow(/0003_c\.sql is not number 2/);
  });

  it("copies of the file open elsewhere", () => {
    make();
    const other = join(folder.path, "other");
    mkdirSync(other);
    copyFileSync(db, join(other, "convsweep.db"));
    const store = openSqliteStore(other, { create: false });
    open.push(store);
    expect(store.load().trials).toHaveLength(1);
  });
});
