/**
 * Numbered, append-only migrations: SQL files beside this module, `NNNN_what.sql`, numbered from 1 without gaps.
 *
 * Guarantees: each runs once, in one transaction that also sets `user_version`; a crash leaves the schema at a whole
 * number. A released file is never edited: a change is a new file. Not here: deciding whether a file is a store at all.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Database } from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";
import { diskError } from "./commit-error.js";
import { faultPoint } from "./fault-point.js";

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

export function readMigrations(folder: URL = new URL("./migrations/", import.meta.url)): readonly Migration[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .sort();
  return names.map((name, index) => {
    const version = Number(/^([0-9]{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]);
    if (version !== index + 1) {
      throw new ConvsweepError("INTERNAL", `migration ${name} is not number ${index + 1}`, { path: name });
    }
    return { version, name, sql: readFileSync(new URL(name, folder), "utf8") };
  });
}

/** Brings an open database from the version it has to the newest. Returns how many migrations ran. */
export function migrate(db: Database, migrations: readonly Migration[]): number {
  const from = Number(db.pragma("user_version", { simple: true }));
  const todo = migrations.filter((migration) => migration.version > from);
  for (const { version, name, sql } of todo) {
    const run = db.transaction(() => {
      db.exec(sql);
      faultPoint("midMigration");
      db.pragma(`user_version = ${version}`);
    });
    try {
      run.exclusive();
    } catch (cause) {
      const what = `migration ${name} failed`;
      throw (
        diskError(cause, what, name) ??
        new ConvsweepError("INTERNAL", `${what}: ${(cause as Error).message}`, { cause })
      );
    }
  }
  return todo.length;
}
