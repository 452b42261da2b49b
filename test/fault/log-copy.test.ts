/** A disk that fills up in the middle of copying the log into the database. Needs root. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import Database from "better-sqlite3";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LogCopy } from "../../coordinator/store/log-copy.js";
import { scratchFolder } from "../store/scratch.js";
import { fill, mountSmall, unmount, whyNoMounts } from "./small-disk.js";

const why = whyNoMounts();
if (why !== null) process.stderr.write(`SKIP test/fault/log-copy.test.ts: ${why}\n`);

const PAGE = 4_096;
const ROWS = 200;
/** Of the pages that are to be copied the disk has room for about so many. */
const ROOM = 60;

const turn = () => new Promise((resolve) => setImmediate(resolve));
type Progress = { readonly log: number; readonly checkpointed: number };

describe.skipIf(why !== null)("a disk that fills up while the log is copied", () => {
  const folder = scratchFolder();
  afterEach(() => {
    vi.restoreAllMocks();
    unmount(folder.path);
    folder.remove();
  });

  it("is told once, tried again, loses nothing, and with space all is copied", async () => {
    mountSmall(folder.path, 4_096);
    const path = join(folder.path, "a.db");
    const db = new Database(path);
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = NORMAL");
    db.exec("CREATE TABLE t (k INTEGER PRIMARY KEY, padding TEXT)");
    db.pragma("wal_checkpoint(TRUNCATE)");
    const copy = new LogCopy(db, path, { copied: 50, finished: 1e9, rest: 0, most: 1e9 });
    const told: string[] = [];
    copy.onFailure((reason) => told.push(reason));
    const progress = (): Progress => (db.pragma("wal_checkpoint(NOOP)") as Progress[])[0] as Progress;
    const rows = (): unknown => db.prepare("SELECT count(*), sum(length(padding)), sum(k) FROM t").raw().get();
    const all = [ROWS, ROWS * 3_000, (ROWS * (ROWS - 1)) / 2];

    // Each row is a page of its own, so the database has to grow by as many.
    const put = db.prepare("INSERT INTO t VALUES (?, ?)");
    for (let k = 0; k < ROWS; k += 1) put.run(k, "x".repeat(3_000));
    const before = statSync(path).size;
    const filler = join(folder.path, "filler");
    fill(filler, ROOM * PAGE);

    let now = performance.now();
    vi.spyOn(performance, "now").mockImplementation(() => now);
    copy.written();
    while (told.length === 0) await turn();
    expect(told).toEqual([expect.stringMatching(/database or disk is full.*SQLITE_FULL/)]);
    // In the middle: some of it was written, not all.
    const grown = (statSync(path).size - before) / PAGE;
    expect(grown).toBeGreaterThan(0);
    expect(grown).toBeLessThan(ROWS);
    expect(progress().checkpointed).toBeLessThan(progress().log);
    expect(rows()).toEqual(all);

    // It fails again, and nobody is told what is known.
    const failed = vi.fn();
    const again = new LogCopy(db, path, { copied: 50, finished: 0, rest: 1e9, most: 1e9 });
    again.onFailure(failed);
    now += 2_000;
    for (let i = 0; i < 3; i += 1, now += 2_000) again.written();
    expect(failed).toHaveBeenCalledTimes(1);
    expect(rows()).toEqual(all);

    rmSync(filler);
    for (; progress().checkpointed < progress().log; now += 2_000) {
      copy.written();
      await turn();
    }
    expect(told).toHaveLength(1);
    copy.close();
    db.close();
    const whole = new Database(path, { readonly: true });
    expect(whole.prepare("SELECT count(*), sum(length(padding)), sum(k) FROM t").raw().get()).toEqual(all);
    expect(whole.pragma("integrity_check", { simple: true })).toBe("ok");
    whole.close();
  });
});
