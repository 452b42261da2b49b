/** A damaged store is refused before anything is written to it, also where it is checked beside while it is read. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSqliteStore, openSqliteStoreBeside } from "../../coordinator/store/sqlite.js";
import type { Store } from "../../coordinator/store/store.js";
import { sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { scratchFolder } from "./scratch.js";

const TRIALS = 2_000;
const MARK = "the-cohort-of-trial-1111";

/** Of two sizes: checked whole, and only the tables that a start reads. Both are large enough for a thread. */
const SIZES = [
  ["16 MiB", 16],
  ["80 MiB", 80],
] as const;

const WAYS = [
  ["here", async (dir: string) => openSqliteStore(dir, { create: false })],
  ["beside", (dir: string) => openSqliteStoreBeside(dir, { create: false })],
] as const;

describe.each(SIZES)("a store of %s", (_size, mebibytes) => {
  let folder: ReturnType<typeof scratchFolder>;
  let dir: string;
  let path: string;
  let open: Store | null;

  beforeEach(() => {
    open = null;
    folder = scratchFolder();
    dir = join(folder.path, "store");
    path = join(dir, "convsweep.db");
    const store = openSqliteStore(dir, { create: true });
    store.commit([
      sampleSweep(1),
      ...Array.from({ length: TRIALS }, (_, i) =>
        sampleTrial(1, i, i === 1_111 ? { state: "queued", cohortKey: MARK } : {}),
      ),
      sampleAttempt(trialId(sweepId(1), 0), 1, 1),
    ]);
    store.close();
    const db = new Database(path);
    const fill = db.prepare("INSERT INTO base_events (at, kind, detail) VALUES (0, 'filler', hex(zeroblob(524288)))");
    for (let i = 0; i < mebibytes; i += 1) fill.run();
    db.close();
  });
  afterEach(() => {
    open?.close();
    folder.remove();
  });

  const refusalOf = async (way: (dir: string) => Promise<Store>): Promise<string> => {
    const before = readFileSync(path);
    const message = await way(dir).then(
      (store) => {
        open = store;
        return "it opened";
      },
      ({ code, message }) => `${code}: ${message}`,
    );
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(dir).filter((name) => name.endsWith("-wal"))).toEqual([]);
    return message;
  };
  const damage = (change: (bytes: Buffer, at: number) => void): void => {
    const bytes = readFileSync(path);
    change(bytes, bytes.indexOf(MARK));
    writeFileSync(path, bytes);
  };

  it.each(WAYS)("refuses a value that no trial may have, checked %s", async (_how, way) => {
    // `queued` of the same row becomes a word of its length: SQLite reads it like any other.
    damage((bytes, at) => bytes.write("quaked", bytes.lastIndexOf("queued", at), "latin1"));
    const message = await refusalOf(way);
    expect(message).toMatch(/^CORRUPT: .*the file is damaged: CHECK constraint failed in base_trials/);
    expect(message).toContain(path);
  });

  it.each(WAYS)("refuses a page that cannot be read, checked %s", async (_how, way) => {
    damage((bytes, at) => bytes.fill(0x5a, at - (at % 4096), at - (at % 4096) + 4096));
    expect(await refusalOf(way)).toMatch(/^CORRUPT: cannot open the store /);
  });

  it("opened beside holds what it holds opened here, and what is committed since", async () => {
    const here = openSqliteStore(dir, { create: false });
    const expected = here.load();
    here.close();
    open = await openSqliteStoreBeside(dir, { create: false });
    const first = open.load();
    expect(first).toEqual(expected);
    expect(first.trials).toHaveLength(TRIALS);
    open.close();
    open = await openSqliteStoreBeside(dir, { create: false });
    open.commit([sampleTrial(1, TRIALS)]);
    expect(open.load().trials).toHaveLength(TRIALS + 1);
    open.commit([sampleTrial(1, TRIALS + 1)]);
    expect(open.load().trials).toHaveLength(TRIALS + 2);
  });
});
