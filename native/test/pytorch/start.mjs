/**
 * The start of the comparison with PyTorch, the same here and there: for each catalogue network a small recipe without
 * shuffling, augmentation or dropout, images from an arithmetic rule, and the lane's first weights.
 *
 * Imported by the test with the engine it tests; run by hand with a folder to write everything for compare_steps.py.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const STEPS = 10;
export const SEED = 20_261_121n;

const VALIDATION = 32;

const BATCH = 32;

/**
 * Networks of hundreds of millions of multiply-adds an image: the same layers with a quarter of the filters, and 8 images a
 * step, are the same arithmetic in a sixty-fourth of the time.
 */
const LARGE = ["simpnet", "resnet18", "resnet50", "wide-resnet", "inception-small", "googlenet"];
/**
 * Learning rates of networks whose losses PyTorch's own single precision is off by 0.2 % to 13 % after ten steps with the
 * others' rate: batch norm behind batch norm, over 8 images, makes chaos of rounding noise. Smaller steps keep it small.
 */
const SLOW = { simpnet: 1e-6, googlenet: 1e-5, resnet50: 1e-6 };
const quarter = (layers) =>
  JSON.parse(JSON.stringify(layers), (key, value) => (key === "filters" ? Math.ceil(value / 4) : value));

/** Images that differ by class and by place, with some noise: a Weyl sequence, so any language gives the same bytes. */
export function makeImages([channels, height, width], count, classes) {
  const pixels = channels * height * width;
  const images = new Uint8Array(count * pixels);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i += 1) {
    labels[i] = (i * 7 + (i >> 3)) % classes;
    for (let p = 0; p < pixels; p += 1) {
      const noise = Math.imul(i * pixels + p + 1, 0x9e3779b1) >>> 25;
      const wave = ((p * (labels[i] + 1) + i) % 128) + (p % (labels[i] + 2) === 0 ? 60 : 0);
      images[i * pixels + p] = Math.min(255, wave + noise);
    }
  }
  return { images, labels };
}

/** Characters that follow from the place, with some noise. */
export function makeText(count, classes) {
  return Uint8Array.from({ length: count }, (_, i) => {
    const noise = Math.imul(i + 1, 0x9e3779b1) >>> 27;
    return noise < 6 ? noise % classes : (i * 3 + (i >> 5)) % classes;
  });
}

/** name -> { recipe, arrays } */
export function makeStarts(networks, recipeFor) {
  return networks.map((whole) => {
    const large = LARGE.includes(whole.name);
    const network = large ? { ...whole, layers: quarter(whole.layers) } : whole;
    const batch = large ? 8 : BATCH;
    const train = STEPS * batch + VALIDATION;
    const classes = 10;
    const dataset = {
      name: "comparison",
      shape: network.input,
      classes,
      validation: VALIDATION,
      train_images: train,
      test_images: 0,
      seed: null,
      ...(network.text ? { text: { path: "/comparison", sha256: "", characters: "abcdefghij" } } : {}),
    };
    // Adam's first steps are lr * sign(g) while epsilon is below |g|: a bias before batch norm, whose gradient is zero but
    // for rounding, then moves by the whole learning rate in single precision (in PyTorch too) and not at all in double.
    // A larger epsilon and smaller steps make the comparison one of arithmetic, not of rounding noise: with the usual
    // values PyTorch's own single precision is off its double by 1e-3 after ten steps of convnet5.
    const normalized = JSON.stringify(network.layers).includes('"batch_norm"');
    const recipe = recipeFor(network, dataset, {
      batch_size: batch,
      epochs: 1,
      shuffle: false,
      hyperparameters: {
        dropout: 0,
        l2: 1e-3,
        learning_rate: SLOW[network.name] ?? (normalized ? 1e-4 : network.defaults.optimizer === "adam" ? 1e-3 : 0.02),
        epsilon: normalized ? 1e-3 : 1e-8,
      },
    });
    const none = new Uint8Array(0);
    const { images, labels } = network.text
      ? { images: makeText(train * network.input[2] + 1, classes), labels: none }
      : makeImages(network.input, train, classes);
    const arrays = {
      ...(network.text ? { text: true } : {}),
      shape: network.input,
      classes,
      trainImages: images,
      trainLabels: labels,
      testImages: new Uint8Array(0),
      testLabels: new Uint8Array(0),
    };
    return { name: network.name, recipe, arrays };
  });
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** A session with one lane at its start; the caller closes it. */
export function openStart(engine, start, vector) {
  const digest = sha256(start.arrays.trainImages);
  engine.registerDataset(digest, start.arrays);
  const session = engine.createSession({
    recipe: JSON.stringify(start.recipe),
    device: "cpu",
    dataset: digest,
    lanes: 1,
    threads: 1,
    isa: "auto",
    control: null,
  });
  const lane = session.addLane({ seed: SEED, hyperparameters: vector, checkpoint: null });
  return { session, lane };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = new URL("../../../dist/native/", import.meta.url);
  const { loadEngine } = await import(new URL("index.js", root).href);
  const { networks } = await import(new URL("networks/index.js", root).href);
  const { recipeFor } = await import(new URL("networks/recipe-for.js", root).href);
  const { hyperparameters } = await import(new URL("hyperparameters.js", root).href);
  const out = process.argv[2];
  if (!out) throw new Error("usage: node start.mjs FOLDER");
  const engine = loadEngine();
  for (const start of makeStarts(networks, recipeFor)) {
    const values = start.recipe.hyperparameters;
    const { session, lane } = openStart(
      engine,
      start,
      Float64Array.from(hyperparameters, ({ name }) => values[name] ?? Number.NaN),
    );
    const weights = session.weights(lane).data;
    const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
    const folder = join(out, start.name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "recipe.json"), JSON.stringify(start.recipe));
    writeFileSync(join(folder, "images.u8"), start.arrays.trainImages);
    writeFileSync(join(folder, "labels.u8"), start.arrays.trainLabels);
    writeFileSync(join(folder, "weights.f32"), bytes);
    writeFileSync(
      join(folder, "start.json"),
      JSON.stringify({ seed: String(SEED), hyperparameters: values, weights_sha256: sha256(bytes) }),
    );
    session.close();
  }
}
