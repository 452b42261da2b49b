/** Networks that draw images: `gan`, `cgan`. The layers are the generator; the discriminator stands in the procedure. */
import type { LayerSpec, Procedure } from "../recipe.js";
import type { NetworkEntry } from "./entry.js";
import { batchNorm, flatten, LAYER_DEFAULTS, relu, tanh } from "./layers.js";

const common = { groups: LAYER_DEFAULTS.groups, bias: false, init: "dcgan_normal" } as const;
const pair = (side: number): readonly [number, number] => [side, side];

const up = (filters: number, kernel: number, stride: number, padding: number): LayerSpec => ({
  op: "conv_transpose2d",
  filters,
  kernel: pair(kernel),
  stride: pair(stride),
  padding: pair(padding),
  output_padding: LAYER_DEFAULTS.outputPadding,
  ...common,
});
const down = (filters: number, kernel: number, stride: number, padding: number): LayerSpec => ({
  op: "conv2d",
  filters,
  kernel: pair(kernel),
  stride: pair(stride),
  padding: pair(padding),
  ...common,
});
const leaky: LayerSpec = { op: "leaky_relu", slope: 0.2 };

/** 1x1 to 4x4, 7x7, 14x14, 28x28. */
const generator: readonly LayerSpec[] = [
  up(256, 4, 1, 0),
  batchNorm,
  relu,
  up(128, 3, 2, 1),
  batchNorm,
  relu,
  up(64, 4, 2, 1),
  batchNorm,
  relu,
  up(1, 4, 2, 1),
  tanh,
];
/** 28x28 to 14x14, 7x7, 4x4, one value. */
const discriminator: readonly LayerSpec[] = [
  down(64, 4, 2, 1),
  leaky,
  down(128, 4, 2, 1),
  leaky,
  down(256, 3, 2, 1),
  leaky,
  down(1, 4, 1, 0),
  flatten,
];

const procedure = (conditional: boolean): Procedure => ({ kind: "gan", discriminator, latent: 100, conditional });
const defaults: NetworkEntry["defaults"] = {
  optimizer: "adam",
  batch_size: 60,
  epochs: 20,
  hyperparameters: { learning_rate: 2e-4, beta1: 0.5, beta2: 0.999 },
};

export const generative: readonly NetworkEntry[] = [
  {
    name: "gan",
    summary: "DCGAN that draws digits from 100 random numbers, 1,268,608 parameters",
    input: [1, 28, 28],
    layers: generator,
    procedure: procedure(false),
    defaults,
    source: "Radford, Metz, Chintala 2016 (DCGAN), for 28x28 images",
  },
  {
    name: "cgan",
    summary: "the same by class: draws the digit it is asked for",
    input: [1, 28, 28],
    layers: generator,
    procedure: procedure(true),
    defaults,
    source: "Mirza, Osindero 2014 (conditional GAN), on the DCGAN above",
  },
];
