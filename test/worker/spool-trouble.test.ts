/** A spool whose disk takes no more (full, or read-only) while the worker trains: it goes on in memory, and on disk again later. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Entry } from "../../worker/outbox.js";
import { readSpool, Spool } from "../../worker/spool.js";
import { reportBody } from "../../worker/wire.js";
import { held } from "./agent-world.js";

const disk = vi.hoisted(() => ({ refuses: false }));

vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const refusing =
    <A extends unknown[], R>(call: (...args: A) => R) =>
    (...args: A): R => {
      if (disk.refuses) throw Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
      return call(...args);
    };
  const { writeSync, ftruncateSync, renameSync, appendFileSync, rmSync: remove } = real;
  return {
    ...real,
    writeSync: refusing(writeSync as (...args: unknown[]) => number),
    ftruncateSync: refusing(ftruncateSync),
    renameSync: refusing(renameSync),
    appendFileSync: refusing(appendFileSync),
    rmSync: refusing(remove),
  };
});

const report = (id: number): Entry => ({ id, held: held(0), body: reportBody(held(0), id, id * 10, []) });

let root: string;
const told: string[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "convsweep-spool-"));
  told.length = 0;
  disk.refuses = false;
});
afterEach(() => {
  disk.refuses = false;
  rmSync(root, { recursive: true, force: true });
});
const left = (): readonly number[] =>
  readSpool(readFileSync(join(root, "w", "spool")))?.entries.map(({ id }) => id) ?? [];

it("says why once, counts on, refuses nothing, and is on disk again when all is settled", () => {
  const spool = Spool.open(root, "w", "life", (why) => void told.push(why));
  if (spool === null) throw new Error("locked");
  spool.ready();
  const entries = [1, 2, 3, 4].map(report);
  const [first, second, third, fourth] = entries as [Entry, Entry, Entry, Entry];
  spool.keep(first);
  const one = spool.bytes;
  disk.refuses = true;
  spool.keep(second);
  spool.keep(third);
  expect(told).toEqual(["EROFS: read-only file system"]);
  expect(spool.bytes).toBe(3 * one);
  expect(spool.refuse(held(0), [first], "no")).toBeNull();
  expect(left()).toEqual([1]);
  // With something still open the file is not begun anew: it would lack the second and the third.
  disk.refuses = false;
  spool.drop([first]);
  spool.keep(fourth);
  expect(left()).toEqual([1]);
  disk.refuses = true;
  spool.drop([second, third, fourth]);
  expect([spool.bytes, told.length]).toEqual([0, 1]);
  disk.refuses = false;
  spool.keep(report(5));
  spool.drop([report(5)]);
  spool.keep(report(6));
  expect(left()).toEqual([6]);
  spool.close();
});

it("is left as it is at the end on a disk that can only be read", () => {
  const spool = Spool.open(root, "w", "life", (why) => void told.push(why));
  spool?.ready();
  disk.refuses = true;
  expect(() => spool?.close()).not.toThrow();
  expect(told).toHaveLength(1);
});
