/** A2, A6, A7, A20: a process killed at a named point, or by an fsync that fails, leaves a whole store behind. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { examineBackup } from "../../coordinator/store/backups.js";
import { examineStore } from "../../coordinator/store/examine.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleSweep, sampleTrial } from "../conformance/store-model.js";

const script = fileURLToPath(new URL("../store/fixtures/committing.mjs", import.meta.url));
const trial = trialId(sweepId(1), 0);
/** Reports that the script commits. */
const EPOCHS = 16;
const start = [sampleTrial(1, 0), sampleAttempt(trial, 1, 1), sampleSweep(1)].map((mutation) =>
  JSON.stringify(mutation),
);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "convsweep-points-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Answers the signal it ended with, its exit code, and the last report that it was told is durable. */
function run(fault: string, before: readonly string[] = []) {
  const [command = "", ...args] = [...before, process.execPath, script, dir, ...start];
  // One thread for flushes, because strace counts calls a thread.
  const env = { ...process.env, NODE_ENV: "test", FAULT: fault, UV_THREADPOOL_SIZE: "1" };
  const { signal, status, stdout, stderr } = spawnSync(command, args, { env, encoding: "utf8" });
  return { signal, status, acknowledged: Number(stdout.trim().split("\n").at(-1) ?? 0), stderr };
}

/** Everything acknowledged is there, at most one report more, and nothing is damaged. */
function expectWhole(acknowledged: number): void {
  const store = openSqliteStore(dir, { create: true });
  const epochs = store.reports(trial).map(({ epoch }) => epoch);
  store.close();
  expect(epochs).toEqual(Array.from({ length: epochs.length }, (_, i) => i + 1));
  expect(epochs.length).toBeGreaterThanOrEqual(acknowledged);
  expect(epochs.length).toBeLessThanOrEqual(acknowledged + 1);
  expect(examineStore(dir).filter(({ verdict }) => verdict === "bad")).toEqual([]);
}

describe("A2: killed", () => {
  it.each(
    ["beforeBegin", "afterInsert", "beforeCommit", "afterCommit"].flatMap((point) =>
      [1, 2, 5].map((n) => [point, n] as const),
    ),
  )("at %s, the %i. time: all that was acknowledged is there", (point, n) => {
    const { signal, acknowledged } = run(`${point}:${n}`);
    expect(signal).toBe("SIGKILL");
    // The first commit holds no report.
    expect(acknowledged).toBe(Math.max(0, n - 2));
    expectWhole(acknowledged);
    expect(run("").signal).toBeNull();
  });
});

describe("A20: killed", () => {
  it("in the middle of a backup: no half backup, and the next one is whole", () => {
    expect(run("midBackup:1").signal).toBe("SIGKILL");
    expect(existsSync(join(dir, "copy.db"))).toBe(false);
    expectWhole(EPOCHS);
    expect(run("").status).toBe(0);
    expect(examineBackup(join(dir, "copy.db"))).toMatchObject({ good: true });
  });

  it.each([1, 2, 5])("in migration %i of a new store: there is none, then a whole one", (n) => {
    expect(run(`midMigration:${n}`).signal).toBe("SIGKILL");
    expect(readdirSync(dir)).not.toContain("convsweep.db");
    expect(run("").status).toBe(0);
    expectWhole(EPOCHS);
  });
});

const strace = spawnSync("strace", ["-V"]).status === 0;
if (!strace) process.stderr.write("SKIP A7, A8 of test/fault/points.test.ts: there is no strace here\n");

describe.skipIf(!strace)("A7, A8: an fsync that fails", () => {
  it.each([
    ["once", "when=14"],
    ["from then on", "when=14+"],
  ])("%s: that commit is not acknowledged, the error says so, and a restart has all that was", (_, when) => {
    const store = openSqliteStore(dir, { create: true });
    store.commit([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)]);
    store.close();
    const { signal, status, acknowledged, stderr } = run("", [
      "strace",
      "-f",
      "-qq",
      "-o",
      "/dev/null",
      "-e",
      `inject=fsync,fdatasync:error=EIO:${when}`,
    ]);
    expect(signal).toBeNull();
    expect(status).not.toBe(0);
    expect(stderr).toContain("SYNC_FAILED");
    expect(acknowledged).toBeGreaterThan(0);
    expect(acknowledged).toBeLessThan(EPOCHS);
    expectWhole(acknowledged);
  });
});
