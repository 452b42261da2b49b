/** A11: a disk that fills up in the middle of a backup, or while an older store is brought up to date. Needs root. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { examineBackup } from "../../coordinator/store/backups.js";
import { migrate, readMigrations } from "../../coordinator/store/migrate.js";
import { APPLICATION_ID, databasePath } from "../../coordinator/store/open.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { Playground, smallSweep } from "../e2e/program.js";
import { fill, mountSmall, resize, unmount, whyNoMounts } from "./small-disk.js";

const why = whyNoMounts();
if (why !== null) process.stderr.write(`SKIP test/fault/full-disk.test.ts: ${why}\n`);

const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

describe.skipIf(why !== null)("A11: a full disk", () => {
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    unmount(join(playground.folder, "small"));
    await playground.close();
    playground = new Playground();
  });

  /** A disk of `kibibytes`, at `small` in the playground. */
  const small = (kibibytes: number): string => {
    const folder = join(playground.folder, "small");
    mkdirSync(folder);
    mountSmall(folder, kibibytes);
    return folder;
  };

  it("in the middle of a backup: the one before is untouched, nothing half lies about, the message says why", async () => {
    expect((await playground.run("run", playground.file("s.yaml", smallSweep()))).code).toBe(0);
    const folder = small(4_096);
    const first = join(folder, "first.db");
    expect((await playground.run("backup", first)).code).toBe(0);
    const before = digest(first);
    fill(join(folder, "filler"), 64 << 10);
    const second = await playground.run("backup", join(folder, "second.db"));
    expect(second.stderr).toMatch(/backup to .*second\.db failed: .*full/);
    expect(second.code).toBe(74);
    expect(readdirSync(folder).sort()).toEqual(["filler", "first.db"]);
    expect(digest(first)).toBe(before);
    expect(examineBackup(first)).toMatchObject({ good: true });
  });

  it.each([
    ["copied before it is changed", 0.25, /cannot open the store .*: the disk is full/],
    ["changed", 1, /migration 0006_lineage\.sql failed: the disk is full/],
  ])("while an older store is %s: it is as it was, and with space it opens", async (_, copies, words) => {
    const folder = small(16_384);
    const store = join(folder, "store");
    mkdirSync(store, { mode: 0o700 });
    const database = databasePath(store);
    const db = new Database(database);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma("journal_mode = WAL");
    migrate(db, readMigrations().slice(0, 5));
    db.exec(
      "INSERT INTO base_meta VALUES ('uuid', 'abc'); INSERT INTO base_sweeps VALUES (1, 'cancelled', '', 0, NULL, 0, 'null', 'null')",
    );
    // Rows that migration 6 rewrites.
    db.exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
      INSERT INTO base_trials (id, sweep, number, state, cause, origin, parameters, seed, cohort_key, attempts, losses,
        not_before, epoch, metrics, created_at, checkpoints)
      SELECT '1/' || i, 1, i, 'cancelled', '', 'sampled', '{}', '', '', 0, 0, 0, 1, '{}', 0, '[]' FROM n`);
    db.close();
    const before = digest(database);
    const copied = statSync(database).size;
    fill(join(folder, "filler"), copies * copied + (64 << 10));
    const refused = await playground.run("up", "--store", store, "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0");
    expect(refused.stderr).toMatch(words);
    expect(refused.stderr).not.toMatch(/restore|damaged/);
    expect(refused.code).toBe(74);
    expect(digest(database)).toBe(before);
    expect(readdirSync(store).filter((name) => name.endsWith(".new"))).toEqual([]);

    resize(folder, 65_536);
    const opened = openSqliteStore(store, { create: false });
    expect(opened.info().schemaVersion).toBe(readMigrations().length);
    opened.close();
    const kept = new Database(`${database}.schema-5`, { readonly: true });
    expect(kept.prepare("SELECT count(*) FROM base_trials").pluck().get()).toBe(4_001);
    kept.close();
  });
});
