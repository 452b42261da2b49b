/** A9, A10 with a real disk: a small tmpfs that fills up and grows. Needs root; skips aloud. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";

function mount(...args: readonly string[]): boolean {
  return spawnSync("mount", args, { stdio: "ignore" }).status === 0;
}

function mayMount(): string | null {
  if (process.getuid?.() !== 0) return "not root";
  const probe = new Playground();
  const works = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", probe.folder);
  if (works) spawnSync("umount", [probe.folder]);
  rmSync(probe.folder, { recursive: true, force: true });
  return works ? null : "no tmpfs can be mounted here";
}

const why = mayMount();
if (why !== null) process.stderr.write(`SKIP test/fault/disk.test.ts: ${why}\n`);

describe.skipIf(why !== null)("a disk", () => {
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    // Lazily: it is gone from the tree at once, and for good when the last process has let go of it.
    spawnSync("umount", ["-l", playground.store]);
    await playground.close();
    playground = new Playground();
  });

  const health = async (page: string): Promise<string> => {
    const answer = await fetch(new URL("/healthz", page));
    return `${answer.status} ${(await answer.text()).trim()}`;
  };
  const until = async (page: string, wanted: string): Promise<number> => {
    const started = performance.now();
    while ((await health(page)) !== wanted) await new Promise((resolve) => setTimeout(resolve, 50));
    return performance.now() - started;
  };

  async function begin() {
    mkdirSync(playground.store);
    expect(mount("-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", playground.store)).toBe(true);
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const ready = await up.line((line) => line["event"] === "up");
    const worker = playground.startCommand(
      process.execPath,
      workerMain,
      "join",
      "--coordinator",
      String(ready["grpc"]),
      "--token-file",
      join(playground.store, "worker.token"),
      "--lanes",
      "2",
    );
    const run = playground.start("run", playground.file("s.yaml", smallSweep({ epochs: 40, run_cap: 8 })), "--detach");
    expect((await run.finished).code).toBe(0);
    for (;;) {
      const [row] = await playground.query("SELECT count(*) AS n FROM reports");
      if (Number(row?.["n"]) > 0) break;
    }
    return { up, worker, page: String(ready["page"]) };
  }

  /** Every trial done, every epoch of it once. */
  async function expectWhole(): Promise<void> {
    for (;;) {
      const [row] = await playground.query("SELECT state FROM sweeps WHERE id = 1");
      if (row?.["state"] !== "running") break;
    }
    expect(await playground.query("SELECT count(*) AS n, sum(state = 'completed') AS done FROM trials")).toEqual([
      { n: 8, done: 8 },
    ]);
    expect(await playground.query("SELECT count(*) AS n FROM attempts")).toEqual([{ n: 8 }]);
    expect(await playground.query("SELECT count(*) AS n FROM reports WHERE metric = 'val_loss'")).toEqual([
      { n: 8 * 40 },
    ]);
  }

  it("A9, A10: full, 503 with the reason, viewers still read; with space back all goes on within 10 s", async () => {
    const { up, worker, page } = await begin();
    const filler = openSync(join(playground.store, "filler"), "w");
    const block = Buffer.alloc(4096);
    try {
      for (;;) writeSync(filler, block);
    } catch (thrown) {
      expect((thrown as NodeJS.ErrnoException).code).toBe("ENOSPC");
    }
    closeSync(filler);
    await until(page, "503 disk_full");
    expect(up.child.exitCode).toBeNull();
    expect(worker.child.exitCode).toBeNull();
    expect(Number((await playground.query("SELECT count(*) AS n FROM reports"))[0]?.["n"])).toBeGreaterThan(0);
    expect(mount("-o", "remount,size=64m", playground.store)).toBe(true);
    expect(await until(page, "200 ok")).toBeLessThan(10_000);
    await expectWhole();
    const noted = await playground.query("SELECT count(*) AS n FROM events WHERE kind = 'store-degraded'");
    expect(Number(noted[0]?.["n"])).toBeGreaterThan(0);
  });
});
