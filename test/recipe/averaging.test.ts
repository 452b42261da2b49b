/** `averaging` in a sweep file: what it becomes, and what is refused. */
import { describe, expect, test } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import type { Recipe } from "../../native/recipe.js";

const file = (lines: string, network = "lenet", epochs = "epochs: 50"): string =>
  `network: ${network}
dataset: mnist
${epochs}
${lines}
metric: {name: val_accuracy, goal: maximize}
method: random
run_cap: 1
parameters:
  learning_rate: {min: 0.001, max: 0.1}
`;
const averaging = (text: string): unknown => (compileSweep(text, "s.yaml").spec.recipe as unknown as Recipe).averaging;

describe("averaging", () => {
  test("is absent unless asked for", () => {
    expect(averaging(file(""))).toBeUndefined();
    expect(averaging(file("averaging: none"))).toBeUndefined();
  });

  test("has a start and an interval of one epoch", () => {
    expect(averaging(file("averaging: {start: 30}"))).toEqual({ start: 30, every: 1 });
    expect(averaging(file("averaging: {start: 0, every: 5}"))).toEqual({ start: 0, every: 5 });
  });

  test("lenet-swa averages the last two fifths of its epochs, unless the file says otherwise", () => {
    expect(averaging(file("", "lenet-swa"))).toEqual({ start: 30, every: 1 });
    expect(averaging(file("", "lenet-swa", "epochs: 10"))).toEqual({ start: 6, every: 1 });
    expect(averaging(file("averaging: none", "lenet-swa"))).toBeUndefined();
  });

  test.each([
    ["averaging: {start: 50}", /averaging\.start.*49/],
    ["averaging: {every: 2}", /averaging needs start/],
    ["averaging: {start: 3, evry: 2}", /averaging\.evry.*every/s],
    ["averaging: {start: 3, every: 0}", /averaging\.every/],
  ])("refuses %s", (line, message) => {
    expect(() => compileSweep(file(line), "s.yaml")).toThrow(message);
  });

  test("refuses a GAN", () => {
    const text = file("averaging: {start: 1}", "gan").replace("val_accuracy", "g_loss").replace("maximize", "minimize");
    expect(() => compileSweep(text, "s.yaml")).toThrow(/a GAN's weights are not averaged/);
  });
});
