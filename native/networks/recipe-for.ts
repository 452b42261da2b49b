/** A whole recipe from a catalogue entry and a data set, every default filled in: for benchmarks, tests and `plan`. */
import { hyperparameters } from "../hyperparameters.js";
import {
  type Augmentation,
  type Averaging,
  type DatasetSpec,
  type LaneHyperparameter,
  PROCEDURE_RECIPE_VERSION,
  RECIPE_VERSION,
  type Recipe,
} from "../recipe.js";
import type { NetworkEntry } from "./entry.js";

export const NO_AUGMENTATION: Augmentation = {
  flip: false,
  crop_padding: 0,
  cutout: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
};

/** As the catalogue's default means it for so many epochs. */
export function averagingOf(network: NetworkEntry, epochs: number): Averaging | null {
  const share = network.defaults.averaging;
  return share === undefined ? null : { start: Math.floor(share * epochs), every: 1 };
}

/** `overrides` replaces top-level members; its `hyperparameters` are merged. */
export function recipeFor(
  network: NetworkEntry,
  dataset: DatasetSpec,
  overrides: Partial<Omit<Recipe, "hyperparameters">> & {
    readonly hyperparameters?: Readonly<Partial<Record<LaneHyperparameter, number | null>>>;
  } = {},
): Recipe {
  const optimizer = overrides.optimizer ?? network.defaults.optimizer;
  const values = Object.fromEntries(
    hyperparameters.map(({ name, fallback }) => [name, network.defaults.hyperparameters[name] ?? fallback[optimizer]]),
  ) as Record<LaneHyperparameter, number | null>;
  const averaging = averagingOf(network, overrides.epochs ?? network.defaults.epochs);
  return {
    version: network.procedure === undefined ? RECIPE_VERSION : PROCEDURE_RECIPE_VERSION,
    network: { name: network.name, layers: network.layers },
    ...(network.procedure === undefined ? {} : { procedure: network.procedure }),
    dataset,
    batch_size: network.defaults.batch_size,
    epochs: network.defaults.epochs,
    nesterov: false,
    decay: optimizer === "adamw" ? "decoupled" : "loss",
    schedule: { kind: "constant" },
    augmentation: NO_AUGMENTATION,
    ...(averaging === null ? {} : { averaging }),
    precision: "float32",
    shuffle: true,
    test_at_end: false,
    ...overrides,
    optimizer,
    hyperparameters: { ...values, ...overrides.hyperparameters },
  };
}
