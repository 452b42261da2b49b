/**
 * Measures a recipe on this machine: memory, and how fast it trains with one lane and with many.
 *
 * Guarantees: memory is the engine's own plan for the recipe as given; speed is measured by training on random images of
 * the right shape, warm, for about `millis` a measurement, counting whole optimiser steps. Evaluation at the end of
 * epochs is not part of it. What is trained is thrown away.
 */
import { randomBytes } from "node:crypto";
import { ConvsweepError } from "../proto/contract.js";
import { type DatasetArrays, type Engine, hyperparameterVector, type Recipe, type Session } from "./engine.js";
import { parseRecipe } from "./job.js";

export interface ProbeOptions {
  readonly recipe: string;
  readonly device: string;
  readonly lanes: number;
  readonly threads: number;
  readonly millis: number;
  readonly now: () => number;
}

export interface Speed {
  readonly lanes: number;
  /** Training images of all lanes together. */
  readonly imagesPerSecond: number;
  readonly steps: number;
  readonly seconds: number;
}

export interface Probe {
  readonly device: string;
  readonly fingerprint: string;
  readonly threads: number;
  readonly bytesPerLane: number;
  readonly bytesShared: number;
  readonly speeds: readonly Speed[];
}

/** Enough for caches to behave as they will, small enough to be made at once. */
const IMAGES = 4_096;
/** Never reached: the measurement ends by time. */
const EPOCHS = 1_000_000;

/** The recipe over a small set of random images, with no end within the measurement. */
function shrink(recipe: Recipe): Recipe {
  const validation = Math.min(recipe.dataset.validation, 64);
  const train = Math.max(IMAGES, 4 * recipe.batch_size) + validation;
  const test = Math.min(recipe.dataset.test_images, 64);
  return {
    ...recipe,
    epochs: EPOCHS,
    test_at_end: false,
    dataset: { ...recipe.dataset, train_images: train, test_images: test, validation },
  };
}

function randomImages({ shape, classes, train_images, test_images, text }: Recipe["dataset"]): DatasetArrays {
  const pixels = shape[0] * shape[1] * shape[2];
  const labels = (count: number): Uint8Array => randomBytes(count).map((byte) => byte % classes);
  if (text !== undefined) {
    const none = new Uint8Array(0);
    const characters = new Uint8Array(labels(train_images * pixels + 1));
    return {
      shape,
      classes,
      text: true,
      trainImages: characters,
      trainLabels: none,
      testImages: none,
      testLabels: none,
    };
  }
  return {
    shape,
    classes,
    trainImages: new Uint8Array(randomBytes(train_images * pixels)),
    trainLabels: new Uint8Array(labels(train_images)),
    testImages: new Uint8Array(randomBytes(test_images * pixels)),
    testLabels: new Uint8Array(labels(test_images)),
  };
}

function measure(session: Session, recipe: Recipe, lanes: number, options: ProbeOptions): Speed {
  const hyperparameters = hyperparameterVector(recipe.hyperparameters, {});
  for (let lane = 0; lane < lanes; lane += 1) {
    session.addLane({ seed: BigInt(lane + 1), hyperparameters, checkpoint: null });
  }
  let steps = 0;
  const slice = (maxMillis: number, maxSteps: number | null): void => {
    const { positions, diverged } = session.runSlice({ maxMillis, maxSteps });
    if (diverged.length > 0) {
      throw new ConvsweepError(
        "BAD_INPUT",
        "training on random images diverged; give the recipe a smaller learning_rate",
        {
          path: "recipe.hyperparameters.learning_rate",
        },
      );
    }
    steps = positions.reduce((sum, p) => sum + p.step, 0);
  };
  slice(options.millis, 2);
  const before = steps;
  const started = options.now();
  do slice(Math.max(1, options.millis - (options.now() - started)), null);
  while (options.now() - started < options.millis);
  const seconds = (options.now() - started) / 1000;
  return { lanes, steps: steps - before, seconds, imagesPerSecond: ((steps - before) * recipe.batch_size) / seconds };
}

export function probe(engine: Engine, options: ProbeOptions): Probe {
  const { device, threads } = options;
  const plan = engine.planSession({ recipe: options.recipe, device, lanes: options.lanes, threads });
  const recipe = shrink(parseRecipe(options.recipe));
  const dataset = `probe ${randomBytes(8).toString("hex")}`;
  engine.registerDataset(dataset, randomImages(recipe.dataset));
  const speeds = [...new Set([1, options.lanes])].map((lanes) => {
    const session = engine.createSession({
      recipe: JSON.stringify(recipe),
      device,
      dataset,
      lanes,
      threads,
      isa: "auto",
      control: null,
    });
    try {
      return measure(session, recipe, lanes, options);
    } finally {
      session.close();
    }
  });
  return {
    device,
    fingerprint: engine.fingerprint(device),
    threads,
    bytesPerLane: plan.bytesPerLane,
    bytesShared: plan.bytesShared,
    speeds,
  };
}

export function describeProbe(result: Probe): string {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const lines = result.speeds.map(
    ({ lanes, imagesPerSecond }) =>
      `${lanes === 1 ? "1 lane " : `${lanes} lanes`}  ${Math.round(imagesPerSecond).toLocaleString("en")} images/s together`,
  );
  return [
    `${result.device}  ${result.fingerprint}, ${result.threads} threads`,
    `memory   ${mib(result.bytesPerLane)} a lane, ${mib(result.bytesShared)} shared`,
    ...lines,
    "",
  ].join("\n");
}
