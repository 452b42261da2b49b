/** The schema is the one in test/golden/schema.sql: a change to it is a new migration and a look at that file. */
import { readFileSync } from "node:fs";
import Database from "better-sqlite3";
import { expect, it } from "vitest";
import { migrate, readMigrations } from "../../coordinator/store/migrate.js";

function dump(db: Database.Database): string {
  const rows = db
    .prepare<[], { type: string; name: string; sql: string }>(
      "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name",
    )
    .all();
  return `${rows.map((row) => `${row.sql};`).join("\n\n")}\n`;
}

function migrated(): Database.Database {
  const db = new Database(":memory:");
  migrate(db, readMigrations());
  return db;
}

it("migrations give the golden schema", () => {
  const golden = readFileSync(new URL("../golden/schema.sql", import.meta.url), "utf8");
  expect(dump(migrated())).toBe(golden);
});

it("running them again changes nothing", () => {
  const db = migrated();
  expect(migrate(db, readMigrations())).toBe(0);
  expect(db.pragma("user_version", { simple: true })).toBe(readMigrations().length);
});

it("a migration that fails leaves the schema before it", () => {
  const db = new Database(":memory:");
  const [first] = readMigrations();
  if (first === undefined) throw new Error("no migrations");
  const broken = { version: 2, name: "0002_broken.sql", sql: "CREATE TABLE half (a); CREATE TABLE half (a);" };
  expect(() => migrate(db, [first, broken])).toThrow(/migration 0002_broken\.sql failed: table half already exists/);
  expect(db.pragma("user_version", { simple: true })).toBe(1);
  expect(db.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").pluck().get()).toBe(0);
});

it("every table is STRICT and refuses a state that is not one", () => {
  const db = migrated();
  const loose = db.prepare(
    "SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'",
  );
  expect(loose.all()).toEqual([]);
  const add = "INSERT INTO base_sweeps VALUES (1, 'resting', '', 0, NULL, 0, 'null', 'null')";
  expect(() => db.exec(add)).toThrow(/CHECK constraint failed/);
});

it("lineage of trials that went on from checkpoints before it was kept", () => {
  const db = new Database(":memory:");
  migrate(db, readMigrations().slice(0, 5));
  db.exec(`
    INSERT INTO base_sweeps VALUES (1, 'running', '', 0, NULL, 2, 'null', 'null');
    INSERT INTO base_trials (id, sweep, number, state, cause, origin, parameters, seed, cohort_key, attempts, losses,
      not_before, epoch, metrics, created_at, checkpoints)
    VALUES
      ('1/0', 1, 0, 'completed', '', 'sampled', '{}', '', '', 4, 0, 0, 9, '{}', 0, '[]'),
      ('1/1', 1, 1, 'queued', '', 'sampled', '{}', '', '', 1, 0, 0, 0, '{}', 0,
        '[{"digest":"d","progress":{"epoch":1,"metrics":{}}}]');
    INSERT INTO base_attempts (token, id, trial, n, worker, incarnation, device, state, lease_until, last_epoch,
      offered_at, cause, from_epoch)
    VALUES
      (1, '1/0#1', '1/0', 1, 'w', 'i', 'cpu', 'lost', 0, 3, 0, '', 0),
      (2, '1/0#2', '1/0', 2, 'w', 'i', 'cpu', 'lost', 0, 6, 0, '', 2),
      (3, '1/0#3', '1/0', 3, 'w', 'i', 'cpu', 'lost', 0, 1, 0, '', 0),
      (4, '1/0#4', '1/0', 4, 'w', 'i', 'cpu', 'finished', 0, 9, 0, '', 5);`);
  migrate(db, readMigrations());
  const rows = db.prepare("SELECT lineage, checkpoints FROM base_trials ORDER BY number").raw().all();
  expect((rows as string[][]).map((row) => row.map((text) => JSON.parse(text)))).toEqual([
    [
      [
        { n: 1, epoch: 2 },
        { n: 2, epoch: 5 },
      ],
      [],
    ],
    [[], [{ digest: "d", progress: { epoch: 1, metrics: {}, lineage: [] } }]],
  ]);
});
