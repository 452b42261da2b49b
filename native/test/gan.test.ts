/** GANs: what an epoch reports and draws, alone and among others; what is refused. Shapes: shapes.test.ts; bytes: invariance.test.ts. */
import { describe, expect, it } from "vitest";
import type { LaneReport } from "../index.js";
import type { LaneHyperparameter, Recipe } from "../recipe.js";
import { engineError, openSmall, planSmall, runToEnd, smallRecipe, vector } from "./support.js";

function train(
  name: string,
  lanes: readonly { readonly seed: bigint; readonly changes?: Partial<Record<LaneHyperparameter, number>> }[],
  threads = 1,
  recipeChanges: Partial<Recipe> = {},
) {
  const { session, recipe } = openSmall(name, { lanes: lanes.length, threads }, recipeChanges);
  for (const { seed, changes } of lanes) {
    session.addLane({ seed, hyperparameters: vector(recipe, changes), checkpoint: null });
  }
  const slices = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null }));
  session.close();
  const reports = slices.flatMap((slice) => slice.reports);
  const diverged = slices.flatMap((slice) => slice.diverged);
  return { of: (lane: number): LaneReport[] => reports.filter((report) => report.lane === lane), diverged };
}

const valuesOf = (report: LaneReport | undefined): readonly number[] => [...(report?.pictures?.values ?? [])];

describe.each([
  ["gan", 8, 64],
  ["cgan", 10, 80],
])("%s", (name, columns, count) => {
  it("reports both losses and draws the same grid of images for a seed, whatever trains beside it", () => {
    const alone = train(name, [{ seed: 5n }]).of(0);
    expect(alone).toHaveLength(3);
    for (const { metrics, pictures } of alone) {
      expect(metrics.map((metric) => metric.name)).toEqual([
        "d_loss",
        "g_loss",
        "d_real_accuracy",
        "d_fake_accuracy",
        "learning_rate",
      ]);
      for (const { value } of metrics) expect(value).toBeGreaterThanOrEqual(0);
      expect(pictures).toMatchObject({ shape: [1, 28, 28], columns });
      expect(pictures?.values).toHaveLength(count * 784);
    }
    for (const value of valuesOf(alone[2])) expect(Math.abs(value)).toBeLessThanOrEqual(1);
    expect(valuesOf(alone[2])).not.toEqual(valuesOf(alone[0]));

    const among = train(name, [{ seed: 1n }, { seed: 5n }, { seed: 2n, changes: { learning_rate: 0.01 } }], 2);
    expect(among.of(1).map(({ metrics }) => metrics)).toEqual(alone.map(({ metrics }) => metrics));
    expect(valuesOf(among.of(1)[2])).toEqual(valuesOf(alone[2]));
    expect(valuesOf(among.of(0)[2])).not.toEqual(valuesOf(alone[2]));
  });

  it("loses a lane that diverges, and no other", () => {
    // Adam's steps are bounded by the learning rate; plain descent's are not.
    const sgd = { optimizer: "sgd" } as const;
    const both = train(name, [{ seed: 1n, changes: { learning_rate: 1e6 } }, { seed: 5n }], 1, sgd);
    expect(both.diverged.map(({ lane }) => lane)).toEqual([0]);
    const alone = train(name, [{ seed: 5n }], 1, sgd);
    expect(both.of(1).map(({ metrics }) => metrics)).toEqual(alone.of(0).map(({ metrics }) => metrics));
    expect(alone.of(0)).toHaveLength(3);
  });
});

it("label smoothing changes the discriminator's loss of real images alone, in proportion", () => {
  // Nothing learns, so that losses of different amounts are of the same networks; larger weights, so that they tell images apart.
  const first = (label_smoothing: number) => {
    const { session, recipe } = openSmall("gan");
    const hyperparameters = vector(recipe, { label_smoothing, learning_rate: 0 });
    session.addLane({ seed: 5n, hyperparameters, checkpoint: null });
    session.loadWeights(
      0,
      session.weights(0).data.map((weight) => 8 * weight),
    );
    const slices = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null }));
    session.close();
    return new Map(slices.flatMap(({ reports }) => reports)[0]?.metrics.map(({ name, value }) => [name, value]));
  };
  const [none, little, much] = [first(0), first(0.1), first(0.3)];
  for (const name of ["g_loss", "d_real_accuracy", "d_fake_accuracy"]) expect(much.get(name)).toBe(none.get(name));
  const [a = Number.NaN, b = Number.NaN, c = Number.NaN] = [none, little, much].map((one) => one.get("d_loss"));
  expect(Math.abs(b - a)).toBeGreaterThan(1e-4);
  expect((c - a) / (b - a)).toBeCloseTo(3, 3);
});

it("classification draws nothing", () => {
  for (const report of train("logit", [{ seed: 1n }]).of(0)) expect(report.pictures).toBe(null);
});

it("a procedure is read from version 2 on, and of version 1 refused", () => {
  const { recipe } = smallRecipe("gan");
  expect(planSmall(recipe).bytesPerLane).toBeGreaterThan(0);
  expect(engineError(() => planSmall({ ...recipe, version: 1 }))).toMatchObject({
    code: "ENGINE_BAD_RECIPE",
    path: "procedure",
  });
  expect(engineError(() => planSmall({ ...recipe, test_at_end: true }))).toMatchObject({ path: "test_at_end" });
});
