/** B14: a worker that the system kills for its memory. Real processes in a group with a limit; needs root and cgroups. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";

interface Group {
  readonly folder: string;
  /** What its processes may take together from now on. */
  limit(bytes: number): void;
  /** How often the system has killed in it. */
  kills(): number;
}

/** A group of processes; `null`, and why on standard error, if none can be made. */
function makeGroup(): Group | null {
  const name = `convsweep-${process.pid}`;
  const first = existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  const folder = join(first ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup", name);
  const group: Group = {
    folder,
    limit: (bytes) => writeFileSync(join(folder, first ? "memory.limit_in_bytes" : "memory.max"), String(bytes)),
    kills: () => killsIn(join(folder, first ? "memory.oom_control" : "memory.events")),
  };
  try {
    mkdirSync(folder);
    group.limit(AMPLE);
    return group;
  } catch (thrown) {
    process.stderr.write(`SKIP test/fault/memory.test.ts: no group with a limit: ${(thrown as Error).message}\n`);
    return null;
  }
}

const killsIn = (file: string): number => Number(/^oom_kill (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1]);

const AMPLE = 4 * 2 ** 30;
const SCANT = 400 * 2 ** 20;
const group = makeGroup();

describe.skipIf(group === null)("B14: a worker without memory", () => {
  const { folder, limit, kills } = group ?? { folder: "", limit: () => undefined, kills: () => 0 };
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    await playground.close();
    playground = new Playground();
  });
  afterAll(() => rmdirSync(folder));

  /** Runs a worker's verb in the group. */
  const inGroup = (...args: string[]) =>
    playground.startCommand(
      "sh",
      "-c",
      `echo $$ > ${folder}/cgroup.procs && exec "$0" "$@"`,
      process.execPath,
      workerMain,
      ...args,
    );

  it("takes no more for trials than its group may have", async () => {
    limit(SCANT);
    const { stdout } = await inGroup("devices").ended();
    expect(stdout).toMatch(/^cpu .* 0\.4 GiB,/m);
    limit(AMPLE);
    expect((await inGroup("devices").ended()).stdout).toMatch(/^cpu .* 4\.0 GiB,/m);
  });

  it("is killed by the system: its trial is lost with that process, and after the third quarantined", async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const address = String((await up.line((line) => line["event"] === "up"))["grpc"]);
    const joining = ["join", "--coordinator", address, "--token-file", join(playground.store, "worker.token")];
    // A lane of it is more than a gigabyte.
    const sweep = smallSweep({ network: "resnet18", batch_size: 256, run_cap: 1 });
    expect((await playground.run("run", playground.file("s.yaml", sweep), "--detach")).code).toBe(0);
    for (let killed = 1; killed <= 3; killed += 1) {
      expect((await playground.run("sweep", "pause", "1")).code).toBe(0);
      limit(AMPLE);
      const worker = inGroup(...joining, "--name", "small", "--lanes", "1");
      await playground.until("SELECT 1", () => /"link-up"/.test(worker.errors));
      limit(SCANT);
      expect((await playground.run("sweep", "resume", "1")).code).toBe(0);
      await worker.ended();
      expect(worker.child.signalCode).toBe("SIGKILL");
      expect(kills()).toBe(killed);
    }
    playground.startCommand(process.execPath, workerMain, ...joining, "--name", "small");
    await playground.until("SELECT state FROM sweeps WHERE state <> 'running'", (rows) => rows.length === 1);
    expect(playground.record("SELECT state, cause FROM trials")).toEqual([
      { state: "lost", cause: "quarantined: 3 workers ended while they trained it, the last time alone" },
    ]);
    expect(playground.record("SELECT state, cause FROM attempts")).toEqual(
      Array.from({ length: 3 }, () => ({ state: "lost", cause: "the process that trained it ended" })),
    );
  });
});
