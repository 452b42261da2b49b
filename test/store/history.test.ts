/** A store that is older than it was, gone, or damaged: noticed, named, survived (A14 to A20 of docs/fault-plan/a.md). */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { examineBackup, listBackups, newBackupPath, pruneBackups } from "../../coordinator/store/backups.js";
import { examineStore } from "../../coordinator/store/examine.js";
import { demandLocalDisk } from "../../coordinator/store/file-system.js";
import { HighWaterMark, readMark, readStoreFile } from "../../coordinator/store/history.js";
import { restoreStore } from "../../coordinator/store/restore.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import type { Store } from "../../coordinator/store/store.js";
import { attemptId, ConvsweepError, sweepId, token, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleReport, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { scratchFolder } from "./scratch.js";

const trial = trialId(sweepId(1), 0);
const attempt = attemptId(trial, 1);
const COMMITS = 300;

let folder: ReturnType<typeof scratchFolder>;
let open: Store[];

beforeEach(() => {
  folder = scratchFolder();
  open = [];
});
afterEach(() => {
  for (const store of open) store.close();
  folder.remove();
});

function openStore(dir: string, more: { readonly acceptRollback?: boolean } = {}): Store {
  const store = openSqliteStore(dir, { create: true, ...more });
  open.push(store);
  return store;
}

function begin(store: Store): void {
  store.commit([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)]);
}

function report(store: Store, epoch: number): void {
  store.commit([sampleReport(attempt, epoch, { loss: epoch })]);
}

/** A store as a killed process leaves it: commits in the database and in the log beside it, and the mark. */
function killed(): { readonly dir: string; readonly wal: string; readonly db: string } {
  const from = join(folder.path, "alive");
  const dir = join(folder.path, "killed");
  mkdirSync(dir);
  const store = openStore(from);
  begin(store);
  for (let epoch = 1; epoch < COMMITS; epoch += 1) report(store, epoch);
  for (const name of ["convsweep.db", "convsweep.db-wal"]) copyFileSync(join(from, name), join(dir, name));
  store.close();
  for (const name of ["store.json", "hwm"]) copyFileSync(join(from, name), join(dir, name));
  return { dir, db: join(dir, "convsweep.db"), wal: join(dir, "convsweep.db-wal") };
}

function refusal(dir: string): ConvsweepError {
  try {
    openStore(dir);
  } catch (thrown) {
    if (thrown instanceof ConvsweepError) return thrown;
    throw thrown;
  }
  throw new Error("it opened");
}

/** Of a descriptor that may be closed meanwhile. */
function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe("A14: a write-ahead log that lost its end", () => {
  it.each<[string, (wal: string) => void]>([
    ["cut by one byte", (wal) => truncateSync(wal, statSync(wal).size - 1)],
    ["cut to half", (wal) => truncateSync(wal, statSync(wal).size / 2)],
    ["a bit of its middle flipped", (wal) => flip(wal, Math.floor(statSync(wal).size / 2))],
    ["deleted", (wal) => rmSync(wal)],
  ])("%s: refused by name, accepted when told to", (_, damage) => {
    const { dir, wal } = killed();
    damage(wal);
    const error = refusal(dir);
    expect(error.code).toBe("CORRUPT");
    const [, made, holds] = /: ([0-9]+) commits were made, it holds ([0-9]+) /.exec(error.message) ?? [];
    expect(Number(made)).toBe(COMMITS);
    expect(Number(holds)).toBeLessThan(COMMITS);
    expect(error.message).toContain("--accept-rollback");
    expect(examineStore(dir).find(({ what }) => what === "history")).toMatchObject({ verdict: "bad" });

    const store = openStore(dir, { acceptRollback: true });
    expect(store.position()).toMatchObject({ generation: 1, commit: Number(holds) });
    // Above all tokens of the generation before; and its process did not close the store.
    expect(store.position().openings.at(-1)?.tokens).toBe(2 ** 40 + 2 ** 16);
    expect(store.openingNotes()).toEqual([
      {
        kind: "rollback-accepted",
        detail: `${COMMITS} commits were made, it holds ${holds}; generation 1 begins`,
      },
    ]);
    store.close();
    // Accepted once is accepted.
    const again = openStore(dir);
    expect(again.position().generation).toBe(1);
    expect(again.openingNotes()).toEqual([]);
  });

  it("A18: whole, but without its index file: opens with every commit", () => {
    const { dir } = killed();
    expect(existsSync(join(dir, "convsweep.db-shm"))).toBe(false);
    const store = openStore(dir);
    expect(store.position()).toMatchObject({ generation: 0, commit: COMMITS });
    expect(store.reports(trial)).toHaveLength(COMMITS - 1);
  });

  it("every opening is on record with the commits that it found; one that was not closed is a crash", () => {
    const dir = join(folder.path, "store");
    const first = openStore(dir);
    begin(first);
    expect(first.position()).toMatchObject({ openings: [{ commit: 0, tokens: 0 }] });
    first.close();
    const second = openStore(dir);
    report(second, 1);
    report(second, 2);
    second.commit([{ kind: "setTokens", last: token(7) }]);
    expect(second.position().openings.map(({ commit }) => commit)).toEqual([0, 1]);
    expect(second.position().openings[0]).toEqual(first.position().openings[0]);
    expect(second.position().openings[1]?.tokens).toBe(0);
    const left = join(folder.path, "left");
    mkdirSync(left);
    for (const name of ["convsweep.db", "convsweep.db-wal"]) copyFileSync(join(dir, name), join(left, name));
    const third = openStore(left);
    expect(third.position().openings.map(({ commit }) => commit)).toEqual([0, 1, 4]);
    expect(third.position().openings[2]?.tokens).toBe(7 + 2 ** 16);
    const bare = join(folder.path, "bare");
    mkdirSync(bare);
    copyFileSync(join(dir, "convsweep.db"), join(bare, "convsweep.db"));
    const fourth = openStore(bare);
    expect(fourth.position().openings.map(({ commit }) => commit)).toEqual([0, 1, 1]);
    expect(fourth.position().openings[2]?.tokens).toBe(2 ** 16);
    // A process that is killed before its first commit, and one after it.
    for (const n of [2, 3]) {
      const next = join(folder.path, `bare-${n}`);
      mkdirSync(next);
      const [from, last] = n === 2 ? [bare, fourth] : [join(folder.path, "bare-2"), open.at(-1)];
      expect(last?.position().commit).toBe(1);
      copyFileSync(join(from, "convsweep.db"), join(next, "convsweep.db"));
      expect(openStore(next).position().openings.at(-1)?.tokens).toBe(n * 2 ** 16);
    }
    expect(new Set(third.position().openings.map(({ id }) => id)).size).toBe(3);
  });

  it("the mark says the newest commit also when it is closed while the system writes the one before", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const of = { store: "s", generation: 0 };
      const path = join(folder.path, "hwm");
      const isMark = (fd: string): boolean => linkOf(`/proc/self/fd/${fd}`) === path;
      const isOpen = (): boolean => readdirSync("/proc/self/fd").some(isMark);
      for (let commit = 1; commit < 400; commit += 2) {
        const mark = new HighWaterMark(folder.path, of, commit - 1);
        mark.note(commit);
        vi.advanceTimersByTime(1_000);
        mark.note(commit + 1);
        mark.close();
        expect(readMark(folder.path, of)).toBe(commit + 1);
        // Until the write that was under way has ended too.
        while (isOpen()) await new Promise((resolve) => setImmediate(resolve));
        expect(readMark(folder.path, of)).toBe(commit + 1);
      }
    } finally {
      vi.useRealTimers();
    }
  });

  it("a mark torn by a crash is the one before it", () => {
    const { dir } = killed();
    const mark = readFileSync(join(dir, "hwm"));
    const known = readStoreFile(dir);
    if (known === null) throw new Error("no store.json");
    const halves = [0, 128].map((slot) => {
      const torn = Buffer.from(mark);
      torn.fill("x", slot + 20, slot + 60);
      writeFileSync(join(dir, "hwm"), torn);
      return readMark(dir, known) ?? 0;
    });
    expect(Math.max(...halves)).toBe(COMMITS);
    expect(Math.min(...halves)).toBeGreaterThanOrEqual(0);
  });
});

describe("a database that cannot be used", () => {
  const withBackup = async (): Promise<{ dir: string; db: string; backup: string }> => {
    const dir = join(folder.path, "store");
    const store = openStore(dir);
    begin(store);
    for (let epoch = 1; epoch < 200; epoch += 1) report(store, epoch);
    const backup = newBackupPath(dir, new Date());
    await store.backup(backup);
    store.close();
    return { dir, db: join(dir, "convsweep.db"), backup };
  };

  it.each<[string, (db: string) => void]>([
    ["A15 cut to half", (db) => truncateSync(db, Math.floor(statSync(db).size / 8192) * 4096)],
    ["A15 with the head of a page flipped", (db) => flip(db, 3 * 4096)],
    ["A15 with its first bytes overwritten", (db) => writeFileSync(db, "garbage".repeat(2000))],
    ["A16 of 0 bytes", (db) => truncateSync(db, 0)],
    ["A16 gone", (db) => rmSync(db)],
  ])("%s: refused, left as it was, and the newest good backup is named", async (_, damage) => {
    const { dir, db, backup } = await withBackup();
    damage(db);
    const before = existsSync(db) ? readFileSync(db) : null;
    const error = refusal(dir);
    expect(error.code).toBe("CORRUPT");
    expect(error.message).toContain(`the newest good backup is ${backup} (200 commits)`);
    expect(existsSync(db) ? readFileSync(db) : null).toEqual(before);
    const findings = examineStore(dir);
    expect(findings.some(({ verdict }) => verdict === "bad")).toBe(true);
    expect(findings.map(({ detail }) => detail).join()).toContain(backup);

    const restored = restoreStore(dir, backup, new Date());
    expect(restored).toMatchObject({ commit: 200, generation: 1 });
    const store = openStore(dir);
    expect(store.reports(trial)).toHaveLength(199);
    expect(store.position()).toMatchObject({ commit: 200, generation: 1 });
    expect(store.events({ sweep: null, trial: null, limit: 10 }).map(({ kind }) => kind)).toEqual(["store-restored"]);
  });

  it("passes over a backup that is damaged itself", async () => {
    const { dir, db, backup } = await withBackup();
    truncateSync(backup, 5000);
    expect(examineBackup(backup).good).toBe(false);
    rmSync(db);
    expect(refusal(dir).message).toContain("there is no good backup beside it");
    expect(() => restoreStore(dir, backup, new Date())).toThrow(/is not a good backup/);
  });

  it("A17: of another store is refused, by restore too", async () => {
    const { dir, db, backup } = await withBackup();
    const other = join(folder.path, "other");
    openStore(other).close();
    expect(() => restoreStore(other, backup, new Date())).toThrow(/is a backup of another store/);
    rmSync(db);
    copyFileSync(join(other, "convsweep.db"), db);
    expect(refusal(dir).message).toContain("is of another store than store.json says");
  });
});

describe("A19: a backup made while results come in", () => {
  it("holds a whole state, and what it lacks is not given out again", async () => {
    const dir = join(folder.path, "store");
    const store = openStore(dir);
    begin(store);
    let epoch = 0;
    let done = false;
    const backup = newBackupPath(dir, new Date());
    const copying = store.backup(backup).finally(() => {
      done = true;
    });
    while (!done) {
      epoch += 1;
      report(store, epoch);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await copying;
    for (const last = epoch + 50; epoch < last; ) {
      epoch += 1;
      report(store, epoch);
    }
    const { commit } = store.position();
    store.close();
    expect(examineBackup(backup)).toMatchObject({ good: true });
    const restored = restoreStore(dir, backup, new Date());
    expect(restored.commit).toBeLessThanOrEqual(commit - 50);
    expect(restored.generation).toBe(1);
    expect(restored.kept).not.toBeNull();
    const again = openStore(dir);
    // One report a commit, the first commit has none.
    expect(again.reports(trial)).toHaveLength(restored.commit - 1);
    expect(again.position().generation).toBe(1);
  });

  it("a copy put back by hand is noticed too", async () => {
    const dir = join(folder.path, "store");
    const store = openStore(dir);
    begin(store);
    const backup = join(folder.path, "monday.db");
    await store.backup(backup);
    for (let epoch = 1; epoch < 20; epoch += 1) report(store, epoch);
    store.close();
    renameSync(backup, join(dir, "convsweep.db"));
    expect(refusal(dir).message).toContain("20 commits were made, it holds 1");
  });

  it("restores into an empty folder: moving to another machine", async () => {
    const store = openStore(join(folder.path, "store"));
    begin(store);
    const backup = join(folder.path, "moving.db");
    await store.backup(backup);
    const { uuid } = store.position();
    expect(restoreStore(join(folder.path, "new"), backup, new Date())).toMatchObject({ generation: 1, kept: null });
    expect(openStore(join(folder.path, "new")).position()).toMatchObject({ uuid, generation: 1, commit: 1 });
  });

  it("keeps so many backups and no more", () => {
    const dir = join(folder.path, "store");
    openStore(dir);
    for (let hour = 0; hour < 30; hour += 1) {
      writeFileSync(newBackupPath(dir, new Date(Date.UTC(2026, 0, 1, hour))), "");
    }
    pruneBackups(dir, 24);
    expect(listBackups(dir)).toHaveLength(24);
  });
});

it("A23: a folder on a network file system is refused, unless its owner accepts that", () => {
  expect(() => demandLocalDisk("/srv", () => 0x6969)).toThrow(/\/srv lies on NFS/);
  expect(() => demandLocalDisk("/srv", () => 0xff53_4d42)).toThrow(/lies on CIFS/);
  demandLocalDisk("/srv", () => 0xef53);
  demandLocalDisk("/srv", () => 0x0102_1994);
});

it("doctor finds nothing to say of a sound store", () => {
  const dir = join(folder.path, "store");
  begin(openStore(dir));
  expect(examineStore(dir).map(({ what, verdict }) => [what, verdict])).toEqual([
    ["schema", "ok"],
    ["pages", "ok"],
    ["references", "ok"],
    ["values", "ok"],
    ["content", "ok"],
    ["history", "ok"],
    ["backups", "warning"],
  ]);
});
