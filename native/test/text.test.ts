/** Texts in the engine: windows and what follows each character, and writing. */
import { expect, it } from "vitest";
import type { LaneReport } from "../index.js";
import { findNetwork } from "../networks/index.js";
import { recipeFor } from "../networks/recipe-for.js";
import type { DatasetSpec, Recipe } from "../recipe.js";
import { engine, engineError, openSmall, runToEnd, vector } from "./support.js";

const CHARACTERS = "abcdefghij";
const STEPS = 12;
const WINDOWS = 60;
/** "abcabc...": a label that is off by one would be seen at once. */
const NUMBERS = Uint8Array.from({ length: WINDOWS * STEPS + 1 }, (_, i) => i % 3);
const none = new Uint8Array(0);
const ARRAYS = {
  shape: [1, 1, STEPS],
  classes: 10,
  text: true,
  trainImages: NUMBERS,
  trainLabels: none,
  testImages: none,
  testLabels: none,
} as const;

function openText(lanes = 1, threads = 1) {
  const network = findNetwork("char-rnn");
  if (network === null) throw new Error("no char-rnn");
  const dataset: DatasetSpec = {
    name: "abc",
    shape: [1, 1, STEPS],
    classes: 10,
    validation: 10,
    train_images: WINDOWS,
    test_images: 0,
    seed: null,
    text: { path: "/abc", sha256: "", characters: CHARACTERS },
  };
  const recipe: Recipe = recipeFor(network, dataset, { batch_size: 10, epochs: 8 });
  engine.registerDataset("abc", ARRAYS);
  const session = engine.createSession({
    recipe: JSON.stringify(recipe),
    device: "cpu",
    dataset: "abc",
    lanes,
    threads,
    isa: "auto",
    control: null,
  });
  return { session, recipe };
}

const metric = (report: LaneReport | undefined, name: string): number =>
  report?.metrics.find((one) => one.name === name)?.value ?? Number.NaN;

it("learns what follows each character, counted a character, and writes it", () => {
  const { session, recipe } = openText();
  session.addLane({ seed: 5n, hyperparameters: vector(recipe), checkpoint: null });
  const reports = runToEnd(() => session.runSlice({ maxMillis: 1_000, maxSteps: null })).flatMap((s) => s.reports);
  const last = reports.at(-1);
  expect(last?.finished).toBe(true);
  expect(metric(last, "val_accuracy")).toBe(1);
  expect(metric(last, "val_loss")).toBeLessThan(0.2);
  expect(metric(last, "val_loss")).toBeGreaterThan(0);
  // At the start nothing is known: about the logarithm of ten characters.
  expect(metric(reports[0], "train_loss")).toBeLessThan(Math.log(10) + 0.1);
  const written = session.writeText(0, { start: Uint8Array.of(0), length: 40, temperature: 0 });
  expect([...written]).toEqual(Array.from({ length: 40 }, (_, i) => (i + 1) % 3));
  session.close();
});

it("writes the same from the same seed, alone and among others, and other things at another temperature", () => {
  const write = (lanes: number, lane: number, temperature: number) => {
    const { session, recipe } = openText(lanes, 2);
    for (let i = 0; i < lanes; i++) {
      const hyperparameters = vector(recipe, i === lane ? {} : { learning_rate: 0.01 });
      session.addLane({ seed: i === lane ? 9n : BigInt(i), hyperparameters, checkpoint: null });
    }
    session.runSlice({ maxMillis: 60_000, maxSteps: 3 });
    const text = session.writeText(lane, { start: Uint8Array.of(1, 2), length: 60, temperature });
    session.close();
    return [...text];
  };
  const alone = write(1, 0, 1);
  expect(write(4, 2, 1)).toEqual(alone);
  expect(new Set(alone).size).toBeGreaterThan(2);
  expect(alone.every((number) => number < 10)).toBe(true);
  expect(write(1, 0, 0)).not.toEqual(alone);
});

it("refuses what is not a text, with the place", () => {
  const register = (changes: object) => engineError(() => engine.registerDataset("wrong", { ...ARRAYS, ...changes }));
  expect(register({ trainImages: NUMBERS.slice(1) }).path).toBe("trainImages");
  expect(register({ trainImages: NUMBERS.map((n, i) => (i === 7 ? 10 : n)) }).path).toBe("trainImages[7]");
  expect(register({ shape: [1, STEPS, 1] }).path).toBe("shape");
  expect(register({ trainLabels: Uint8Array.of(1) }).path).toBe("trainLabels");
  const { session, recipe } = openText();
  session.addLane({ seed: 5n, hyperparameters: vector(recipe), checkpoint: null });
  const write = (changes: object) =>
    engineError(() => session.writeText(0, { start: Uint8Array.of(0), length: 1, temperature: 1, ...changes })).path;
  expect(write({ start: none })).toBe("start");
  expect(write({ start: Uint8Array.of(0, 10) })).toBe("start[1]");
  expect(write({ length: 0 })).toBe("options.length");
  expect(write({ temperature: -1 })).toBe("temperature");
  session.close();
  const images = openSmall("logit");
  images.session.addLane({ seed: 5n, hyperparameters: vector(images.recipe), checkpoint: null });
  const refusal = engineError(() =>
    images.session.writeText(0, { start: Uint8Array.of(0), length: 1, temperature: 1 }),
  );
  expect(refusal).toMatchObject({ code: "ENGINE_BAD_ARGUMENT", path: "lane" });
  images.session.close();
});
