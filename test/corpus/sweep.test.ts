/** Wrong sweep files through `convsweep plan`: exit code 2, and a message that says where, what was expected and what found. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { commandLine } from "./command-line.js";
import { corpus, expectMessage, manifest, strays } from "./manifest.js";

interface Row {
  readonly file: string;
  readonly why: string;
  readonly exit: number;
  readonly message: string;
}

const rows = manifest<Row>("sweep");

describe("wrong sweep files", () => {
  it("are many, and every one is in the manifest", () => {
    expect(rows.length).toBeGreaterThanOrEqual(120);
    expect(
      strays(
        "sweep",
        rows.map(({ file }) => file),
      ),
    ).toEqual([]);
  });

  it.each(rows)("$file: $why", async ({ file, exit, message }) => {
    const said = await commandLine(["plan", join(corpus, "sweep", file), "--no-measure"]);
    expectMessage(said.stderr.replace(/^convsweep: /, "").trimEnd(), message);
    expect(said).toMatchObject({ exit, stdout: "" });
    // Where, in a way that editors understand.
    expect(message).toMatch(new RegExp(`^${file.replaceAll(".", "\\.")}:\\d+:\\d+: `));
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("are refused in a moment, also by the coordinator, which compiles them again", () => {
    for (const { file } of rows) {
      const text = readFileSync(join(corpus, "sweep", file), "utf8");
      const before = process.cpuUsage();
      expect(() => compileSweep(text, file)).toThrow();
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1e6, file).toBeLessThan(0.5);
    }
  });
});

describe("text that is no command", () => {
  // H8: what shells, printf and loggers of others would act upon is a name like any other.
  it.each([
    "$(id)",
    "`id`",
    "; rm -rf /",
    "--flag",
    "%n%s",
    "$" + "{jndi:ldap://x/a}",
    "'; DROP TABLE x; --",
    "<script>",
    "=1+1",
  ])("%s is kept as it is", (name) => {
    const text = [
      `name: ${JSON.stringify(name)}`,
      "network: logit",
      "dataset: synthetic-digits",
      "metric: {name: val_accuracy, goal: maximize}",
      "method: random",
      "run_cap: 1",
      "parameters: {learning_rate: {value: 0.1}}",
    ].join("\n");
    expect(compileSweep(text, "f.yaml").spec.name).toBe(name);
  });
});
