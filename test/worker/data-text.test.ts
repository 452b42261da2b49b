/** A text as the worker loads it: the numbers of its characters, and only of the file that the sweep was made from. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { DatasetSpec } from "../../native/recipe.js";
import { loadDataset } from "../../worker/data/load.js";
import { failure, temporaryFolder } from "./data-files.js";

const TEXT = "cabacabé";
const never = () => {
  throw new Error("not generated");
};

function spec(path: string): DatasetSpec {
  return {
    name: "t.txt",
    shape: [1, 1, 3],
    classes: 4,
    validation: 1,
    train_images: 2,
    test_images: 0,
    seed: null,
    text: { path, sha256: createHash("sha256").update(TEXT).digest("hex"), characters: "abcé" },
  };
}

it("gives whole windows and the character that follows the last one", async () => {
  const path = join(temporaryFolder(), "t.txt");
  writeFileSync(path, TEXT);
  const { arrays, digest } = await loadDataset(spec(path), "/nowhere", never);
  expect([...arrays.trainImages]).toEqual([2, 0, 1, 0, 2, 0, 1]);
  expect(arrays).toMatchObject({ text: true, shape: [1, 1, 3], classes: 4 });
  expect([arrays.trainLabels.length, arrays.testImages.length, arrays.testLabels.length]).toEqual([0, 0, 0]);
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
});

it("refuses another file, and says which it misses", async () => {
  const path = join(temporaryFolder(), "t.txt");
  expect(await failure(loadDataset(spec(path), "/nowhere", never))).toMatchObject({ code: "NOT_FOUND", path });
  writeFileSync(path, TEXT.replace("c", "b"));
  expect(await failure(loadDataset(spec(path), "/nowhere", never))).toMatchObject({ code: "CORRUPT", path });
});
