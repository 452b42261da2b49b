/** Labels of an image file with kept weights, against logits that PyTorch found with the same file. */
import { readFileSync } from "node:fs";
import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { openEngine } from "../../worker/engine.js";
import { describePrediction, predict, softmax } from "../../worker/predict.js";
import { decodeSafetensors } from "../../worker/safetensors.js";
import { failure } from "./data-files.js";

const folder = new URL("../golden/weights/", import.meta.url);
const read = (name: string): Buffer => readFileSync(new URL(name, folder));
const [CHANNELS, ROWS, COLUMNS] = [3, 9, 8] as const;
const SIZE = CHANNELS * ROWS * COLUMNS;
const images = Uint8Array.from(read("images.bin"));
const logits = JSON.parse(read("logits.json").toString("utf8")) as number[][];
const kept = { weights: read("weights.safetensors"), beside: read("weights-recipe.json").toString("utf8"), threads: 1 };

/** The image as a file. */
function png(number: number): Uint8Array {
  const planes = images.subarray(number * SIZE, (number + 1) * SIZE);
  const data = new Uint8Array(SIZE);
  for (let i = 0; i < SIZE; i++) data[i] = planes[(i % CHANNELS) * ROWS * COLUMNS + Math.floor(i / CHANNELS)] ?? 0;
  return encode({ width: COLUMNS, height: ROWS, channels: 3, depth: 8, data });
}

describe("predict", () => {
  it("finds PyTorch's logits for the same bytes", async () => {
    const beside = JSON.parse(kept.beside) as { recipe: object; normalisation: { scale: number[]; shift: number[] } };
    const found = await openEngine().classify({
      recipe: JSON.stringify(beside.recipe),
      device: "cpu",
      threads: 1,
      weights: decodeSafetensors(kept.weights).data,
      scale: Float32Array.from(beside.normalisation.scale),
      shift: Float32Array.from(beside.normalisation.shift),
      images,
    });
    const expected = logits.flat();
    expect(found.length).toBe(expected.length);
    expect(Math.max(...expected) - Math.min(...expected)).toBeGreaterThan(3);
    for (const [i, logit] of expected.entries()) expect(Math.abs((found[i] ?? 0) - logit)).toBeLessThan(1e-4);
  });

  it("names the likeliest classes of an image file with their probabilities", async () => {
    for (const [number, expected] of logits.entries()) {
      const image = { path: "x.png", bytes: png(number) };
      const [all] = await predict(openEngine(), { ...kept, images: [image], top: 5 });
      if (all === undefined) throw new Error("no prediction");
      const powers = expected.map(Math.exp);
      const sum = powers.reduce((a, b) => a + b);
      const order = [...powers.keys()].sort((a, b) => (powers[b] ?? 0) - (powers[a] ?? 0));
      expect(all.guesses.map(({ label }) => label)).toEqual(order);
      for (const { label, probability, class: name } of all.guesses) {
        expect(probability).toBeCloseTo((powers[label] ?? 0) / sum, 5);
        expect(name).toBe(String(label));
      }
      expect([all.size, all.seen]).toEqual([
        [8, 9],
        [3, 9, 8],
      ]);
      const [two] = await predict(openEngine(), { ...kept, images: [image], top: 2 });
      if (two === undefined) throw new Error("no prediction");
      expect(two.guesses).toEqual(all.guesses.slice(0, 2));
      expect(describePrediction(two).split("\n").length).toBe(4);
    }
  });

  it("says of several files, whatever their sizes, what it says of each alone", async () => {
    const files = [...logits.keys()].map((number) => ({ path: `${number}.png`, bytes: png(number) }));
    const large = encode({ width: 20, height: 30, channels: 1, depth: 8, data: new Uint8Array(600).fill(90) });
    const images = [...files, { path: "large.png", bytes: large }].reverse();
    const alone = await Promise.all(images.map((image) => predict(openEngine(), { ...kept, images: [image], top: 5 })));
    const together = await predict(openEngine(), { ...kept, images, top: 5 });
    expect(together).toEqual(alone.flat());
    expect(together.map(({ image }) => image)).toEqual(images.map(({ path }) => path));
    const broken = [...images, { path: "notes.txt", bytes: new TextEncoder().encode("hello") }];
    expect(await failure(predict(openEngine(), { ...kept, images: broken, top: 5 }))).toMatchObject({
      path: "notes.txt",
    });
  });

  it("says what is wrong with an image, weights or what stands beside them", async () => {
    const image = { path: "x.png", bytes: png(0) };
    const refused = (change: object) => failure(predict(openEngine(), { ...kept, images: [image], top: 5, ...change }));
    const text = { path: "notes.txt", bytes: new TextEncoder().encode("hello") };
    expect(await refused({ images: [text] })).toMatchObject({ code: "BAD_INPUT", path: "notes.txt" });
    expect(await refused({ weights: kept.weights.subarray(0, 500) })).toMatchObject({ code: "CORRUPT" });
    expect(await refused({ beside: "{}" })).toMatchObject({ code: "BAD_INPUT", path: "weights-recipe" });
    const beside = JSON.parse(kept.beside) as { recipe: { procedure?: object } };
    beside.recipe.procedure = { kind: "gan" };
    expect((await refused({ beside: JSON.stringify(beside) })).message).toContain("does not classify");
  });

  it("does not overflow", () => {
    expect([...softmax(Float32Array.of(3e38, 3e38, -3e38))]).toEqual([0.5, 0.5, 0]);
  });
});
