/** A13, C8: a disk whose flushes take long, and wall clocks that are moved, under real processes. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";
import { buildShim, MovableClock } from "./preload/shim.js";

let playground = new Playground();
beforeAll(() => Playground.requireBuild());
afterEach(async () => {
  await playground.close();
  playground = new Playground();
});

type Variables = Readonly<Record<string, string>>;

/** A coordinator and a worker, each with `variables` of its own. */
async function begin(lanes: number, ofCoordinator: Variables, ofWorker: Variables = {}): Promise<void> {
  const started = <T>(variables: Variables, start: () => T): T => {
    Object.assign(playground.variables, variables);
    const running = start();
    for (const name of Object.keys(variables)) delete playground.variables[name];
    return running;
  };
  const up = started(ofCoordinator, () =>
    playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json"),
  );
  const address = String((await up.line((line) => line["event"] === "up"))["grpc"]);
  started(ofWorker, () =>
    playground.startCommand(
      ...([process.execPath, workerMain, "join", "--coordinator", address] as const),
      ...["--token-file", join(playground.store, "worker.token"), "--lanes", String(lanes), "--threads", "1"],
    ),
  );
}

const count = (sql: string): number => Number(playground.record(`SELECT count(*) AS n FROM ${sql}`)[0]?.["n"]);
const ended = "SELECT state FROM sweeps WHERE state <> 'running'";

describe("A13: a disk that takes 200 ms for a flush", () => {
  it("is waited for by many reports together; no lease is lost and nothing is repeated", async () => {
    const [trials, epochs] = [8, 30];
    const slow = { LD_PRELOAD: buildShim(playground.folder), SHIM_FLUSH_MILLIS: "200" };
    await begin(trials, slow);
    const sweep = playground.file("s.yaml", smallSweep({ epochs, run_cap: trials }));
    expect((await playground.run("run", sweep, "--detach")).code).toBe(0);
    await playground.until(ended, (rows) => rows.length === 1);
    expect(count("trials WHERE state = 'completed'")).toBe(trials);
    expect(count("attempts")).toBe(trials);
    expect(count("reports WHERE metric = 'val_loss'")).toBe(trials * epochs);
    expect(count("events WHERE kind = 'attempt-lost'")).toBe(0);
    // A commit each would have taken 48 s.
    const [commits] = playground.record("SELECT commit_seq FROM base_counters");
    expect(Number(commits?.["commit_seq"])).toBeLessThan((trials * epochs) / 2);
  });
});

describe("C8: wall clocks of coordinator and worker", () => {
  const sweep = smallSweep({ network: "digits", epochs: 8, run_cap: 2 });
  const results = "SELECT trial, attempt, epoch, metric, value FROM reports WHERE metric LIKE 'val_%' ORDER BY 1, 3, 4";

  it("stepped by an hour, back by two, drifting apart by a fifth: same attempts, same results, leases stay", async () => {
    await begin(2, {});
    expect((await playground.run("run", playground.file("s.yaml", sweep), "--detach")).code).toBe(0);
    await playground.until(ended, (rows) => rows.length === 1);
    const undisturbed = playground.record(results);
    await playground.close();

    playground = new Playground();
    const library = buildShim(playground.folder);
    const clocks = [
      new MovableClock(join(playground.folder, "coordinator.clock"), library),
      new MovableClock(join(playground.folder, "worker.clock"), library),
    ] as const;
    await begin(2, clocks[0].variables, clocks[1].variables);
    expect((await playground.run("run", playground.file("s.yaml", sweep), "--detach")).code).toBe(0);
    const steps = [
      [3_600, -3_600],
      [-3_600, 3_600],
      [0, 7_200],
    ] as const;
    for (const [index, [ofCoordinator, ofWorker]] of steps.entries()) {
      await playground.until(
        "SELECT count(*) AS n FROM reports WHERE metric = 'val_loss'",
        ([row]) => Number(row?.["n"]) > index * 4,
      );
      clocks[0].move(ofCoordinator, 0.1);
      clocks[1].move(ofWorker, -0.1);
    }
    // The clocks are moved indeed.
    const env = { ...process.env, ...clocks[1].variables };
    const told = spawnSync(process.execPath, ["-p", "Date.now()"], { env, encoding: "utf8" }).stdout;
    expect((Number(told) - Date.now()) / 1_000).toBeCloseTo(7_200, -1);
    await playground.until(ended, (rows) => rows.length === 1);
    expect(playground.record(results)).toEqual(undisturbed);
    expect(count("attempts")).toBe(2);
    expect(count("events WHERE kind = 'attempt-lost'")).toBe(0);
    for (const clock of clocks) clock.close();
  });
});
