/** Labels of images: those that the measuring of an epoch counted, and the same without the data set. */
import { describe, expect, it } from "vitest";
import { hyperparameters } from "../hyperparameters.js";
import type { LayerSpec, Recipe } from "../recipe.js";
import { bytes, engine, engineError, runToEnd, vector } from "./support.js";

const SHAPE = [3, 9, 8] as const;
const SIZE = 3 * 9 * 8;
const CLASSES = 5;
const TRAIN = 130;
const VALIDATION = 43;
const TEST = 27;

const conv = (filters: number, kernel: number, padding: "same" | "valid"): LayerSpec => ({
  op: "conv2d",
  filters,
  kernel: [kernel, kernel],
  stride: [1, 1],
  padding,
  groups: 1,
  bias: true,
  init: "he_normal",
});
const norm: LayerSpec = { op: "batch_norm", momentum: 0.1, epsilon: 1e-5 };
/** Batch norm within a residual, branches within branches. */
const LAYERS: readonly LayerSpec[] = [
  conv(4, 3, "same"),
  norm,
  { op: "relu" },
  { op: "residual", body: [conv(6, 3, "same"), norm], shortcut: [conv(6, 1, "valid")] },
  {
    op: "branches",
    branches: [[conv(2, 1, "valid"), { op: "branches", branches: [[norm], []] }], [conv(3, 3, "same")]],
  },
  { op: "dropout", rate: 0.5 },
  { op: "flatten" },
  { op: "linear", units: CLASSES, bias: true, init: "torch_uniform" },
];

const recipe: Recipe = {
  version: 1,
  network: { name: null, layers: LAYERS },
  dataset: {
    name: "noise",
    shape: SHAPE,
    classes: CLASSES,
    validation: VALIDATION,
    train_images: TRAIN,
    test_images: TEST,
    seed: null,
  },
  batch_size: 10,
  epochs: 8,
  optimizer: "adam",
  nesterov: false,
  decay: "loss",
  schedule: { kind: "constant" },
  augmentation: { flip: true, crop_padding: 0, cutout: 0, brightness: 0, contrast: 0, saturation: 0 },
  precision: "float32",
  shuffle: true,
  test_at_end: true,
  hyperparameters: Object.fromEntries(
    hyperparameters.map(({ name, fallback }) => [name, fallback.adam]),
  ) as Recipe["hyperparameters"],
};
/** Noise in which a part is as bright as the class says. */
function noise(count: number, seed: number): { readonly images: Uint8Array; readonly labels: Uint8Array } {
  const drawn = { images: bytes(count * SIZE, seed), labels: bytes(count, seed + 1).map((byte) => byte % CLASSES) };
  for (const [i, label] of drawn.labels.entries()) drawn.images.fill(label * 50, i * SIZE, i * SIZE + 144);
  return drawn;
}
const { images, labels } = noise(TRAIN, 7);
const test = noise(TEST, 9);
const none = new Uint8Array(0);

const likeliest = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));

function trained() {
  engine.registerDataset("noise", {
    shape: SHAPE,
    classes: CLASSES,
    trainImages: images,
    trainLabels: labels,
    testImages: test.images,
    testLabels: test.labels,
  });
  const text = JSON.stringify(recipe);
  const session = engine.createSession({
    recipe: text,
    device: "cpu",
    dataset: "noise",
    lanes: 2,
    threads: 2,
    isa: "auto",
    control: null,
  });
  for (const seed of [3n, 4n]) session.addLane({ seed, hyperparameters: vector(recipe), checkpoint: null });
  const reports = runToEnd(() => session.runSlice({ maxMillis: 1_000, maxSteps: null })).flatMap((s) => s.reports);
  const accuracy = (lane: number, of: "val_accuracy" | "test_accuracy"): number =>
    reports.findLast((report) => report.lane === lane)?.metrics.find(({ name }) => name === of)?.value ?? -1;
  const logits = (lane: number, part: "validation" | "test" = "validation"): Float32Array[] =>
    Array.from({ length: part === "test" ? 3 : 5 }, (_, batch) => session.logits(lane, part, batch)).flatMap((some) =>
      Array.from({ length: some.length / CLASSES }, (_, i) => some.subarray(i * CLASSES, (i + 1) * CLASSES)),
    );
  return { session, text, accuracy, logits };
}

describe("labels", () => {
  it("of what is measured are right as often as the epoch's report says, lane by lane", () => {
    const { session, accuracy, logits } = trained();
    const held = engine.datasetImages("noise", TRAIN - VALIDATION, VALIDATION);
    expect(Buffer.from(held.images)).toEqual(Buffer.from(images.subarray((TRAIN - VALIDATION) * SIZE)));
    for (const lane of [0, 1]) {
      const found = logits(lane).map(likeliest);
      expect(found.length).toBe(VALIDATION);
      expect(found.filter((c, i) => c === held.labels[i]).length / VALIDATION).toBe(accuracy(lane, "val_accuracy"));
      const tested = logits(lane, "test").map(likeliest);
      expect(tested.length).toBe(TEST);
      expect(tested.filter((c, i) => c === test.labels[i]).length / TEST).toBe(accuracy(lane, "test_accuracy"));
    }
    expect(accuracy(0, "val_accuracy")).toBeGreaterThan(0.4);
    session.close();
  });

  it("are the same to the bit without the data set, from the weights and the normalisation alone", async () => {
    const { session, text, logits } = trained();
    const { data } = session.weights(1);
    const { scale, shift } = session.normalisation();
    const own = { recipe: text, device: "cpu", weights: data, scale, shift };
    const held = images.subarray((TRAIN - VALIDATION) * SIZE);
    const expected = logits(1).flatMap((some) => [...some]);
    for (const threads of [1, 2])
      expect([...(await engine.classify({ ...own, threads, images: held }))]).toEqual(expected);
    const one = await engine.classify({ ...own, threads: 1, images: held.subarray(0, SIZE) });
    expect([...one]).toEqual(expected.slice(0, CLASSES));
    // What the recipe does at the end of epochs has no part in it.
    const measured: Recipe = {
      ...recipe,
      dataset: { ...recipe.dataset, test_images: 9 },
      test_at_end: true,
      averaging: { start: 0, every: 1 },
    };
    const other = { ...own, recipe: JSON.stringify(measured), threads: 1, images: held };
    expect([...(await engine.classify(other))]).toEqual(expected);
    session.close();
  });

  it("say what does not fit", async () => {
    const { session, text } = trained();
    const { data } = session.weights(0);
    const norms = session.normalisation();
    const whole = { recipe: text, device: "cpu", threads: 1, weights: data, ...norms, images: new Uint8Array(SIZE) };
    const refused = async (change: object): Promise<string> => {
      const error: unknown = await engine.classify({ ...whole, ...change }).catch((thrown: unknown) => thrown);
      return (error as Error).message;
    };
    expect(await refused({ images: new Uint8Array(SIZE + 1) })).toContain("images of 216 bytes");
    expect(await refused({ images: none })).toContain("0 bytes");
    expect(await refused({ weights: data.subarray(1) })).toContain(`${data.length} values`);
    expect(await refused({ scale: Float32Array.of(1) })).toContain("3 values each");
    expect(await refused({ shift: Float32Array.of(1, Number.NaN, 1) })).toContain("finite");
    expect(engineError(() => session.logits(0, "validation", 5)).message).toContain("0 to 4");
    expect(engineError(() => session.logits(0, "test", 3)).message).toContain("0 to 2");
    expect(engineError(() => session.logits(0, "training" as "test", 0)).message).toContain("validation or test");
    expect(engineError(() => engine.datasetImages("noise", TRAIN + TEST, 1)).path).toBe("count");
    session.close();
  });
});
