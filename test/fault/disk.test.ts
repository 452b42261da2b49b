/** A9, A10 with a real disk: a small tmpfs that fills up and grows. Needs root; skips aloud. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";
import { fill, mountSmall, resize, unmount, whyNoMounts } from "./small-disk.js";

const why = whyNoMounts();
if (why !== null) process.stderr.write(`SKIP test/fault/disk.test.ts: ${why}\n`);

describe.skipIf(why !== null)("a disk", () => {
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    unmount(playground.store);
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
    mountSmall(playground.store, 8_192);
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
    fill(join(playground.store, "filler"));
    await until(page, "503 disk_full");
    expect(up.child.exitCode).toBeNull();
    expect(worker.child.exitCode).toBeNull();
    expect(Number((await playground.query("SELECT count(*) AS n FROM reports"))[0]?.["n"])).toBeGreaterThan(0);
    resize(playground.store, 65_536);
    expect(await until(page, "200 ok")).toBeLessThan(10_000);
    await expectWhole();
    const noted = await playground.query("SELECT count(*) AS n FROM events WHERE kind = 'store-degraded'");
    expect(Number(noted[0]?.["n"])).toBeGreaterThan(0);
  });
});
