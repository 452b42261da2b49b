/** A22: a bit of a value that changes on the disk is found and its trial named; whatever was committed is not. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Mutation } from "../../coordinator/core/events.js";
import { checkDigests, reportDigest } from "../../coordinator/store/digests.js";
import { examineStore } from "../../coordinator/store/examine.js";
import { databasePath } from "../../coordinator/store/open.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { attemptId, millis, sweepId, trialId } from "../../proto/contract.js";
import { batches, sampleAttempt, sampleReport, sampleSweep, sampleTrial } from "../conformance/store-model.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "convsweep-digests-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const trial = trialId(sweepId(1), 0);
const attempt = attemptId(trial, 1);
const ended = { state: "finished", endedAt: millis(99) } as const;

/** What the digests say of the store in `dir`, of which nobody has told them anything. */
function check(dir: string) {
  const db = new Database(databasePath(dir), { readonly: true });
  try {
    return checkDigests(db);
  } finally {
    db.close();
  }
}

/** A store whose one trial has ended, with three epochs. */
function small(): string {
  const dir = join(folder, "store");
  const store = openSqliteStore(dir, { create: true });
  store.commit([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)]);
  for (const epoch of [1, 2, 3]) {
    store.commit([sampleReport(attempt, epoch, { val_loss: 0.7512345 + epoch, val_accuracy: epoch / 7 })]);
  }
  const state = { state: "completed", endedAt: millis(99), parameters: { learning_rate: 0.0123456789 } } as const;
  store.commit([sampleAttempt(trial, 1, 1, ended), sampleTrial(1, 0, state)]);
  store.close();
  return dir;
}

describe("values that have not changed", () => {
  it("are as they were written, whatever was committed, refused and opened again in between", () => {
    let number = 0;
    fc.assert(
      fc.property(batches, fc.nat(), (history, at) => {
        number += 1;
        const dir = join(folder, String(number));
        let store = openSqliteStore(dir, { create: true });
        for (const [index, batch] of history.entries()) {
          if (index === at % history.length) {
            store.close();
            store = openSqliteStore(dir, { create: true });
          }
          // A batch of which nothing is kept: its last mutation refers to a trial that there is not.
          const bad: Mutation = sampleReport(attemptId(trialId(sweepId(77), 7), 1), 1, { a: 1 });
          expect(() => store.commit([...batch, bad])).toThrow();
          store.commit(batch);
        }
        store.close();
        const db = new Database(databasePath(dir), { readonly: true });
        const count = (table: string) =>
          Number(db.prepare(`SELECT count(*) FROM ${table} WHERE ended_at IS NOT NULL`).pluck().get());
        const found = checkDigests(db);
        expect(found).toMatchObject({ trials: count("base_trials"), altered: [] });
        expect(found.attempts).toBeGreaterThanOrEqual(count("base_attempts"));
        db.close();
      }),
      { numRuns: 30, seed: 20_261_127 },
    );
  });

  it("may be added to after the end, and said again", () => {
    const dir = small();
    const store = openSqliteStore(dir, { create: false });
    store.commit([sampleReport(attempt, 3, { val_loss: 3.7512345, late: 1 })]);
    store.commit([sampleReport(attempt, 4, { val_loss: "nan", val_accuracy: "inf" })]);
    store.close();
    expect(check(dir)).toEqual({ attempts: 1, trials: 1, altered: [] });
  });
});

describe("a value that has changed", () => {
  /** Changes the first byte of `what` in the file that `mask` says, looks, and changes it back. */
  function flipped(dir: string, what: Buffer, byte: number, mask: number) {
    const path = databasePath(dir);
    const bytes = readFileSync(path);
    const at = bytes.indexOf(what);
    expect(at).toBeGreaterThan(0);
    bytes[at + byte] = (bytes[at + byte] ?? 0) ^ mask;
    writeFileSync(path, bytes);
    const findings = examineStore(dir);
    bytes[at + byte] = (bytes[at + byte] ?? 0) ^ mask;
    writeFileSync(path, bytes);
    return findings.filter(({ what: name }) => ["pages", "values"].includes(name));
  }

  it("by any bit of it is found, and named; SQLite itself finds nothing", () => {
    const dir = small();
    const double = Buffer.alloc(8);
    double.writeDoubleBE(2.7512345);
    for (let byte = 0; byte < 8; byte += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        expect(flipped(dir, double, byte, 1 << bit)).toMatchObject([
          { what: "pages", verdict: "ok" },
          {
            what: "values",
            verdict: "bad",
            detail: "changed since they were written: reports of attempt 1/0#1",
          },
        ]);
      }
    }
    expect(flipped(dir, Buffer.from("0.0123456789"), 5, 1)).toMatchObject([
      { what: "pages", verdict: "ok" },
      { what: "values", verdict: "bad", detail: "changed since they were written: trial 1/0" },
    ]);
    expect(check(dir).altered).toEqual([]);
  });

  it("or is gone, or is one too many, is found", () => {
    for (const sql of [
      "DELETE FROM base_reports WHERE epoch = 2",
      "UPDATE base_reports SET step = step + 1 WHERE epoch = 1",
      "UPDATE base_reports SET epoch = 9 WHERE epoch = 3",
      "INSERT INTO base_reports SELECT attempt, 9, metric, step, at, kind, value FROM base_reports WHERE epoch = 1",
    ]) {
      const dir = small();
      const db = new Database(databasePath(dir));
      db.exec(sql);
      db.close();
      expect([sql, check(dir).altered]).toEqual([sql, [{ what: "reports of attempt 1/0#1", trial: "1/0" }]]);
      rmSync(dir, { recursive: true });
    }
  });
});

it("digests of rows that differ in one cell differ", () => {
  const cell = fc.double({ noNaN: true });
  const row = fc.tuple(fc.nat(), fc.nat(99), fc.nat(), fc.nat(), fc.nat(4), fc.option(cell));
  fc.assert(
    fc.property(row, row, fc.nat(5), (one, other, which) => {
      const changed = one.map((value, index) => (index === which ? other[index] : value)) as typeof one;
      fc.pre(changed[which] !== one[which]);
      expect(reportDigest(...changed)).not.toBe(reportDigest(...one));
    }),
    { numRuns: 2_000, seed: 7 },
  );
});
