/** Short ways to write layers, with the defaults that the catalogue and sweep files share. */
import type { Init, LayerSpec, Padding, Pair } from "../recipe.js";

export const LAYER_DEFAULTS = {
  init: "he_normal",
  recurrentInit: "torch_uniform",
  stride: [1, 1],
  padding: "valid",
  transposePadding: [0, 0],
  outputPadding: [0, 0],
  groups: 1,
  bias: true,
  batchNorm: { momentum: 0.1, epsilon: 1e-5 },
  leakySlope: 0.01,
  dropoutRate: 0.5,
} as const satisfies {
  readonly init: Init;
  readonly recurrentInit: Init;
  readonly stride: Pair;
  readonly padding: Padding;
  readonly [key: string]: unknown;
};

const square = (side: number): Pair => [side, side];

export function linear(units: number): LayerSpec {
  return { op: "linear", units, bias: LAYER_DEFAULTS.bias, init: LAYER_DEFAULTS.init };
}

export function conv2d(filters: number, kernel: number, padding: Padding = LAYER_DEFAULTS.padding): LayerSpec {
  const { stride, groups, bias, init } = LAYER_DEFAULTS;
  return { op: "conv2d", filters, kernel: square(kernel), stride, padding, groups, bias, init };
}

/**
 * The same layers with another start. He's keeps the variance through ReLU alone: dropout doubles it and max pooling raises
 * it again, so that a LeNet with dropout begins with logits of 8 and may never recover; Glorot's uniform start, which the
 * sources of these networks use, does not.
 */
export function withInit(init: Init, layers: readonly LayerSpec[]): LayerSpec[] {
  return layers.map((layer) => mapParts("init" in layer ? { ...layer, init } : layer, (part) => withInit(init, part)));
}

/** The lists that a layer is made of, each with its place in paths (`residual.body`, `branches[1]`); most have none. */
export function partsOf(
  layer: LayerSpec,
): readonly { readonly place: string; readonly layers: readonly LayerSpec[] }[] {
  if (layer.op === "residual") {
    return [
      { place: "residual.body", layers: layer.body },
      { place: "residual.shortcut", layers: layer.shortcut },
    ];
  }
  if (layer.op === "branches") return layer.branches.map((layers, i) => ({ place: `branches[${i}]`, layers }));
  return [];
}

/** The layer with each of its lists changed; most have none. */
export function mapParts(layer: LayerSpec, change: (part: readonly LayerSpec[]) => readonly LayerSpec[]): LayerSpec {
  if (layer.op === "residual") return { ...layer, body: change(layer.body), shortcut: change(layer.shortcut) };
  if (layer.op === "branches") return { ...layer, branches: layer.branches.map(change) };
  return layer;
}

/** All layers, those within others too, in the order in which the text has them. */
export function flatLayers(layers: readonly LayerSpec[]): LayerSpec[] {
  return layers.flatMap((layer) => [layer, ...partsOf(layer).flatMap((part) => flatLayers(part.layers))]);
}

/** Without a bias, which a batch norm behind it would take away again; padded so that stride 1 keeps the size. */
export function plainConv(filters: number, kernel: number, stride = 1): LayerSpec {
  const { groups, init } = LAYER_DEFAULTS;
  const padding = square((kernel - 1) / 2);
  return { op: "conv2d", filters, kernel: square(kernel), stride: square(stride), padding, groups, bias: false, init };
}

/** Windows side by side unless a stride is given. */
export function maxPool(size: number, stride = size, padding = 0): LayerSpec {
  return {
    op: "max_pool2d",
    size: square(size),
    stride: square(stride),
    padding: padding === 0 ? "valid" : square(padding),
  };
}

export const relu: LayerSpec = { op: "relu" };
export const tanh: LayerSpec = { op: "tanh" };
export const flatten: LayerSpec = { op: "flatten" };
export const globalAvgPool: LayerSpec = { op: "global_avg_pool2d" };
export const globalMaxPool: LayerSpec = { op: "global_max_pool2d" };
export const batchNorm: LayerSpec = { op: "batch_norm", ...LAYER_DEFAULTS.batchNorm };

export const rowsAsSequence: LayerSpec = { op: "rows_as_sequence" };

/** Every step's hidden state, for a layer above that is a sequence too; else the last one's. */
export function lstm(units: number, what: "every step" | "last step"): LayerSpec {
  return { op: "lstm", units, return_sequences: what === "every step", init: LAYER_DEFAULTS.recurrentInit };
}

/** A vector for each of the data set's characters: `vocabulary` is set to their number. */
export function embedding(units: number): LayerSpec {
  return { op: "embedding", vocabulary: 10, units };
}

/** Adds `shortcut`, or the input itself, to what `body` yields. */
export function residual(body: readonly LayerSpec[], shortcut: readonly LayerSpec[] = []): LayerSpec {
  return { op: "residual", body, shortcut };
}

/** What the branches yield, one after another along the channels. */
export function branches(...lists: readonly (readonly LayerSpec[])[]): LayerSpec {
  return { op: "branches", branches: lists };
}

export function dropout(rate: number): LayerSpec {
  return { op: "dropout", rate };
}
