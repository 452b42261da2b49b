/**
 * Writes what test/golden/weights holds: weights of a nested network with batch norm as a trial keeps them, and six images.
 * `python label_images.py FOLDER` then adds the logits that PyTorch finds with them.
 *
 *   node native/test/pytorch/keep_nested.mjs FOLDER      (after npm run build)
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hyperparameters } from "../../../dist/native/hyperparameters.js";
import { loadEngine } from "../../../dist/native/index.js";
import { hashWeights } from "../../../dist/worker/cohort.js";
import { describeWeights, encodeSafetensors } from "../../../dist/worker/safetensors.js";

const [folder = "test/golden/weights"] = process.argv.slice(2);
const shape = [3, 9, 8];
const size = 3 * 9 * 8;
const conv = (filters, kernel, padding) => ({
  op: "conv2d",
  filters,
  kernel: [kernel, kernel],
  stride: [1, 1],
  padding,
  groups: 1,
  bias: true,
  init: "he_normal",
});
const norm = { op: "batch_norm", momentum: 0.1, epsilon: 1e-3 };
const layers = [
  conv(4, 3, "same"),
  norm,
  { op: "relu" },
  { op: "residual", body: [conv(6, 3, "same"), norm], shortcut: [conv(6, 1, "valid")] },
  {
    op: "branches",
    branches: [[conv(2, 1, "valid"), { op: "branches", branches: [[norm], []] }], [conv(3, 3, "same")]],
  },
  { op: "max_pool2d", size: [2, 2], stride: [2, 2], padding: "valid" },
  { op: "flatten" },
  { op: "linear", units: 5, bias: true, init: "torch_uniform" },
];
const recipe = {
  version: 1,
  network: { name: null, layers },
  dataset: { name: "stripes", shape, classes: 5, validation: 10, train_images: 110, test_images: 0, seed: null },
  batch_size: 10,
  epochs: 6,
  optimizer: "adam",
  nesterov: false,
  decay: "loss",
  schedule: { kind: "constant" },
  augmentation: { flip: false, crop_padding: 0, cutout: 0, brightness: 0, contrast: 0, saturation: 0 },
  precision: "float32",
  shuffle: true,
  test_at_end: false,
  keep_weights: true,
  hyperparameters: Object.fromEntries(hyperparameters.map(({ name, fallback }) => [name, fallback.adam])),
};
const trainLabels = Uint8Array.from({ length: 110 }, (_, i) => i % 5);
const trainImages = Uint8Array.from({ length: 110 * size }, (_, i) => {
  const label = trainLabels[Math.floor(i / size)];
  return (Math.imul(i + 1, 2654435761) >>> 25) + ((i % 8) + label) * 9;
});
const none = new Uint8Array(0);
const engine = loadEngine();
engine.registerDataset("stripes", {
  shape,
  classes: 5,
  trainImages,
  trainLabels,
  testImages: none,
  testLabels: none,
});
const session = engine.createSession({
  recipe: JSON.stringify(recipe),
  device: "cpu",
  dataset: "stripes",
  lanes: 1,
  threads: 1,
  isa: "auto",
  control: null,
});
const values = Float64Array.from(hyperparameters, ({ fallback }) => fallback.adam ?? Number.NaN);
const lane = session.addLane({ seed: 5n, hyperparameters: values, checkpoint: null });
while (session.runSlice({ maxMillis: 1_000, maxSteps: null }).state !== "idle");
const weights = session.weights(lane);
const of = { recipe: JSON.stringify(recipe), parameters: "{}", seed: "0000000000000005" };
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "weights.safetensors"), encodeSafetensors(weights));
writeFileSync(
  join(folder, "weights-recipe.json"),
  describeWeights(of, session.normalisation(), hashWeights(weights.data)),
);
writeFileSync(join(folder, "images.bin"), trainImages.subarray(0, 6 * size));
