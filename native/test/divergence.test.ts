/** When a lane's divergence is told: at the step where the loss, or at the epoch's end the weights, are no longer finite. */
import { expect, it } from "vitest";
import { NO_AUGMENTATION } from "../networks/recipe-for.js";
import type { LaneHyperparameter, Recipe } from "../recipe.js";
import { openSmall, runToEnd, vector } from "./support.js";

function open(name: string, values: Partial<Record<LaneHyperparameter, number>>, changes: Partial<Recipe>) {
  const plain = { augmentation: NO_AUGMENTATION, schedule: { kind: "constant" }, optimizer: "sgd" } as const;
  const { session, recipe } = openSmall(name, {}, { ...plain, ...changes });
  session.addLane({ seed: 4n, hyperparameters: vector(recipe, values), checkpoint: null });
  return session;
}

it.each([2, 3, 9])("names the step whose loss is not finite, and its epoch, with batches of %i", (batch) => {
  const wild = { learning_rate: 30, l2: 5 };
  const changes = { batch_size: batch, epochs: 40 };
  // Step by step: which one is the first?
  const one = open("mlp800", wild, changes);
  let first = 0;
  for (let loss = 0; Number.isFinite(loss) || Number.isNaN(loss); ) {
    const { positions, state, diverged } = one.runSlice({ maxMillis: 60_000, maxSteps: 1 });
    loss = positions[0]?.loss ?? 0;
    first = positions[0]?.step ?? 0;
    if (diverged.length > 0 || state !== "more") break;
  }
  const { positions } = one.runSlice({ maxMillis: 60_000, maxSteps: 1 });
  expect(Number.isFinite(positions[0]?.loss)).toBe(false);
  one.close();
  const steps = Math.floor(18 / batch);
  expect(first).toBeGreaterThan(1);
  const all = open("mlp800", wild, changes);
  const slices = runToEnd(() => all.runSlice({ maxMillis: 60_000, maxSteps: null }));
  const epoch = Math.floor((first - 1) / steps);
  expect(slices.flatMap(({ diverged }) => diverged)).toEqual([{ lane: 0, epoch, step: first, what: "loss" }]);
  expect(slices.flatMap(({ reports }) => reports).map((report) => report.epoch)).toEqual(
    Array.from({ length: epoch }, (_, i) => i + 1),
  );
  all.close();
});

it("names weights that overflow behind a finite loss, at the end of their epoch", () => {
  // Each step multiplies the weights by -1e12: the fourth takes them beyond float32.
  const session = open("logit", { learning_rate: 1e6, l2: 1e6 }, { batch_size: 18, epochs: 9 });
  const slices = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null }));
  const told = slices.flatMap(({ diverged }) => diverged);
  expect(told).toMatchObject([{ lane: 0, what: "weights" }]);
  expect(told[0]?.step).toBe((told[0]?.epoch ?? 0) + 1);
  expect(Number.isFinite(slices.at(-1)?.positions[0]?.loss)).toBe(true);
  expect(session.weights(0).data.every(Number.isFinite)).toBe(false);
  session.close();
});
