/** What a network takes for what: the counts, the table, and that they say what the trial reported. */
import { describe, expect, it } from "vitest";
import { classNamesOf } from "../../native/datasets.js";
import { engine, openSmall, runToEnd, smallRecipe, vector } from "../../native/test/support.js";
import { confusionOf, describeConfusion, predictedClasses, worstPairs } from "../../worker/confusion.js";

describe("a confusion matrix", () => {
  // biome-ignore format: a row of drawn numbers
  const actual = [0, 0, 1, 2, 3, 1, 1, 2, 2, 1, 0, 3, 2, 3, 3, 0, 1, 0, 1, 0, 3, 1, 3, 0, 1, 0, 0, 0, 1, 2, 3, 2, 0, 3, 2, 2, 3, 3, 2, 3, 0, 1, 1, 2, 1, 0, 3, 0, 1, 1, 0, 1, 1, 1, 3, 2, 2, 2, 2, 3];
  // biome-ignore format: a row of drawn numbers
  const predicted = [1, 1, 1, 0, 3, 1, 1, 2, 2, 2, 0, 3, 2, 3, 0, 0, 1, 0, 1, 0, 3, 1, 3, 0, 1, 0, 3, 2, 1, 2, 3, 2, 0, 3, 2, 0, 3, 2, 2, 2, 0, 3, 3, 2, 2, 0, 3, 0, 1, 1, 0, 1, 1, 1, 3, 2, 2, 2, 2, 3];
  const confusion = confusionOf(Uint8Array.from(predicted), Uint8Array.from(actual), ["a", "b", "c", "d"]);

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

  it("is read as a table", () => {
    expect(describeConfusion(confusion).split("\n").slice(0, 9)).toEqual([
      "47 of 60 validation images right, 78.33 %",
      "",
      "rows: predicted, columns: actual",
      "            a   b   c   d",
      "a          11   .   2   1",
      "b           2  13   .   .",
      "c           1   2  12   2",
      "d           1   2   .  11",
      "",
    ]);
  });

  it("leaves the table out where it is wider than a terminal", () => {
    const classes = Array.from({ length: 100 }, (_, i) => String(i));
    const text = describeConfusion(confusionOf(Uint8Array.of(3, 4), Uint8Array.of(3, 9), classes));
    expect(text).toBe("1 of 2 validation images right, 50.00 %\n\nconfused most\n     1  9 taken for 4\n");
  });

  it("takes the first of equal logits", () => {
    expect([...predictedClasses(Float32Array.of(1, 1, 0, -2, -1, -1), 3)]).toEqual([0, 1]);
  });
});

describe("the classes that a trained lane predicts", () => {
  it.each(["logit", "tinycnn", "lenet-dropout", "convnet5", "resnet18", "lstm-rows", "lenet-swa"])(
    "of %s are right as often as its val_accuracy says, to the bit",
    (name) => {
      const small = smallRecipe(name);
      const dataset = { ...small.recipe.dataset, validation: 14 };
      const averaging = name === "lenet-swa" ? { averaging: { start: 1, every: 1 } } : {};
      const { session, recipe } = openSmall(name, {}, { dataset, ...averaging });
      const lane = session.addLane({ seed: 5n, hyperparameters: vector(recipe), checkpoint: null });
      const last = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null }))
        .flatMap((slice) => slice.reports)
        .at(-1);
      const batches = Math.ceil(dataset.validation / recipe.batch_size);
      const logits = Array.from({ length: batches }, (_, batch) => [...session.validationLogits(lane, batch)]).flat();
      session.close();
      const first = dataset.train_images - dataset.validation;
      const { labels } = engine.datasetImages(small.digest, first, dataset.validation);
      const { counts } = confusionOf(predictedClasses(Float32Array.from(logits), 10), labels, classNamesOf(dataset));
      const right = counts.reduce((sum, row, i) => sum + (row[i] ?? 0), 0);
      expect(counts.flat().reduce((sum, count) => sum + count, 0)).toBe(14);
      expect(right / 14).toBe(last?.metrics.find((metric) => metric.name === "val_accuracy")?.value);
    },
  );
});
