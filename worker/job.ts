/**
 * An assigned attempt, checked and turned into what the engine wants. Pure.
 *
 * Guarantees: hyperparameters stand in the engine's order; a parameter replaces the recipe's value of the same name;
 * structural parameters are already in the recipe and are passed over. Throws ConvsweepError BAD_INPUT with the path of
 * what is wrong. Not here: whether the recipe can be trained (the engine says that).
 */
import { ConvsweepError } from "../proto/contract.js";
import { type DatasetSpec, hyperparameterVector, type Recipe } from "./engine.js";
import type { Job } from "./messages.js";

export interface JobPlan {
  readonly dataset: DatasetSpec;
  readonly seed: bigint;
  readonly keepWeights: boolean;
  readonly batchSize: number;
  /** Neither draws pictures nor writes text. */
  readonly labelsImages: boolean;
  readonly testAtEnd: boolean;
  readonly hyperparameters: Float64Array;
}

export function parseObject(text: string, path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ConvsweepError("BAD_INPUT", `${path} is not JSON`, { path, expected: "a JSON object", cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConvsweepError("BAD_INPUT", `${path} is not an object`, {
      path,
      expected: "a JSON object",
      found: text.slice(0, 40),
    });
  }
  return value as Readonly<Record<string, unknown>>;
}

/** What of a recipe this side needs; the engine checks all of it. */
export function parseRecipe(text: string): Recipe {
  const recipe = parseObject(text, "recipe");
  for (const name of ["dataset", "hyperparameters", "network"]) {
    const member = recipe[name];
    if (typeof member !== "object" || member === null) {
      throw new ConvsweepError("BAD_INPUT", "the recipe is incomplete", {
        path: `recipe.${name}`,
        expected: "an object",
        found: String(member),
      });
    }
  }
  return recipe as unknown as Recipe;
}

export function planJob(job: Pick<Job, "recipe" | "seed" | "parameters">): JobPlan {
  const recipe = parseRecipe(job.recipe);
  if (!/^[0-9a-f]{16}$/i.test(job.seed)) {
    throw new ConvsweepError("BAD_INPUT", "the seed is not 64 bits", {
      path: "seed",
      expected: "16 hexadecimal digits",
      found: job.seed,
    });
  }
  return {
    dataset: recipe.dataset,
    keepWeights: recipe.keep_weights === true,
    batchSize: recipe.batch_size,
    testAtEnd: recipe.test_at_end,
    labelsImages: recipe.procedure === undefined && recipe.dataset.text === undefined,
    seed: BigInt(`0x${job.seed}`),
    hyperparameters: hyperparameterVector(recipe.hyperparameters, parseObject(job.parameters, "parameters")),
  };
}
