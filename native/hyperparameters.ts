/**
 * The lane hyperparameters: what each lane of a cohort has for itself. Plain data, read by the coordinator to check sweep
 * files and by the worker to fill a lane; the engine checks the same ranges (src/model/hyperparameters.cpp, a test
 * compares them).
 *
 * The order is the contract: `LaneOptions.hyperparameters` lists the values in it.
 */
import type { LaneHyperparameter, Optimizer } from "./recipe.js";

export interface HyperparameterRange {
  readonly low: number;
  readonly high: number;
  /** The bound itself is not allowed. */
  readonly openLow: boolean;
  readonly openHigh: boolean;
  /** Whole numbers only. */
  readonly whole: boolean;
}

export interface HyperparameterInfo {
  readonly name: LaneHyperparameter;
  /** Names that other tools use for the same; recorded under `name`. */
  readonly aliases: readonly string[];
  readonly meaning: string;
  readonly range: HyperparameterRange;
  /** Where neither the file nor the network says; `null`: what the layers, the schedule or the augmentation say. */
  readonly fallback: Readonly<Record<Optimizer, number | null>>;
  /** Optimisers that read it; `null` for all. */
  readonly optimizers: readonly Optimizer[] | null;
}

const all = (value: number | null): Readonly<Record<Optimizer, number | null>> => ({
  sgd: value,
  momentum: value,
  rmsprop: value,
  adam: value,
  adamw: value,
});

const below1: HyperparameterRange = { low: 0, high: 1, openLow: false, openHigh: true, whole: false };
const to1: HyperparameterRange = { low: 0, high: 1, openLow: false, openHigh: false, whole: false };
const pixels: HyperparameterRange = { low: 0, high: 4096, openLow: false, openHigh: false, whole: true };

export const hyperparameters: readonly HyperparameterInfo[] = [
  {
    name: "learning_rate",
    aliases: ["lr", "learning-rate", "learningRate"],
    meaning: "step size; the schedule multiplies it",
    range: { low: 0, high: 1e6, openLow: false, openHigh: false, whole: false },
    fallback: { sgd: 0.01, momentum: 0.01, rmsprop: 0.001, adam: 0.001, adamw: 0.001 },
    optimizers: null,
  },
  {
    name: "l2",
    aliases: ["weight_decay", "wd", "reg", "regularization", "l2_reg", "weight-decay"],
    meaning: "decay of the kernels of linear and convolution layers: l2 / 2 * |w|^2 in the loss, or decoupled",
    range: { low: 0, high: 1e6, openLow: false, openHigh: false, whole: false },
    fallback: all(0),
    optimizers: null,
  },
  {
    name: "momentum",
    aliases: ["mu"],
    meaning: "share of the last step that is kept",
    range: below1,
    fallback: all(0.9),
    optimizers: ["momentum"],
  },
  {
    name: "rho",
    aliases: ["alpha", "decay_rate"],
    meaning: "share of the running mean of squared gradients that is kept",
    range: below1,
    fallback: all(0.99),
    optimizers: ["rmsprop"],
  },
  {
    name: "beta1",
    aliases: ["beta_1", "adam_beta1"],
    meaning: "share of the running mean of gradients that is kept",
    range: below1,
    fallback: all(0.9),
    optimizers: ["adam", "adamw"],
  },
  {
    name: "beta2",
    aliases: ["beta_2", "adam_beta2"],
    meaning: "share of the running mean of squared gradients that is kept",
    range: below1,
    fallback: all(0.999),
    optimizers: ["adam", "adamw"],
  },
  {
    name: "epsilon",
    aliases: ["eps", "adam_epsilon"],
    meaning: "added to the root of the squared gradients",
    range: { low: 0, high: 1, openLow: true, openHigh: false, whole: false },
    fallback: all(1e-8),
    optimizers: ["rmsprop", "adam", "adamw"],
  },
  {
    name: "dropout",
    aliases: ["dropout_rate", "drop_rate"],
    meaning: "probability that a dropout layer drops a value; replaces the rate of every dropout layer",
    range: below1,
    fallback: all(null),
    optimizers: null,
  },
  {
    name: "label_smoothing",
    aliases: ["smoothing"],
    meaning: "share of the target spread evenly over all classes",
    range: below1,
    fallback: all(0),
    optimizers: null,
  },
  {
    name: "schedule_factor",
    aliases: ["gamma", "lr_decay"],
    meaning: "factor of a step or exponential schedule",
    range: { low: 0, high: 1e6, openLow: false, openHigh: false, whole: false },
    fallback: all(null),
    optimizers: null,
  },
  {
    name: "schedule_floor",
    aliases: [],
    meaning: "lowest factor of a cosine schedule",
    range: to1,
    fallback: all(null),
    optimizers: null,
  },
  {
    name: "schedule_warmup",
    aliases: ["warmup"],
    meaning: "share of all steps in which a one_cycle schedule rises",
    range: { low: 0, high: 1, openLow: true, openHigh: true, whole: false },
    fallback: all(null),
    optimizers: null,
  },
  {
    name: "flip",
    aliases: [],
    meaning: "probability of a horizontal flip of a training image",
    range: to1,
    fallback: all(null),
    optimizers: null,
  },
  {
    name: "crop_padding",
    aliases: [],
    meaning: "pixels of padding on each side before a random crop back to size",
    range: pixels,
    fallback: all(null),
    optimizers: null,
  },
  {
    name: "cutout",
    aliases: [],
    meaning: "side in pixels of the square that is cut out of a training image",
    range: pixels,
    fallback: all(null),
    optimizers: null,
  },
  ...(["brightness", "contrast", "saturation"] as const).map(
    (name): HyperparameterInfo => ({
      name,
      aliases: [],
      meaning: `strength of the ${name} jitter of a training image`,
      range: to1,
      fallback: all(null),
      optimizers: null,
    }),
  ),
];

/** The hyperparameter of that name or alias. */
export function findHyperparameter(name: string): HyperparameterInfo | null {
  return hyperparameters.find((info) => info.name === name || info.aliases.includes(name)) ?? null;
}
