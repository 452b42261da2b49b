/** A19, P3: a backup put back under running workers: they say again what it lacks, and nothing is trained twice. */
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";

const EPOCHS = 30;

describe("restore", () => {
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    await playground.close();
    playground = new Playground();
  });

  const reports = async (): Promise<number> => {
    const [row] = await playground.query("SELECT count(*) AS n FROM reports WHERE metric = 'val_loss'");
    return Number(row?.["n"]);
  };
  const untilReports = async (least: number): Promise<number> => {
    for (;;) {
      const n = await reports();
      if (n >= least) return n;
    }
  };

  it("of an older copy heals from what the workers kept: same attempts, every epoch once, no token twice", async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const grpc = String((await up.line((line) => line["event"] === "up"))["grpc"]);
    const sweep = smallSweep({ network: "digits", epochs: EPOCHS, run_cap: 2 });
    playground.startCommand(
      process.execPath,
      workerMain,
      "join",
      "--coordinator",
      grpc,
      "--token-file",
      join(playground.store, "worker.token"),
      "--lanes",
      "2",
    );
    expect((await playground.run("run", playground.file("s.yaml", sweep), "--detach")).code).toBe(0);
    await untilReports(2);
    const backup = join(playground.folder, "older.db");
    expect((await playground.run("backup", backup)).code).toBe(0);
    const before = await untilReports((await reports()) + 6);
    await up.kill("SIGKILL");

    const restored = await playground.run("restore", backup, "--json");
    expect(restored.code).toBe(0);
    expect(JSON.parse(restored.stdout)).toMatchObject({ generation: 1 });
    expect(await reports()).toBeLessThan(before);
    const again = playground.start("up", "--listen", grpc, "--page", "127.0.0.1:0", "--json");
    await again.line((line) => line["event"] === "up");
    for (;;) {
      const [row] = await playground.query("SELECT state FROM sweeps WHERE id = 1");
      if (row?.["state"] !== "running") break;
    }
    expect(await playground.query("SELECT id, state, epochs FROM attempts ORDER BY id")).toEqual([
      { id: "1/0#1", state: "finished", epochs: EPOCHS },
      { id: "1/1#1", state: "finished", epochs: EPOCHS },
    ]);
    expect(
      await playground.query(
        "SELECT trial, count(*) AS n, count(DISTINCT epoch) AS epochs FROM reports WHERE metric = 'val_loss' GROUP BY trial ORDER BY trial",
      ),
    ).toEqual([
      { trial: "1/0", n: EPOCHS, epochs: EPOCHS },
      { trial: "1/1", n: EPOCHS, epochs: EPOCHS },
    ]);
    const [noted] = await playground.query("SELECT count(*) AS n FROM events WHERE kind = 'store-restored'");
    expect(noted).toEqual({ n: 1 });
  });
});
