/** What is killed in mid-sweep: exactly the trials asked for end up on record. */

import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";

/** Long enough that a kill falls into the middle. */
const sweep = smallSweep({ network: "digits", epochs: 4, run_cap: 6 });

describe("kill -9", () => {
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    await playground.close();
    playground = new Playground();
  });

  const startUp = async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    return { up, ready: await up.line((line) => line["event"] === "up") };
  };
  const startWorker = (address: unknown, name: string) =>
    playground.startCommand(
      process.execPath,
      workerMain,
      "join",
      "--coordinator",
      String(address),
      "--token-file",
      join(playground.store, "worker.token"),
      "--name",
      name,
      "--lanes",
      "2",
    );

  const expectWholeRecord = async () => {
    const [counts] = await playground.query(
      "SELECT count(*) AS trials, sum(state = 'completed') AS completed FROM trials",
    );
    expect(counts).toEqual({ trials: 6, completed: 6 });
    // Every trial has one whole attempt: all four epochs, once each.
    const whole = await playground.query(
      "SELECT trial FROM reports WHERE metric = 'val_loss' GROUP BY trial, attempt HAVING count(*) = 4 AND count(DISTINCT epoch) = 4",
    );
    expect(new Set(whole.map((row) => row["trial"])).size).toBe(6);
  };

  it("of a worker: its trials go to another and the sweep ends whole", async () => {
    const { ready } = await startUp();
    const first = startWorker(ready["grpc"], "first");
    const run = playground.start("run", playground.file("s.yaml", sweep), "--json");
    await run.line((line) => line["event"] === "report");
    await first.kill("SIGKILL");
    startWorker(ready["grpc"], "second");
    const { code } = await run.finished;
    expect(code).toBe(0);
    await expectWholeRecord();
    const [lost] = await playground.query("SELECT count(*) AS n FROM attempts WHERE state = 'lost'");
    expect(Number(lost?.["n"])).toBeGreaterThan(0);
  });

  it("B1: of a worker that is started again under its name: its trials go on before their leases would have ended", async () => {
    const { ready } = await startUp();
    const first = startWorker(ready["grpc"], "again");
    const run = playground.start("run", playground.file("s.yaml", sweep), "--json");
    await run.line((line) => line["event"] === "report");
    await first.kill("SIGKILL");
    startWorker(ready["grpc"], "again");
    expect((await run.finished).code).toBe(0);
    await expectWholeRecord();
    const causes = await playground.query("SELECT DISTINCT cause FROM attempts WHERE state = 'lost'");
    expect(causes.length).toBeGreaterThan(0);
    for (const { cause } of causes) {
      expect(["the process of again ended", "the process that trained it ended"]).toContain(cause);
    }
  });

  it("of the coordinator: workers train on, nothing is repeated, the sweep ends whole", async () => {
    const { up, ready } = await startUp();
    startWorker(ready["grpc"], "steady");
    const run = playground.start("run", playground.file("s.yaml", sweep), "--json", "--detach");
    await run.finished;
    const watcher = playground.start("up", "--json");
    expect((await watcher.finished).code).not.toBe(0);

    // Wait for the first durable report, kill, and come back on the same address.
    for (;;) {
      const [row] = await playground.query("SELECT count(*) AS n FROM reports");
      if (Number(row?.["n"]) > 0) break;
    }
    await up.kill("SIGKILL");
    const again = playground.start("up", "--listen", String(ready["grpc"]), "--page", "127.0.0.1:0", "--json");
    await again.line((line) => line["event"] === "up");
    for (;;) {
      const [row] = await playground.query("SELECT state FROM sweeps WHERE id = 1");
      if (row?.["state"] !== "running") break;
    }
    await expectWholeRecord();
    const [attempts] = await playground.query("SELECT count(*) AS n FROM attempts");
    expect(attempts).toEqual({ n: 6 });
  });
});
