/** The example files that people copy compile without a warning, and say what their comments promise. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import type { Recipe } from "../../native/recipe.js";

const folder = new URL("../../examples/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
const compile = (name: string) =>
  compileSweep(readFileSync(new URL(name, folder), "utf8"), name, fileURLToPath(folder));

describe("example sweep files", () => {
  it("are there", () => {
    expect(files.length).toBeGreaterThanOrEqual(9);
  });

  it.each(files)("%s compiles without a warning, under its own name", (name) => {
    const { spec, warnings } = compile(name);
    expect(warnings).toEqual([]);
    expect(spec.name).toBe(name.replace(".yaml", ""));
  });

  const canon = readdirSync(new URL("canon/", folder));
  it.each(canon)("canon/%s trains the network it is named after, without a warning", (name) => {
    const { spec, warnings } = compile(`canon/${name}`);
    expect(warnings).toEqual([]);
    expect(spec.name).toBe(`canon-${name.replace(".yaml", "")}`);
    expect((spec.recipe as unknown as Recipe).network.name).toBe(name.replace(".yaml", ""));
  });

  it("the quickstart has 16 random trials over learning rate and L2, both log-uniform", () => {
    const { spec } = compile("quickstart.yaml");
    expect(spec.runCap).toBe(16);
    expect(spec.space.map(({ name, distribution }) => `${name} ${distribution.kind}`)).toEqual([
      "learning_rate log_uniform",
      "l2 log_uniform",
    ]);
  });

  it("the grid has 24 points and a data set of 5,000 images", () => {
    const { spec } = compile("grid.yaml");
    expect(spec.runCap).toBe(24);
    expect((spec.recipe as unknown as Recipe).dataset.train_images).toBe(5_000);
    expect(spec.structural).toEqual(["optimizer"]);
  });

  it("the nested network of docs/sweep-file.md is one", () => {
    const text = readFileSync(new URL("../../docs/sweep-file.md", import.meta.url), "utf8");
    const blocks = [...text.matchAll(/```yaml\n(network:[^`]*residual[^`]*)```/g)].map((match) => match[1] ?? "");
    expect(blocks).toHaveLength(1);
    const rest = "dataset: cifar10\nepochs: 1\nbatch_size: 10\noptimizer: sgd\nmethod: random\nrun_cap: 1\n";
    const { spec } = compileSweep(`${blocks[0]}${rest}parameters: {l2: {value: 0}}\n`, "docs.yaml");
    const { layers } = (spec.recipe as unknown as Recipe).network;
    expect(layers.map(({ op }) => op)).toEqual([
      "conv2d",
      "residual",
      "residual",
      "branches",
      "global_avg_pool2d",
      "linear",
    ]);
    expect(layers[2]).toEqual(layers[1]);
  });
});
