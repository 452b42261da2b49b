/** A compiled sweep as a sweep file: everything written out, nothing left to defaults. */
import { stringify } from "yaml";
import type { Distribution, SweepSpec } from "../../coordinator/core/types.js";
import type { Recipe } from "../../native/recipe.js";

function printDistribution(distribution: Distribution): Record<string, unknown> {
  switch (distribution.kind) {
    case "constant":
      return { value: distribution.value };
    case "categorical": {
      const { values, probabilities } = distribution;
      return probabilities === null ? { values } : { values, probabilities };
    }
    case "int_uniform":
      return { distribution: "int_uniform", min: distribution.min, max: distribution.max };
    case "uniform":
      return { distribution: "uniform", min: distribution.min, max: distribution.max };
    case "log_uniform":
      return { distribution: "log_uniform_values", min: distribution.min, max: distribution.max };
    case "normal":
    case "log_normal":
      return { distribution: distribution.kind, mu: distribution.mu, sigma: distribution.sigma };
    case "beta":
      return { distribution: "beta", a: distribution.a, b: distribution.b };
    case "zero_or_log":
      return { distribution: "zero_or_log", p: distribution.p, min: distribution.min, max: distribution.max };
  }
}

/** For sweeps without quantised distributions and structural parameters. */
export function printSweep(spec: SweepSpec): string {
  const recipe = spec.recipe as unknown as Recipe;
  const { name, seed, train_images, test_images, validation } = recipe.dataset;
  const given = Object.entries(recipe.hyperparameters).filter(([, value]) => value !== null);
  return stringify(
    {
      name: spec.name,
      description: spec.description,
      network: recipe.network.name ?? recipe.network.layers,
      dataset: seed === null ? name : { name, seed, train_images, test_images },
      validation,
      epochs: recipe.epochs,
      batch_size: recipe.batch_size,
      optimizer: recipe.optimizer,
      nesterov: recipe.nesterov,
      decay: recipe.decay,
      schedule: recipe.schedule,
      augmentation: recipe.augmentation,
      test_at_end: recipe.test_at_end,
      ...Object.fromEntries(given),
      metric: { name: spec.objective.name, goal: spec.objective.goal },
      method: spec.sampler.name,
      seed: spec.seed,
      run_cap: spec.runCap,
      max_wall_time: spec.maxWallMillis === null ? null : `${spec.maxWallMillis / 1_000}s`,
      max_attempts: spec.maxAttempts,
      parameters: Object.fromEntries(
        spec.space.map(({ name, distribution }) => [name, printDistribution(distribution)]),
      ),
    },
    { version: "1.2", schema: "core" },
  );
}
