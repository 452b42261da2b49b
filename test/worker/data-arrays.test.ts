/** Array files as the worker loads them: planes first, in an order that is the same everywhere, and only the sweep's own. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { orderOf, parseImages, parseLabels } from "../../native/arrays.js";
import { findNetwork } from "../../native/networks/index.js";
import { recipeFor } from "../../native/networks/recipe-for.js";
import type { DatasetSpec } from "../../native/recipe.js";
import { loadDataset } from "../../worker/data/load.js";
import { openEngine } from "../../worker/engine.js";
import { planJob } from "../../worker/job.js";
import { npy } from "./array-files.js";
import { failure, temporaryFolder } from "./data-files.js";

const never = () => {
  throw new Error("not generated");
};
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** 60 images of 4x4 in two classes, sorted by class: dark ones, then bright ones. */
function brightness(): DatasetSpec {
  const folder = temporaryFolder();
  const file = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, name), bytes);
    return { path: join(folder, name), sha256: sha256(bytes) };
  };
  const pixels = Uint8Array.from({ length: 60 * 16 }, (_, i) => (i < 30 * 16 ? 10 + (i % 7) : 200 + (i % 7)));
  const labels = Buffer.alloc(60 * 8);
  for (let i = 30; i < 60; i++) labels.writeBigInt64LE(1n, 8 * i);
  return {
    name: "x.npy",
    shape: [1, 4, 4],
    classes: 2,
    validation: 12,
    train_images: 60,
    test_images: 0,
    seed: null,
    arrays: { images: file("x.npy", npy("|u1", [60, 4, 4], pixels)), labels: file("y.npy", npy("<i8", [60], labels)) },
  };
}

it("takes channels first and last alike", () => {
  // Two images of 2x2 pixels: pixel p of image i has the colours 10i + p, 100 + 10i + p, 200 + 10i + p.
  const colour = (i: number, c: number, p: number): number => 100 * c + 10 * i + p;
  const first: number[] = [];
  const last: number[] = [];
  for (const i of [0, 1]) {
    for (const c of [0, 1, 2]) for (const p of [0, 1, 2, 3]) first.push(colour(i, c, p));
    for (const p of [0, 1, 2, 3]) for (const c of [0, 1, 2]) last.push(colour(i, c, p));
  }
  const planes = parseImages(npy("|u1", [2, 3, 2, 2], Uint8Array.from(first)));
  expect(planes).toMatchObject({ shape: [3, 2, 2], count: 2 });
  const pixels = parseImages(npy("|u1", [2, 2, 2, 3], Uint8Array.from(last)));
  expect([...pixels.values]).toEqual([...planes.values]);
  expect([...parseLabels(npy(">u2", [2, 1], Uint8Array.of(0, 7, 0, 255)))]).toEqual([7, 255]);
});

it("orders images the same way each time, each once", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.string(), (count, text) => {
      const digest = sha256(Buffer.from(text));
      const order = orderOf(count, digest);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(orderOf(count, digest)).toEqual(order);
    }),
  );
});

it("holds out images of every class, with their own labels", async () => {
  const { arrays } = await loadDataset(brightness(), "/nowhere", never);
  expect(new Set(arrays.trainLabels.subarray(48))).toEqual(new Set([0, 1]));
  arrays.trainLabels.forEach((label, i) => {
    expect((arrays.trainImages[i * 16] ?? 0) >= 200 ? 1 : 0).toBe(label);
  });
});

it("are told apart by a network that trains on them", async () => {
  const dataset = brightness();
  const { digest, arrays } = await loadDataset(dataset, "/nowhere", never);
  const engine = openEngine();
  engine.registerDataset(digest, arrays);
  const logit = findNetwork("logit");
  if (logit === null) throw new Error("no logit");
  const layers = logit.layers.map((layer) => (layer.op === "linear" ? { ...layer, units: 2 } : layer));
  const recipe = recipeFor({ ...logit, layers }, dataset, { epochs: 5, batch_size: 8, optimizer: "sgd" });
  const { seed, hyperparameters } = planJob({
    recipe: JSON.stringify(recipe),
    seed: "0000000000000001",
    parameters: '{"learning_rate":0.05}',
  });
  const session = engine.createSession({
    recipe: JSON.stringify(recipe),
    device: "cpu",
    dataset: digest,
    lanes: 1,
    threads: 1,
    isa: "auto",
    control: null,
  });
  try {
    session.addLane({ seed, hyperparameters, checkpoint: null });
    const reports = [];
    for (let state = "more"; state !== "idle"; ) {
      const slice = session.runSlice({ maxMillis: 200, maxSteps: null });
      reports.push(...slice.reports);
      state = slice.state;
    }
    // Two classes that a threshold on one pixel tells apart.
    expect(reports.at(-1)?.metrics.find(({ name }) => name === "val_accuracy")?.value).toBe(1);
  } finally {
    session.close();
  }
});

it("refuses other files, and says which it misses", async () => {
  const spec = brightness();
  const path = spec.arrays?.labels.path ?? "";
  writeFileSync(path, npy("|u1", [60], new Uint8Array(60)));
  expect(await failure(loadDataset(spec, "/nowhere", never))).toMatchObject({ code: "CORRUPT", path });
  const images = { path: "/nowhere/x.npy", sha256: "0" };
  const gone = { ...spec, arrays: { images, labels: images } };
  expect(await failure(loadDataset(gone, "/nowhere", never))).toMatchObject({ code: "NOT_FOUND", path: images.path });
});
