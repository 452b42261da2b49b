/** The main job through the built program: submit, train, record, ask, repeat to the bit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep } from "./program.js";

describe("convsweep run", () => {
  const playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterAll(() => playground.close());

  it("runs a sweep to its end, prints JSON lines, and the record agrees with what it said", async () => {
    const file = playground.file("small.yaml", smallSweep());
    const { code, stdout, stderr } = await playground.run("run", file, "--json");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const summary = lines.at(-1) as {
      event: string;
      completed: number;
      failed: number;
      best: { trial: string; value: number };
    };
    expect(summary).toMatchObject({ event: "summary", state: "completed", completed: 4, failed: 0 });
    expect(lines.filter((line) => line["event"] === "report")).toHaveLength(8);

    const trials = await playground.query(
      "SELECT id, state, best_value, epochs, weights_hash FROM trials ORDER BY best_value DESC",
    );
    expect(trials).toHaveLength(4);
    expect(trials.every((row) => row["state"] === "completed" && row["epochs"] === 2)).toBe(true);
    expect(trials.every((row) => /^[0-9a-f]{64}$/.test(String(row["weights_hash"])))).toBe(true);
    expect(trials[0]).toMatchObject({ id: summary.best.trial, best_value: summary.best.value });
    const [best] = await playground.query("SELECT max(value) AS value FROM reports WHERE metric = 'val_accuracy'");
    expect(best?.["value"]).toBe(summary.best.value);
    expect(summary.best.value).toBeGreaterThan(0.5);
  });

  it("repeats a trial alone, to the bit", async () => {
    const { code, stdout, stderr } = await playground.run("trial", "rerun", "1/2", "--verify", "--json");
    expect(stderr).toBe("");
    const last = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "null") as {
      verified: { equal: boolean; detail: string };
    };
    expect(last.verified.equal).toBe(true);
    expect(code).toBe(0);
    const [row] = await playground.query("SELECT count(*) AS n FROM trials WHERE sweep = 1 AND origin LIKE '%rerun%'");
    expect(row?.["n"]).toBe(1);
  });

  it("draws the same parameters from the same seed in another store, and trains the same weights", async () => {
    const other = new Playground();
    try {
      const file = other.file("small.yaml", smallSweep());
      expect((await other.run("run", file, "--json", "--lanes", "3")).code).toBe(0);
      const sql =
        "SELECT number, params, best_value, weights_hash FROM trials WHERE origin = 'sampled' ORDER BY number";
      expect(await other.query(sql)).toEqual(await playground.query(sql));
    } finally {
      await other.close();
    }
  });

  it("says on Ctrl-C what it does: with a sweep that trains it pauses, with one that has ended there is nothing to pause", async () => {
    const other = new Playground();
    try {
      const long = other.file("long.yaml", smallSweep({ epochs: 100_000, run_cap: 1 }));
      const training = other.start("run", long, "--keep", "--json");
      await training.line((line) => line["event"] === "report");
      const paused = await training.kill("SIGINT");
      expect(paused.code).toBe(130);
      expect(paused.stderr).toMatch(
        /^pausing the sweep and ending the worker; .*\nsweep 1 is paused; go on with `.*`\n$/,
      );
      const serving = other.start("run", other.file("small.yaml", smallSweep({ run_cap: 1 })), "--keep", "--json");
      await serving.line((line) => line["event"] === "summary");
      const ended = await serving.kill("SIGINT");
      expect(ended.stderr).toBe("the sweep has ended; ending the page and the worker; Ctrl-C again ends at once\n");
      expect(ended.code).toBe(0);
      expect(await other.query("SELECT id, state FROM sweeps ORDER BY id")).toEqual([
        { id: 1, state: "paused" },
        { id: 2, state: "completed" },
      ]);
    } finally {
      await other.close();
    }
  });

  it("lists, sorts and filters by parameters and metrics", async () => {
    const { stdout, code } = await playground.run(
      "trials",
      "1",
      "--where",
      "learning_rate > 0 AND val_loss < 100",
      "--sort",
      "l2",
      "--format",
      "json",
    );
    expect(code).toBe(0);
    const l2 = (JSON.parse(stdout) as { l2: number }[]).map((row) => row.l2);
    expect(l2.length).toBeGreaterThanOrEqual(4);
    expect(l2).toEqual([...l2].sort((a, b) => a - b));
  });
});

describe("bad input", () => {
  const playground = new Playground();
  afterAll(() => playground.close());

  it.each([
    [["run", "nowhere.yaml"], "there is no file nowhere.yaml; expected a sweep file"],
    [["trials", "1"], "nothing recorded yet"],
    [["trial", "show", "x"], "expected a trial such as 3/17"],
    [["sweep", "pause", "1"], "no coordinator serves"],
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["run"], "missing required argument 'file'"],
  ])("%j says `%s`", async (args, message) => {
    const { code, stdout, stderr } = await playground.run(...args);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(code).toBe(args[0] === "sweep" ? 1 : 2);
  });

  it("names line, key and the nearest known key of a wrong sweep file", async () => {
    const file = playground.file("wrong.yaml", "network: logit\ndataset: synthetic-digits\nepocs: 3\nmethod: random\n");
    const { code, stderr } = await playground.run("run", file);
    expect(stderr).toMatch(/wrong\.yaml:3:1/);
    expect(stderr).toContain("epochs");
    expect(code).toBe(2);
  });
});
