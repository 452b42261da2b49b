/** From a folder of images of one's own to a label for a file, through the built program. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Playground } from "./program.js";

/** Grey noise around a brightness. */
function png(brightness: number, seed: number, width = 12, height = 9): Uint8Array {
  const data = Uint8Array.from({ length: width * height }, (_, i) => brightness + (((i + seed) * 7919) % 41));
  return encode({ width, height, channels: 1, depth: 8, data });
}

describe("convsweep predict", () => {
  const playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterAll(() => playground.close());

  it("labels files with the names of the folders that a trial learnt from", async () => {
    const folder = join(playground.folder, "sky");
    for (const [name, brightness] of [
      ["day", 180],
      ["night", 20],
    ] as const) {
      mkdirSync(join(folder, name), { recursive: true });
      for (let i = 0; i < 20; i++) writeFileSync(join(folder, name, `${i}.png`), png(brightness, i));
    }
    const sweep = (keep: string) =>
      `network: [flatten, {linear: 2}]\ndataset: {folder: sky, size: 6}\nbatch_size: 4\nepochs: 4\noptimizer: adam\n${keep}method: random\nrun_cap: 1\nparameters: {learning_rate: {value: 0.02}}\n`;
    const run = await playground.run("run", playground.file("keep.yaml", sweep("keep_weights: true\n")), "--json");
    expect([run.stderr, run.code]).toEqual(["", 0]);
    for (const [name, brightness] of [
      ["day", 190],
      ["night", 10],
    ] as const) {
      const image = join(playground.folder, `${name}.png`);
      writeFileSync(image, png(brightness, 99, 31, 20));
      const { code, stdout, stderr } = await playground.run("predict", image, "--trial", "1/0", "--json");
      expect([stderr, code]).toEqual(["", 0]);
      const { guesses, size, seen } = JSON.parse(stdout) as {
        guesses: { class: string; probability: number }[];
        size: number[];
        seen: number[];
      };
      expect([size, seen]).toEqual([
        [31, 20],
        [1, 6, 6],
      ]);
      expect(guesses.map(({ class: guess }) => guess)).toEqual(name === "day" ? ["day", "night"] : ["night", "day"]);
      expect(guesses[0]?.probability).toBeGreaterThan(0.9);
      expect(guesses.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 6);
    }
    const paths = ["night", "day"].map((name) => join(playground.folder, `${name}.png`));
    const both = await playground.run("predict", ...paths, "--trial", "1/0", "--top", "1", "--json");
    const lines = both.stdout.trimEnd().split("\n");
    const said = lines.map((line) => JSON.parse(line) as { image: string; guesses: { class: string }[] });
    expect(said.map(({ image, guesses }) => [image, guesses[0]?.class])).toEqual([
      [paths[0], "night"],
      [paths[1], "day"],
    ]);
    // A tenth of 40 images is held out.
    const shown = await playground.run("trial", "show", "1/0");
    expect(shown.stdout).toMatch(
      / of 4 validation images right, \d+\.\d\d %\n\nrows: predicted, columns: actual\n +day +night\n/,
    );
    const { confusions, metrics } = JSON.parse((await playground.run("trial", "show", "1/0", "--json")).stdout) as {
      confusions: { of: string; classes: string[]; counts: number[][] }[];
      metrics: { val_accuracy: number };
    };
    expect(confusions.map(({ of, classes }) => [of, classes])).toEqual([["validation", ["day", "night"]]]);
    const counts = confusions[0]?.counts ?? [];
    expect(((counts[0]?.[0] ?? 0) + (counts[1]?.[1] ?? 0)) / 4).toBe(metrics.val_accuracy);
    const kept = join(playground.folder, "kept");
    expect((await playground.run("trial", "show", "1/0", "--save", kept)).code).toBe(0);
    const image = join(playground.folder, "day.png");
    const { stdout } = await playground.run("predict", image, "--kept", kept, "--top", "1");
    expect(stdout).toMatch(/day\.png: 31x20, seen as 6x6 grey\n {2}day +\d+\.\d\d %\n$/);

    await playground.run("run", playground.file("forget.yaml", sweep("")), "--json");
    const text = playground.file("notes.txt", "hello");
    for (const [args, message] of [
      [[image, "--trial", "2/0"], "trial 2/0 kept no weights"],
      [[image, "--trial", "9/0"], "there is no trial 9/0"],
      [[text, "--trial", "1/0"], "notes.txt: expected a PNG or JPEG file, found other bytes at the start"],
      [["gone.png", "--trial", "1/0"], "gone.png: it cannot be read"],
      [[image, "--kept", playground.folder], "holds no weights.safetensors"],
      [[image], "--trial ID or --kept DIR"],
    ] as const) {
      const refused = await playground.run("predict", ...args);
      expect(refused.stderr).toContain(message);
      expect([refused.stdout, refused.code]).toEqual(["", 2]);
    }
  });
});
