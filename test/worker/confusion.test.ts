/** What a network takes for what: the counts, the file, and that they say what the trial reported. */
import { describe, expect, it } from "vitest";
import { classNamesOf } from "../../native/datasets.js";
import { engine, openSmall, runToEnd, smallRecipe, vector } from "../../native/test/support.js";
import { parseConfusion, tallyOf, worstPairs } from "../../proto/confusion.js";
import { confusionOf, predictedClasses } from "../../worker/confusion.js";

describe("a confusion matrix", () => {
  // biome-ignore format: a row of drawn numbers
  const actual = [0, 0, 1, 2, 3, 1, 1, 2, 2, 1, 0, 3, 2, 3, 3, 0, 1, 0, 1, 0, 3, 1, 3, 0, 1, 0, 0, 0, 1, 2, 3, 2, 0, 3, 2, 2, 3, 3, 2, 3, 0, 1, 1, 2, 1, 0, 3, 0, 1, 1, 0, 1, 1, 1, 3, 2, 2, 2, 2, 3];
  // biome-ignore format: a row of drawn numbers
  const predicted = [1, 1, 1, 0, 3, 1, 1, 2, 2, 2, 0, 3, 2, 3, 0, 0, 1, 0, 1, 0, 3, 1, 3, 0, 1, 0, 3, 2, 1, 2, 3, 2, 0, 3, 2, 0, 3, 2, 2, 2, 0, 3, 3, 2, 2, 0, 3, 0, 1, 1, 0, 1, 1, 1, 3, 2, 2, 2, 2, 3];
  const confusion = confusionOf("test", Uint8Array.from(predicted), Uint8Array.from(actual), ["a", "b", "c", "d"]);

  it("counts as scikit-learn does, with rows predicted", () => {
    // sklearn.metrics.confusion_matrix(actual, predicted).T, scikit-learn 1.9.1
    expect(confusion.counts).toEqual([
      [11, 0, 2, 1],
      [2, 13, 0, 0],
      [1, 2, 12, 2],
      [1, 2, 0, 11],
    ]);
    expect(worstPairs(confusion, 2)).toEqual([
      { predicted: 0, actual: 2, count: 2 },
      { predicted: 1, actual: 0, count: 2 },
    ]);
  });

  it("says how many images there are, and how many are right", () => {
    const right = predicted.filter((c, i) => c === actual[i]).length;
    expect(tallyOf(confusion)).toEqual({ images: 60, right });
  });

  it("is read from its file as it was written, and from no other", () => {
    const file = JSON.stringify(confusion);
    expect(parseConfusion(file)).toEqual(confusion);
    const changed: readonly object[] = [
      { version: 2 },
      { of: "training" },
      { classes: ["a", "b", "c"] },
      { classes: ["a", "b", "c", 4] },
      { classes: [], counts: [] },
      { counts: confusion.counts.slice(1) },
      { counts: confusion.counts.map((row) => row.slice(1)) },
      { counts: confusion.counts.map((row) => row.map((count) => count - 1)) },
      { counts: confusion.counts.map((row) => row.map(String)) },
    ];
    for (const change of changed) expect(parseConfusion(JSON.stringify({ ...confusion, ...change }))).toBeNull();
    for (const other of ["", "null", "[]", '"text"', file.slice(1)]) expect(parseConfusion(other)).toBeNull();
  });

  it("takes the first of equal logits", () => {
    expect([...predictedClasses(Float32Array.of(1, 1, 0, -2, -1, -1), 3)]).toEqual([0, 1]);
  });
});

describe("the classes that a trained lane predicts", () => {
  it.each(["logit", "tinycnn", "lenet-dropout", "convnet5", "resnet18", "lstm-rows", "lenet-swa"])(
    "of %s are right as often as its val_accuracy and its test_accuracy say, to the bit",
    (name) => {
      const small = smallRecipe(name);
      const dataset = { ...small.recipe.dataset, validation: 14 };
      const averaging = name === "lenet-swa" ? { averaging: { start: 1, every: 1 } } : {};
      const { session, recipe } = openSmall(name, {}, { dataset, test_at_end: true, ...averaging });
      const lane = session.addLane({ seed: 5n, hyperparameters: vector(recipe), checkpoint: null });
      const last = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null }))
        .flatMap((slice) => slice.reports)
        .at(-1);
      const parts = [
        { part: "validation", metric: "val_accuracy", first: dataset.train_images - 14, images: 14 },
        { part: "test", metric: "test_accuracy", first: dataset.train_images, images: dataset.test_images },
      ] as const;
      for (const { part, metric, first, images } of parts) {
        const batches = Math.ceil(images / recipe.batch_size);
        const logits = Array.from({ length: batches }, (_, batch) => [...session.logits(lane, part, batch)]).flat();
        const { labels } = engine.datasetImages(small.digest, first, images);
        const predicted = predictedClasses(Float32Array.from(logits), 10);
        const tally = tallyOf(confusionOf(part, predicted, labels, classNamesOf(dataset)));
        expect(tally.images).toBe(images);
        expect(tally.right / images).toBe(last?.metrics.find(({ name: one }) => one === metric)?.value);
      }
      session.close();
    },
  );
});
