/** What the tests of the engine's TypeScript face share: recipes of the catalogue's networks and a small data set. */
import { datasets } from "../datasets.js";
import { hyperparameters } from "../hyperparameters.js";
import {
  type DatasetArrays,
  EngineError,
  loadEngine,
  type SessionMemory,
  type SessionOptions,
  type SliceResult,
} from "../index.js";
import { findNetwork, type NetworkEntry } from "../networks/index.js";
import { mapParts } from "../networks/layers.js";
import { NO_AUGMENTATION } from "../networks/recipe-for.js";
import { inferShapes } from "../networks/shapes.js";
import type { LaneHyperparameter, LayerSpec, Recipe } from "../recipe.js";

export const engine = loadEngine();

/** SplitMix32: bytes that look random. */
export function bytes(count: number, seed: number): Uint8Array {
  let state = seed >>> 0;
  return Uint8Array.from({ length: count }, () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) & 255;
  });
}

/** Random images; the label decides the brightness of their first row, so that there is something to learn. */
export function smallSet(shape: readonly [number, number, number], train: number, test: number): DatasetArrays {
  const size = shape[0] * shape[1] * shape[2];
  const part = (count: number, seed: number) => {
    const images = bytes(count * size, seed);
    const labels = bytes(count, seed + 1).map((byte) => byte % 10);
    for (let i = 0; i < count; i++) images.fill((labels[i] ?? 0) * 25, i * size, i * size + shape[2]);
    return [images, labels] as const;
  };
  const [trainImages, trainLabels] = part(train, 1);
  const [testImages, testLabels] = part(test, 2);
  return { shape, classes: 10, trainImages, trainLabels, testImages, testLabels };
}

/** A text of ten characters with some order in it. */
export function smallText(steps: number, windows: number): DatasetArrays {
  const noise = bytes(windows * steps + 1, 3);
  const none = new Uint8Array(0);
  const trainImages = noise.map((byte, i) => (byte < 40 ? byte % 10 : (i * 3 + (i >> 4)) % 10));
  return {
    shape: [1, 1, steps],
    classes: 10,
    text: true,
    trainImages,
    trainLabels: none,
    testImages: none,
    testLabels: none,
  };
}

/** What a recipe says of it. */
export const SMALL_TEXT = { path: "/small.txt", sha256: "", characters: "abcdefghij" } as const;

/** With a fraction of the filters. */
function narrowed(layers: readonly LayerSpec[], factor: number): LayerSpec[] {
  return layers.map((layer) =>
    mapParts("filters" in layer ? { ...layer, filters: Math.ceil(layer.filters / factor) } : layer, (part) =>
      narrowed(part, factor),
    ),
  );
}

/** Networks of more than 20 million multiply-adds an image with so few filters that they need less than 4 million. */
function affordable({ layers, input }: NetworkEntry): readonly LayerSpec[] {
  const cost = (some: readonly LayerSpec[]): number =>
    inferShapes(some, input).reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0);
  if (cost(layers) <= 2e7) return layers;
  let factor = 2;
  while (cost(narrowed(layers, factor)) > 4e6) factor *= 2;
  return narrowed(layers, factor);
}

/** A sixteenth of the filters, but for the last layer's: what is tested of a GAN does not depend on its size. */
function narrow(layers: readonly LayerSpec[]): LayerSpec[] {
  const last = layers.findLastIndex((layer) => "filters" in layer);
  return layers.map((layer, i) => ("filters" in layer && i < last ? { ...layer, filters: layer.filters / 16 } : layer));
}

/** The network on the first images of a small set: registered under the digest that comes with it. */
export function smallRecipe(name: string, changes: Partial<Recipe> = {}): { recipe: Recipe; digest: string } {
  const network = findNetwork(name);
  const base = datasets[0];
  if (network === null || base === undefined) throw new Error(`no network ${name}`);
  const digest = `small-${network.input.join("x")}`;
  const text = network.text === true;
  if (!engine.hasDataset(digest)) {
    engine.registerDataset(digest, text ? smallText(network.input[2], 23) : smallSet(network.input, 23, 4));
  }
  const { summary: _, ...dataset } = base;
  const defaults = Object.fromEntries(
    hyperparameters.map((info) => [
      info.name,
      network.defaults.hyperparameters[info.name] ?? info.fallback[network.defaults.optimizer],
    ]),
  ) as Record<LaneHyperparameter, number | null>;
  const recipe: Recipe = {
    version: 1,
    network: { name, layers: network.procedure === undefined ? affordable(network) : narrow(network.layers) },
    ...(network.procedure === undefined
      ? {}
      : {
          version: 2,
          procedure: { ...network.procedure, discriminator: narrow(network.procedure.discriminator) },
        }),
    dataset: {
      ...dataset,
      shape: network.input,
      validation: 5,
      train_images: 23,
      test_images: text ? 0 : 4,
      ...(text ? { text: SMALL_TEXT } : {}),
    },
    batch_size: 9,
    epochs: 3,
    optimizer: network.defaults.optimizer,
    nesterov: false,
    decay: "loss",
    schedule: { kind: "cosine", floor: 0 },
    augmentation: text
      ? NO_AUGMENTATION
      : { flip: true, crop_padding: 1, cutout: 3, brightness: 0.2, contrast: 0.1, saturation: 0.3 },
    precision: "float32",
    shuffle: true,
    test_at_end: !text && network.procedure === undefined,
    hyperparameters: defaults,
    ...changes,
  };
  return { recipe, digest };
}

export function vector(recipe: Recipe, changes: Partial<Record<LaneHyperparameter, number>> = {}): Float64Array {
  return Float64Array.from(hyperparameters, ({ name }) => changes[name] ?? recipe.hyperparameters[name] ?? Number.NaN);
}

export function planSmall(recipe: Recipe, lanes = 1, threads = 1): SessionMemory {
  return engine.planSession({ recipe: JSON.stringify(recipe), device: "cpu", lanes, threads });
}

export function openSmall(name: string, options: Partial<SessionOptions> = {}, changes: Partial<Recipe> = {}) {
  const { recipe, digest } = smallRecipe(name, changes);
  const session = engine.createSession({
    recipe: JSON.stringify(recipe),
    device: "cpu",
    dataset: digest,
    lanes: 1,
    threads: 1,
    isa: "auto",
    control: null,
    ...options,
  });
  return { session, recipe };
}

/** Slices until nothing is left to do. */
export function runToEnd(run: () => SliceResult): SliceResult[] {
  const slices: SliceResult[] = [];
  do slices.push(run());
  while (slices.at(-1)?.state === "more");
  return slices;
}

/** What the call throws; it must be an EngineError. */
export function engineError(call: () => unknown): EngineError {
  try {
    call();
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error("expected an EngineError, nothing was thrown");
}
