/** What `plan` prints without measuring: a table a network, and the amount of work in words. */
import { describe, expect, it } from "vitest";
import { networkTables, workLine } from "../../coordinator/cli/plan-lines.js";
import { datasets } from "../../native/datasets.js";
import { findNetwork } from "../../native/networks/index.js";
import { recipeFor } from "../../native/networks/recipe-for.js";
import type { Recipe } from "../../native/recipe.js";

function recipe(name: string, changes: Partial<Recipe> = {}): Recipe {
  const network = findNetwork(name);
  const dataset = datasets.find((one) => one.name === "mnist");
  if (network === null || dataset === undefined) throw new Error(name);
  return { ...recipeFor(network, dataset), ...changes };
}

describe("plan", () => {
  it("has a table each for the two networks of a GAN, with sums of its own", () => {
    const tables = networkTables(recipe("gan"), 80);
    expect(tables.map(({ title }) => title)).toEqual(["gan on mnist (1x28x28): the generator", "the discriminator"]);
    const total = ({ lines }: (typeof tables)[number]) => Number(lines.at(-1)?.split(/ +/)[1]?.replaceAll(",", ""));
    const [generator, discriminator] = tables.map(total);
    // Convolutions without biases; batch norm behind all but the first and the last of each network.
    expect(generator).toBe(100 * 256 * 16 + 256 * 128 * 9 + 128 * 64 * 16 + 64 * 16 + 2 * (256 + 128 + 64));
    expect((generator ?? 0) + (discriminator ?? 0)).toBe(1_268_608);
    expect(tables[1]?.lines[1]).toMatch(/^conv2d /);
  });

  it("has one table of any other network", () => {
    expect(networkTables(recipe("logit"), 80)).toEqual([
      {
        title: "logit on mnist (1x28x28)",
        lines: [
          "layer    output  parameters  multiply-adds",
          "flatten     784           0              0",
          "linear       10       7,850          7,840",
          "total                 7,850          7,840",
        ],
      },
    ]);
  });

  it.each([
    [1, {}, 55_000, "1 trial of 20 epochs: 55,000 images to train"],
    [16, { epochs: 1 }, 880_000, "16 trials of 1 epoch: 880,000 images to train"],
    [1_000, {}, 1_100_000_000, "1,000 trials of 20 epochs: 1100 million images to train"],
  ])("says how much there is to do: %i, %o", (trials, changes, images, line) => {
    expect(workLine(trials, recipe("logit", changes), images)).toBe(line);
  });

  it("counts windows of a text", () => {
    const text = { path: "t", sha256: "", characters: "ab" };
    const { dataset } = recipe("logit");
    expect(workLine(2, recipe("logit", { dataset: { ...dataset, text } }), 640)).toBe(
      "2 trials of 20 epochs: 640 windows to train",
    );
  });
});
