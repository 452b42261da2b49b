/** Networks of parallel branches, in their forms for 32x32 images: `inception-small`, `googlenet`. */
import type { LayerSpec } from "../recipe.js";
import type { NetworkEntry } from "./entry.js";
import { batchNorm, branches, flatten, globalAvgPool, linear, maxPool, plainConv, relu } from "./layers.js";

const conv = (filters: number, kernel: number, stride = 1): LayerSpec[] => [
  plainConv(filters, kernel, stride),
  batchNorm,
  relu,
];

/** 1x1 and 3x3 convolutions side by side. */
const module = (one: number, three: number): LayerSpec => branches(conv(one, 1), conv(three, 3));

/** Half the rows and columns: a 3x3 convolution and max pooling side by side. */
const downsample = (filters: number): LayerSpec => branches(conv(filters, 3, 2), [maxPool(3, 2, 1)]);

/** 1x1; 1x1 and 3x3; 1x1 and 5x5 as two 3x3; max pooling and 1x1. */
function inception(one: number, three: readonly [number, number], five: readonly [number, number], pool: number) {
  return branches(
    conv(one, 1),
    [...conv(three[0], 1), ...conv(three[1], 3)],
    [...conv(five[0], 1), ...conv(five[1], 3), ...conv(five[1], 3)],
    [maxPool(3, 1, 1), ...conv(pool, 1)],
  );
}

const end = [globalAvgPool, flatten, linear(10)];

export const inceptionNetworks: readonly NetworkEntry[] = [
  {
    name: "inception-small",
    summary: "eight modules of 1x1 and 3x3 branches, two of convolution beside pooling",
    input: [3, 32, 32],
    layers: [
      ...conv(96, 3),
      module(32, 32),
      module(32, 48),
      downsample(80),
      module(112, 48),
      module(96, 64),
      module(80, 80),
      module(48, 96),
      downsample(96),
      module(176, 160),
      module(176, 160),
      ...end,
    ],
    defaults: {
      optimizer: "momentum",
      batch_size: 128,
      epochs: 30,
      hyperparameters: { learning_rate: 0.1, momentum: 0.9, l2: 1e-4 },
    },
    source: "MXNet's inception-bn-28-small; Zhang, Bengio, Hardt, Recht, Vinyals 2017, figure 3",
  },
  {
    name: "googlenet",
    summary: "nine inception modules of four branches with batch norm",
    input: [3, 32, 32],
    layers: [
      ...conv(192, 3),
      inception(64, [96, 128], [16, 32], 32),
      inception(128, [128, 192], [32, 96], 64),
      maxPool(3, 2, 1),
      inception(192, [96, 208], [16, 48], 64),
      inception(160, [112, 224], [24, 64], 64),
      inception(128, [128, 256], [24, 64], 64),
      inception(112, [144, 288], [32, 64], 64),
      inception(256, [160, 320], [32, 128], 128),
      maxPool(3, 2, 1),
      inception(256, [160, 320], [32, 128], 128),
      inception(384, [192, 384], [48, 128], 128),
      ...end,
    ],
    defaults: {
      optimizer: "momentum",
      batch_size: 128,
      epochs: 30,
      hyperparameters: { learning_rate: 0.05, momentum: 0.9, l2: 5e-4 },
    },
    source:
      "Szegedy et al. 2015, Going Deeper with Convolutions; the 5x5 as two 3x3 and batch norm as in Ioffe, Szegedy 2015",
  },
];
