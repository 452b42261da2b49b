/** A3, A5, A14, A15: processes that are asked to end, a second coordinator, and stores that were damaged between two starts. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { markPath, readMark, readStoreFile } from "../../coordinator/store/history.js";
import { Playground, type Running, smallSweep, workerMain } from "../e2e/program.js";
import { readWal } from "./wal.js";

let playground = new Playground();
beforeAll(() => Playground.requireBuild());
afterEach(async () => {
  await playground.close();
  playground = new Playground();
});

async function startUp(listen = "127.0.0.1:0", ...flags: string[]): Promise<{ up: Running; address: string }> {
  const up = playground.start("up", "--listen", listen, "--page", "127.0.0.1:0", "--json", ...flags);
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

  const log = (): string => join(playground.store, "convsweep.db-wal");
  const commits = (): number =>
    Number(playground.record("SELECT commit_seq AS n FROM base_counters").map((row) => row["n"])[0]);
  const values = () => playground.record("SELECT trial, attempt, epoch, value FROM reports WHERE metric = 'val_loss'");
  /** How many commits are put down outside of the database: about once a second. */
  const mark = (): number => {
    const known = readStoreFile(playground.store);
    return (known && readMark(playground.store, known)) ?? 0;
  };

  /** Cuts the log within the commit of that number: it and all after it are lost. */
  function cutAt(commit: number): void {
    const { ends } = readWal(readFileSync(log()));
    const end = ends.at(commit - commits() - 1);
    if (end === undefined || commit > commits()) throw new Error(`commit ${commit} is not in the log alone`);
    truncateSync(log(), end - 1);
    expect(commits()).toBe(commit - 1);
  }

  const EPOCHS_OF_A14 = 40;
  /** A worker trains on beside a coordinator that was killed. Answers the number of the second commit in the log alone. */
  async function killedWithLog(): Promise<{ address: string; second: number; early: Buffer }> {
    const { up, address } = await startUp();
    startWorker(address, "steady");
    // The worker must not have ended when the coordinator comes back, however long that takes.
    await submit(2, EPOCHS_OF_A14);
    await someReports(2);
    // Leases and the first epochs go into the database itself; what follows is in the log alone.
    const beside = new Database(join(playground.store, "convsweep.db"));
    expect(beside.pragma("wal_checkpoint(TRUNCATE)")).toMatchObject([{ busy: 0 }]);
    beside.close();
    const second = commits() + 2;
    const early = readFileSync(markPath(playground.store));
    await playground.until(reports, () => mark() >= second);
    await up.kill("SIGKILL");
    return { address, second, early };
  }

  it.each([
    ["is cut within a commit that the mark beside it knows", () => cutAt(mark())],
    ["is gone", () => rmSync(log())],
  ])("A14: whose log %s is refused; accepted, its worker says again what is missing", async (_, damage) => {
    const { address } = await killedWithLog();
    const before = values();
    damage();

    const refused = await playground.run("up", "--listen", address, "--page", "127.0.0.1:0");
    expect(refused).toMatchObject({ code: 65, stdout: "" });
    expect(refused.stderr).toContain(`${mark()} commits were made, it holds ${commits()} `);
    expect(refused.stderr).toContain("--accept-rollback");
    await startUp(address, "--accept-rollback");
    await expectWholeRecord(2, EPOCHS_OF_A14);
    expect(playground.record("SELECT count(*) AS n FROM events WHERE kind = 'rollback-accepted'")).toEqual([{ n: 1 }]);
    expect(values()).toEqual(expect.arrayContaining(before));
  });

  it("A14: whose log lost only what the mark did not know yet starts, and its worker says again what is missing", async () => {
    const { address, second, early } = await killedWithLog();
    const before = values();
    cutAt(second);
    // As if its next second had not come.
    writeFileSync(markPath(playground.store), early);

    await startUp(address);
    await expectWholeRecord(2, EPOCHS_OF_A14);
    expect(values()).toEqual(expect.arrayContaining(before));
  });

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
