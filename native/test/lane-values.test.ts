/**
 * What a lane's own values do: each does what the same value in the recipe or the layers does, to the bit, and the losses that are
 * reported are those of the definition, worked out here in double precision.
 */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { LaneReport } from "../index.js";
import { NO_AUGMENTATION } from "../networks/recipe-for.js";
import type { Augmentation, LaneHyperparameter, LayerSpec, Optimizer, Recipe } from "../recipe.js";
import { engine, openSmall, runToEnd, smallRecipe, vector } from "./support.js";

type Values = Partial<Record<LaneHyperparameter, number>>;

const CONSTANT = { kind: "constant" } as const;
const PLAIN: Partial<Recipe> = { augmentation: NO_AUGMENTATION, schedule: CONSTANT };

/** Weights, their digest and reports of a lane that is trained to its end. */
function train(name: string, values: Values, changes: Partial<Recipe>) {
  const { session, recipe } = openSmall(name, {}, changes);
  session.addLane({ seed: 11n, hyperparameters: vector(recipe, values), checkpoint: null });
  const reports = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null })).flatMap((one) => one.reports);
  const weights = session.weights(0).data;
  session.close();
  return { weights, digest: createHash("sha256").update(weights).digest("hex"), reports };
}

const metric = (report: LaneReport | undefined, name: string): number =>
  report?.metrics.find((one) => one.name === name)?.value ?? Number.NaN;

describe("label smoothing", () => {
  /** Mean losses of `logit` over images of the small set, from its weights: of the label, and of all classes alike. */
  function losses(first: number, count: number): { label: number; uniform: number } {
    const { session, recipe } = openSmall("logit", {}, PLAIN);
    session.addLane({ seed: 11n, hyperparameters: vector(recipe, { learning_rate: 0 }), checkpoint: null });
    const { data } = session.weights(0);
    const { scale, shift } = session.normalisation();
    session.close();
    const { images, labels } = engine.datasetImages(smallRecipe("logit").digest, first, count);
    let [label, uniform] = [0, 0];
    for (let i = 0; i < count; i++) {
      const logits = Array.from({ length: 10 }, (_, k) => {
        let sum = data[7840 + k] ?? 0;
        for (let p = 0; p < 784; p++)
          sum += (data[784 * k + p] ?? 0) * ((images[784 * i + p] ?? 0) * (scale[0] ?? 0) + (shift[0] ?? 0));
        return sum;
      });
      const norm = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      label += (norm - (logits[labels[i] ?? 0] ?? 0)) / count;
      uniform += logits.reduce((sum, logit) => sum + (norm - logit) / 10, 0) / count;
    }
    return { label, uniform };
  }

  it.each([0, 0.1, 0.5])("of %f is in the training loss and in no other", (smoothing) => {
    const [report] = train("logit", { learning_rate: 0, label_smoothing: smoothing, l2: 0.1 }, PLAIN).reports;
    const trained = losses(0, 18);
    expect(Math.abs(trained.uniform - trained.label)).toBeGreaterThan(0.01);
    const expected = (1 - smoothing) * trained.label + smoothing * trained.uniform;
    expect(metric(report, "train_loss")).toBeCloseTo(expected, 5);
    expect(metric(report, "val_loss")).toBeCloseTo(losses(18, 5).label, 5);
  });
});

describe("a schedule", () => {
  it.each<Optimizer>(["sgd", "momentum", "rmsprop", "adam", "adamw"])(
    "decides the rate that %s trains with",
    (optimizer) => {
      const values = { l2: 1e-3 };
      const half = train(
        "tinycnn",
        { ...values, learning_rate: 0.02 },
        {
          ...PLAIN,
          optimizer,
          schedule: { kind: "list", factors: [0.5], cycle: false },
        },
      );
      const plain = train("tinycnn", { ...values, learning_rate: 0.01 }, { ...PLAIN, optimizer });
      expect(half.digest).toBe(plain.digest);
      const stopped = train(
        "tinycnn",
        { ...values, learning_rate: 0.01 },
        {
          ...PLAIN,
          optimizer,
          schedule: { kind: "list", factors: [1, 0], cycle: false },
        },
      );
      const once = train("tinycnn", { ...values, learning_rate: 0.01 }, { ...PLAIN, optimizer, epochs: 1 });
      expect(stopped.digest).toBe(once.digest);
      expect(stopped.digest).not.toBe(plain.digest);
      expect(stopped.reports.map((report) => metric(report, "learning_rate"))).toEqual([0.01, 0, 0]);
    },
  );

  it.each<[LaneHyperparameter, number, Recipe["schedule"], Recipe["schedule"]]>([
    ["schedule_factor", 0.3, { kind: "step", every: 1, factor: 0.9 }, { kind: "step", every: 1, factor: 0.3 }],
    ["schedule_factor", 0.3, { kind: "exponential", factor: 0.9 }, { kind: "exponential", factor: 0.3 }],
    ["schedule_floor", 0.25, { kind: "cosine", floor: 0 }, { kind: "cosine", floor: 0.25 }],
    [
      "schedule_warmup",
      0.6,
      { kind: "one_cycle", warmup: 0.3, div: 25, final_div: 1e4 },
      { kind: "one_cycle", warmup: 0.6, div: 25, final_div: 1e4 },
    ],
  ])("takes the lane's %s of %f for its own", (name, value, schedule, same) => {
    const lane = train("logit", { [name]: value, learning_rate: 0.1 }, { ...PLAIN, schedule });
    const recipe = train("logit", { learning_rate: 0.1 }, { ...PLAIN, schedule: same });
    expect(lane.digest).toBe(recipe.digest);
    expect(lane.digest).not.toBe(train("logit", { learning_rate: 0.1 }, { ...PLAIN, schedule }).digest);
  });
});

describe("augmentation", () => {
  /** One linear layer on small coloured images. */
  const layers: readonly LayerSpec[] = [{ op: "flatten" }, { op: "linear", units: 10, bias: true, init: "he_normal" }];
  const colour = (values: Values, changes: Partial<Recipe> = {}) =>
    train("convnet5", values, { ...PLAIN, network: { name: null, layers }, ...changes });

  const colours: Augmentation = {
    ...NO_AUGMENTATION,
    flip: true,
    crop_padding: 2,
    cutout: 5,
    brightness: 0.4,
    contrast: 0.3,
  };

  it.each<[LaneHyperparameter & keyof Augmentation, number]>([
    ["crop_padding", 3],
    ["cutout", 7],
    ["brightness", 0.7],
    ["contrast", 0.6],
    ["saturation", 0.8],
  ])("takes the lane's %s of %f for the recipe's", (name, value) => {
    const lane = colour({ [name]: value }, { augmentation: NO_AUGMENTATION });
    const recipe = colour({}, { augmentation: { ...NO_AUGMENTATION, [name]: value } });
    expect(lane.digest).toBe(recipe.digest);
    expect(lane.digest).not.toBe(colour({}).digest);
  });

  it("takes the lane's probability of a flip: a half is what the recipe's flag means, none leaves images alone", () => {
    const flips = { augmentation: { ...NO_AUGMENTATION, flip: true } };
    const half = colour({ flip: 0.5 });
    expect(half.digest).toBe(colour({}, flips).digest);
    expect(colour({ flip: 0 }, flips).digest).toBe(colour({}).digest);
    expect(colour({ flip: 1 }).digest).not.toBe(half.digest);
  });

  it("of which a lane takes nothing leaves the images as they are", () => {
    const nothing = { flip: 0, crop_padding: 0, cutout: 0, brightness: 0, contrast: 0, saturation: 0 };
    const lane = colour(nothing, { augmentation: colours });
    expect(lane.digest).toBe(colour({}).digest);
  });
});

describe("dropout", () => {
  const withRate = (layers: readonly LayerSpec[], rate: number): LayerSpec[] =>
    layers.map((layer) => (layer.op === "dropout" ? { ...layer, rate } : layer));

  it("takes the lane's rate in every dropout layer", () => {
    const { recipe } = smallRecipe("lenet-dropout");
    const network = { ...recipe.network, layers: withRate(recipe.network.layers, 0.2) };
    const lane = train("lenet-dropout", { dropout: 0.2 }, PLAIN);
    expect(lane.digest).toBe(train("lenet-dropout", {}, { ...PLAIN, network }).digest);
    expect(lane.digest).not.toBe(train("lenet-dropout", {}, PLAIN).digest);
  });
});

describe("decay", () => {
  const frozen = { learning_rate: 0.1, l2: 0.5 };

  it("acts on kernels alone, and by itself shrinks them as it says", () => {
    // One step an epoch; the loss without decay gives the gradient.
    const one = { ...PLAIN, optimizer: "sgd", batch_size: 18, epochs: 1 } as const;
    const { session, recipe } = openSmall("logit", {}, one);
    session.addLane({ seed: 11n, hyperparameters: vector(recipe), checkpoint: null });
    const start = session.weights(0).data;
    session.close();
    const without = train("logit", { ...frozen, l2: 0 }, one).weights;
    for (const decay of ["loss", "decoupled"] as const) {
      const decayed = train("logit", frozen, { ...one, decay }).weights;
      for (const [i, weight] of without.entries()) {
        const expected = weight - (i < 7840 ? 0.1 * 0.5 * (start[i] ?? 0) : 0);
        expect(Math.abs((decayed[i] ?? Number.NaN) - expected)).toBeLessThan(1e-6);
      }
    }
  });

  it("of an adaptive optimizer differs in the loss and apart from it", () => {
    const adam = { ...PLAIN, optimizer: "adam" } as const;
    const inLoss = train("logit", { l2: 0.1 }, { ...adam, decay: "loss" }).digest;
    const apart = train("logit", { l2: 0.1 }, { ...adam, decay: "decoupled" }).digest;
    expect(apart).not.toBe(inLoss);
    expect(apart).toBe(train("logit", { l2: 0.1 }, { ...adam, optimizer: "adamw", decay: "decoupled" }).digest);
  });
});
