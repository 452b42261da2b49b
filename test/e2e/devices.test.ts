/**
 * Workers with several devices, through an engine that has two emulated ones beside the processor: what they say of
 * themselves, and one that breaks in the middle of a sweep.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compileFakeNvml } from "../../native/test/fake-nvml.js";
import { Playground, root } from "./program.js";

const EPOCHS = 25;

/** Seconds a trial on the emulator; two trials. */
const sweep = JSON.stringify({
  name: "two devices",
  network: ["flatten", { linear: 10 }],
  dataset: { name: "synthetic-digits", train_images: 120, test_images: 10 },
  validation: 20,
  epochs: EPOCHS,
  batch_size: 20,
  optimizer: "sgd",
  metric: { name: "val_accuracy", goal: "maximize" },
  method: "random",
  seed: 3,
  run_cap: 2,
  parameters: { learning_rate: { distribution: "log_uniform_values", min: 0.001, max: 0.1 } },
});

describe("a worker with several devices", () => {
  let playground: Playground;
  beforeAll(() => {
    Playground.requireBuild();
    const built = spawnSync(process.execPath, [join(root, "native/build.mjs"), "--emulated", "--quiet"], {
      encoding: "utf8",
    });
    if (built.status !== 0) throw new Error(built.stderr);
  }, 900_000);
  beforeEach(() => {
    playground = new Playground();
    playground.variables["CONVSWEEP_ENGINE"] = join(root, "native/build/engine-emulated.node");
    playground.variables["CONVSWEEP_EMULATED_BREAK"] = join(playground.folder, "break-");
  });
  afterEach(() => playground.close());

  it("tells what its devices say of themselves, in the record and in `workers`", async () => {
    playground.variables["CONVSWEEP_NVML"] = compileFakeNvml(playground.folder);
    const local = ["--workers", "1", "--devices", "emulated:0,emulated:1,cpu", "--lanes", "3"];
    const up = playground.start("up", ...local, "--listen", ":0", "--page", ":0", "--json");
    await up.line((line) => line["event"] === "up");
    const [row] = await playground.until("SELECT devices FROM workers", ([worker]) =>
      String(worker?.["devices"]).includes('"use"'),
    );
    const devices = JSON.parse(String(row?.["devices"])) as { id: string; use?: unknown }[];
    // As test/fake_nvml.c has it for the one device that it knows.
    const use = {
      utilization: 0.87,
      memoryUsed: 9 * 2 ** 30,
      memoryTotal: 85_520_809_984,
      temperature: 61,
      power: 412.345,
    };
    expect(devices.map(({ id, use }) => [id, use])).toEqual([
      ["emulated:0", use],
      ["emulated:1", undefined],
      ["cpu", undefined],
    ]);
    const { stdout } = await playground.run("workers");
    expect(stdout).toContain(
      "emulated:0 3 lanes, 87 % busy, 9.00 GiB of 79.6 GiB, 61 °C, 412 W; emulated:1 3 lanes; cpu 3 lanes",
    );
  });

  it("is told by `devices` and `doctor` what there is and what is not", async () => {
    playground.variables["CONVSWEEP_NVML"] = compileFakeNvml(playground.folder);
    const json = await playground.run("devices", "--json");
    const { devices, cuda } = JSON.parse(json.stdout) as {
      devices: { id: string; bus: string | null; unusable: string | null }[];
      cuda: { driver: string | null };
    };
    expect(devices.filter(({ id }) => id.startsWith("emulated"))).toMatchObject([
      { id: "emulated:0", bus: "0000:65:00.0", unusable: null },
      { id: "emulated:1", bus: "0000:66:00.0", unusable: null },
    ]);
    expect(cuda.driver).toBe("580.159.04");
    const listing = await playground.run("devices");
    expect(listing.stdout).toMatch(
      /^emulated:0 {2}kernels on the host emulator, 2 multiprocessors, 1\.0 GiB, emulated kernels;/m,
    );
    const doctor = await playground.run("doctor");
    for (const line of listing.stdout.trimEnd().split("\n")) expect(doctor.stdout).toContain(line);
    expect(doctor.code).toBe(0);
  });

  it("one of which breaks: gives everything back, starts again, and its trials end as if nothing had been", async () => {
    const file = playground.file("sweep.json", sweep);
    const devices = ["--devices", "emulated:0,emulated:1", "--lanes", "1"];
    const run = playground.start("run", file, "--json", ...devices);
    await run.line((line) => line["event"] === "submitted");
    const reported =
      "SELECT trial, max(epoch) AS epoch FROM reports WHERE attempt LIKE '%#1' GROUP BY trial ORDER BY trial";
    const before = await playground.until(reported, (rows) => rows.length === 2);
    const [first] = playground.record("SELECT incarnation FROM workers");
    writeFileSync(join(playground.folder, "break-emulated:0"), "");
    const { code, stderr } = await run.ended();
    expect(stderr).toContain("worker local-1 ended (exit code 70); starting it again");
    expect(code).toBe(0);

    const [second] = playground.record("SELECT incarnation FROM workers");
    expect(second?.["incarnation"]).not.toBe(first?.["incarnation"]);
    // Both were given back by the process that ended, each with its reason, and taken up again by the next.
    expect(playground.record("SELECT trial, n, state, cause FROM attempts ORDER BY n, trial")).toEqual([
      {
        trial: "1/0",
        n: 1,
        state: "lost",
        cause: "released by local-1: the device is lost; waiting for emulated:0: an illegal address",
      },
      { trial: "1/1", n: 1, state: "lost", cause: "released by local-1: device emulated:0 is lost" },
      { trial: "1/0", n: 2, state: "finished", cause: "" },
      { trial: "1/1", n: 2, state: "finished", cause: "" },
    ]);
    // What the first attempts had reported is kept, and no epoch is missing.
    const after = playground.record(reported);
    for (const [i, row] of before.entries())
      expect(Number(after[i]?.["epoch"])).toBeGreaterThanOrEqual(Number(row["epoch"]));
    expect(
      playground.record("SELECT trial, count(DISTINCT epoch) AS epochs FROM reports GROUP BY trial ORDER BY trial"),
    ).toEqual([
      { trial: "1/0", epochs: EPOCHS },
      { trial: "1/1", epochs: EPOCHS },
    ]);
    const again = await playground.run("trial", "rerun", "1/0", "--verify", "--devices", "emulated:1");
    expect(again.stdout).toContain("equal to the bit");
    expect(again.code).toBe(0);
  });
});
