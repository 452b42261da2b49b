/** Networks of residual blocks, in their forms for 32x32 images: `resnet18`, `resnet50`, `wide-resnet`. */
import type { LayerSpec } from "../recipe.js";
import type { NetworkEntry } from "./entry.js";
import { batchNorm, flatten, globalAvgPool, linear, plainConv, relu, residual } from "./layers.js";

type Block = (channels: number, filters: number, stride: number) => LayerSpec[];

/** `counts[i]` blocks of `filters[i]`, the first of each stage with its stride; `expansion` times as many channels come out. */
function stages(
  block: Block,
  from: number,
  filters: readonly number[],
  counts: readonly number[],
  expansion: number,
): LayerSpec[] {
  let channels = from;
  return filters.flatMap((width, stage) =>
    Array.from({ length: counts[stage] ?? 0 }, (_, i) => {
      const layers = block(channels, width, stage > 0 && i === 0 ? 2 : 1);
      channels = width * expansion;
      return layers;
    }).flat(),
  );
}

/** Nothing where the shapes are the same already, else a 1x1 convolution. */
function projection(channels: number, filters: number, stride: number): LayerSpec[] {
  return channels === filters && stride === 1 ? [] : [plainConv(filters, 1, stride), batchNorm];
}

const basic: Block = (channels, filters, stride) => [
  residual(
    [plainConv(filters, 3, stride), batchNorm, relu, plainConv(filters, 3), batchNorm],
    projection(channels, filters, stride),
  ),
  relu,
];

const bottleneck: Block = (channels, filters, stride) => [
  residual(
    [
      plainConv(filters, 1),
      batchNorm,
      relu,
      plainConv(filters, 3, stride),
      batchNorm,
      relu,
      plainConv(4 * filters, 1),
      batchNorm,
    ],
    projection(channels, 4 * filters, stride),
  ),
  relu,
];

/** Batch norm and ReLU come first; where the shape changes, both sides read what they yield. */
const wide: Block = (channels, filters, stride) => {
  const rest = [plainConv(filters, 3, stride), batchNorm, relu, plainConv(filters, 3)];
  if (channels === filters && stride === 1) return [residual([batchNorm, relu, ...rest])];
  return [batchNorm, relu, residual(rest, [plainConv(filters, 1, stride)])];
};

const end = [globalAvgPool, flatten, linear(10)];
const resnetDefaults = {
  optimizer: "momentum",
  batch_size: 128,
  epochs: 30,
  hyperparameters: { learning_rate: 0.1, momentum: 0.9, l2: 5e-4 },
} as const;

export const residualNetworks: readonly NetworkEntry[] = [
  {
    name: "resnet18",
    summary: "basic blocks 2-2-2-2 of 64 to 512 filters, 11,173,962 parameters",
    input: [3, 32, 32],
    layers: [plainConv(64, 3), batchNorm, relu, ...stages(basic, 64, [64, 128, 256, 512], [2, 2, 2, 2], 1), ...end],
    defaults: resnetDefaults,
    source: "He, Zhang, Ren, Sun 2016, Deep Residual Learning; its first layer a 3x3 convolution, for CIFAR-10",
  },
  {
    name: "resnet50",
    summary: "bottleneck blocks 3-4-6-3, 23,520,842 parameters",
    input: [3, 32, 32],
    layers: [
      plainConv(64, 3),
      batchNorm,
      relu,
      ...stages(bottleneck, 64, [64, 128, 256, 512], [3, 4, 6, 3], 4),
      ...end,
    ],
    defaults: resnetDefaults,
    source: "He, Zhang, Ren, Sun 2016; the stride in the 3x3 convolution, its first layer 3x3, for CIFAR-10",
  },
  {
    name: "wide-resnet",
    summary: "WRN-16-4: wider and shallower, 2,748,890 parameters, smoothed loss",
    input: [3, 32, 32],
    layers: [plainConv(16, 3), ...stages(wide, 16, [64, 128, 256], [2, 2, 2], 1), batchNorm, relu, ...end],
    defaults: {
      optimizer: "momentum",
      batch_size: 128,
      epochs: 60,
      hyperparameters: { learning_rate: 0.1, momentum: 0.9, l2: 5e-4, label_smoothing: 0.1 },
    },
    source: "Zagoruyko, Komodakis 2016, Wide Residual Networks; label smoothing: Szegedy et al. 2016",
  },
];
