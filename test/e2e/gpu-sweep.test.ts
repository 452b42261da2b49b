/** native/bench/gpu-sweep.mjs where there is no GPU: what it says, and, on the processor, that it does what it says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Playground, root } from "./program.js";

const script = join(root, "native/bench/gpu-sweep.mjs");

describe("the sweep for a GPU machine", () => {
  const playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterAll(() => playground.close());
  const sweep = async (...args: string[]) =>
    await playground.startCommand(process.execPath, script, "--data", playground.folder, ...args).ended();

  it.each([
    [["--devices", "gpu9"], "there is no device gpu9; there are: cpu"],
    [["--trials", "none"], "--trials: expected a whole number from 1, found `none`"],
    [["--wrong"], "Unknown option '--wrong'"],
  ])("%j ends with exit code 2 and says what is missing", async (args, message) => {
    const { code, stderr, stdout } = await sweep(...args);
    expect(stderr).toMatch(/^gpu-sweep: [^\n]+\n$/);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
  });

  it("runs the sweep, counts what was trained, and verifies the best trial to the bit", async () => {
    const file = join(playground.folder, "result.json");
    const { code, stdout, stderr } = await sweep("--devices", "cpu", "--trials", "1", "--epochs", "1", "--json", file);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("MNIST is not in");
    expect(stdout).toContain("trials ended     1 of 1 (1 completed, 0 failed)");
    const result = JSON.parse(readFileSync(file, "utf8"));
    // 10,000 generated digits, 1,000 of them held out.
    expect(result).toMatchObject({ network: "lenet-dropout", ended: 1, images: 9_000, use: [] });
    expect(result.imagesPerSecond).toBeCloseTo(9_000 / result.seconds, 6);
    expect(result.rerun).toMatchObject({ of: "1/0", state: "completed", verified: { equal: true } });
    expect(result.attempts).toMatchObject([{ device: "cpu", attempts: 2 }]);
  });
});
