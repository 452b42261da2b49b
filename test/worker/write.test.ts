/** Writing from a trial on record: trained again to the same weights, then the same text; what does not fit is said. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { findNetwork } from "../../native/networks/index.js";
import { recipeFor } from "../../native/networks/recipe-for.js";
import { openEngine } from "../../worker/engine.js";
import { writeText } from "../../worker/write.js";
import { failure, temporaryFolder } from "./data-files.js";

const TEXT = "one two three. ".repeat(40);

function trial() {
  const path = join(temporaryFolder(), "t.txt");
  writeFileSync(path, TEXT);
  const network = findNetwork("char-rnn");
  if (network === null) throw new Error("no char-rnn");
  const characters = [...new Set(TEXT)].sort().join("");
  const classes = characters.length;
  const layers = network.layers.map((layer) =>
    layer.op === "embedding"
      ? { ...layer, vocabulary: classes }
      : layer.op === "conv2d"
        ? { ...layer, filters: classes }
        : layer,
  );
  const dataset = {
    name: "t.txt",
    shape: [1, 1, 13] as const,
    classes,
    validation: 2,
    train_images: 46,
    test_images: 0,
    seed: null,
    text: { path, sha256: createHash("sha256").update(TEXT).digest("hex"), characters },
  };
  const recipe = recipeFor({ ...network, layers }, dataset, { epochs: 30, batch_size: 4 });
  return {
    recipe: JSON.stringify(recipe),
    seed: "00000000000000ff",
    parameters: '{"learning_rate":0.01}',
    weightsHash: null,
    start: "one t",
    length: 60,
    temperature: 0,
    threads: 2,
  };
}

it("writes what it learnt, the same each time, and says when the weights are others", async () => {
  const options = trial();
  const epochs: number[] = [];
  const first = await writeText(openEngine(), options, (epoch) => epochs.push(epoch));
  expect(epochs).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  expect(TEXT.repeat(2)).toContain(first.text);
  expect(first.warnings).toEqual([]);
  const again = await writeText(openEngine(), { ...options, weightsHash: first.weightsHash, threads: 1 }, () => {});
  expect(again).toEqual(first);
  const other = await writeText(openEngine(), { ...options, weightsHash: "sha256:0" }, () => {});
  expect(other.warnings).toHaveLength(1);
});

it("refuses a start with characters that the text lacks", async () => {
  const refused = await failure(writeText(openEngine(), { ...trial(), start: "ONE" }, () => {}));
  expect(refused).toMatchObject({ code: "BAD_INPUT", path: "--start", found: "ONE" });
});
