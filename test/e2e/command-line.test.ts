/** The command line where things go wrong: wrong words, killed coordinators, workers that cannot work. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LocalWorkersOptions } from "../../coordinator/cli/local-workers.js";
import { Playground, root, smallSweep } from "./program.js";

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe("wrong command lines", () => {
  const playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterAll(() => playground.close());
  const file = playground.file("small.yaml", smallSweep());

  it.each([
    [["run", file, "--lanes", "0"], "--lanes: expected a whole number from 1 to 65536, found `0`"],
    [["run", file, "--detach", "--keep"], "'--detach' cannot be used with option '--keep'"],
    [["run", playground.folder], "is a folder; expected a sweep file"],
    [["run", file, "--coordinator", "nonsense"], "--coordinator: expected HOST:PORT"],
    [["run", file, "--store", join(file, "x")], "name a folder of your own with --store"],
    [["up", "--lanes", "many"], "--lanes: expected a whole number from 1 to 65536, found `many`"],
    [
      ["run", file, "--devices", "cpu,gpu7,gpu8"],
      "--devices: this machine has no device gpu7; this machine has no device gpu8; expected cpu, ",
    ],
    [["up", "--workers", "1", "--devices", "cpu,"], "--devices: a device is missing"],
    [["trial", "rerun", "1/0", "--devices", "gpu7"], "--devices: this machine has no device gpu7"],
    [["plan", file, "--device", "gpu9"], "this machine has no device gpu9"],
    [["worker", "--coordinator", "127.0.0.1:1", "--token-file", file, "--log-level", "loud"], "no such level"],
    [["sweep", "extend", "1", "--trials", "99999999999"], "--trials: expected a whole number from 1 to 1000000"],
    [["trial", "enqueue", "1", "l2=1", "l2=2"], "l2 is given twice"],
    [["query", "DROP TABLE trials"], "nothing recorded yet"],
    [["trails"], "unknown command 'trails' (Did you mean trials?)"],
  ])("%j says `%s`", async (args, message) => {
    const { code, stdout, stderr } = await playground.run(...args);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^convsweep: [^\n]+\n$/);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("says so as JSON with --json", async () => {
    const { code, stdout, stderr } = await playground.run("sweeps", "--bogus", "--json");
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: "BAD_INPUT" } });
    expect([stdout, code]).toEqual(["", 2]);
  });
});

describe("after a coordinator was killed", () => {
  const playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterAll(() => playground.close());

  it("its worker ends with it, and the next run starts over what it left", async () => {
    const up = playground.start("up", "--workers", "1", "--listen", ":0", "--page", ":0", "--json");
    await up.line((line) => line["event"] === "up");
    const worker = async (): Promise<number> => {
      for (;;) {
        const [row] = await playground.query("SELECT pid FROM workers WHERE state = 'connected'");
        if (row) return Number(row["pid"]);
      }
    };
    const pid = await worker();
    await up.kill("SIGKILL");
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);

    // Its file is still there; say that its process number belongs to another program by now.
    const left = join(playground.store, "coordinator.json");
    expect(existsSync(left)).toBe(true);
    writeFileSync(left, JSON.stringify({ pid: process.pid, grpc: "127.0.0.1:1", http: null, version: "0" }));
    const run = await playground.run("run", playground.file("s.yaml", smallSweep({ run_cap: 2 })), "--json");
    expect(run.stderr).toBe("");
    expect(run.code).toBe(0);
  });
});

describe("local workers", () => {
  const playground = new Playground();
  afterAll(() => playground.close());

  it("that cannot work are not started again, and it is said why", async () => {
    const { startLocalWorkers } = (await import(
      pathToFileURL(join(root, "dist/coordinator/cli/local-workers.js")).href
    )) as typeof import("../../coordinator/cli/local-workers.js");
    mkdirSync(playground.store, { recursive: true });
    const said: string[] = [];
    const options: LocalWorkersOptions = {
      count: 1,
      coordinator: "127.0.0.1:1",
      tokenFile: playground.file("token", "some-token"),
      tlsFiles: { ca: null, identity: null },
      storeDir: playground.store,
      extra: ["--devices", "gpu9"],
      onTrouble: (text) => said.push(text),
    };
    const workers = startLocalWorkers(options);
    await expect.poll(() => workers.gone.aborted, { timeout: 15_000 }).toBe(true);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/worker local-1 cannot work: .*no device gpu9/);
    await workers.close();
  });
});
