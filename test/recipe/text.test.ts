/** A text file as a data set of a sweep: what is known of it, and what is refused, with the words. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { numberText, textOfNumbers } from "../../native/datasets.js";
import type { Recipe } from "../../native/recipe.js";
import type { ConvsweepError } from "../../proto/contract.js";
import { refusalOf } from "./right-file.js";

const folder = mkdtempSync(join(tmpdir(), "convsweep-text-"));
afterAll(() => rmSync(folder, { recursive: true }));
/** 101 characters, 3 of them different, one outside of ASCII. */
const TEXT = "abaé".repeat(25).concat("b");
writeFileSync(join(folder, "a.txt"), TEXT);

const sweep = (dataset: string, network = "char-rnn", more = ""): string =>
  `network: ${network}\ndataset: ${dataset}\nbatch_size: 2\nepochs: 1\n${more}` +
  "method: random\nrun_cap: 1\nparameters: {learning_rate: {min: 0.001, max: 0.01}}\n";
const compiled = (text: string): Recipe => compileSweep(text, "f.yaml", folder).spec.recipe as unknown as Recipe;
const refused = (text: string): ConvsweepError => refusalOf(text, folder);

describe("a text", () => {
  it("is windows of its characters, known by its digest", () => {
    const { dataset, network } = compiled(sweep("{text: a.txt, sequence: 10}"));
    expect(dataset).toEqual({
      name: "a.txt",
      shape: [1, 1, 10],
      classes: 3,
      validation: 1,
      train_images: 10,
      test_images: 0,
      seed: null,
      text: {
        path: join(folder, "a.txt"),
        sha256: createHash("sha256").update(TEXT).digest("hex"),
        characters: "abé",
      },
    });
    expect(network.layers[0]).toEqual({ op: "embedding", vocabulary: 3, units: 32 });
    expect(network.layers.at(-1)).toMatchObject({ op: "conv2d", filters: 3 });
  });

  it("has one window less where nothing follows the last character", () => {
    writeFileSync(join(folder, "b.txt"), TEXT.slice(0, 100));
    expect(compiled(sweep("{text: b.txt, sequence: 10}")).dataset.train_images).toBe(9);
  });

  it("goes to numbers and back", () => {
    expect([...numberText("éab", "abé")]).toEqual([2, 0, 1]);
    expect(textOfNumbers(Uint8Array.of(2, 0, 1), "abé")).toBe("éab");
    expect(() => numberText("x", "abé")).toThrow(RangeError);
  });

  it("that is not there, not text or too short is refused", () => {
    writeFileSync(join(folder, "bytes.txt"), Uint8Array.of(0xff, 0xfe, 0x41));
    writeFileSync(join(folder, "short.txt"), "abc");
    writeFileSync(join(folder, "same.txt"), "a".repeat(500));
    expect(refused(sweep("{text: none.txt}"))).toMatchObject({ code: "NOT_FOUND", path: join(folder, "none.txt") });
    expect(refused(sweep("{text: bytes.txt}")).message).toMatch(/expected text in UTF-8, found other bytes/);
    expect(refused(sweep("{text: short.txt}")).message).toMatch(/expected more than 128 characters, found 3/);
    expect(refused(sweep("{text: same.txt}")).message).toMatch(/expected 2 to 256 different characters, found 1/);
    expect(refused(sweep("{text: a.txt, sequence: 1}")).message).toMatch(/dataset\.sequence/);
    expect(refused(sweep("{text: a.txt, seed: 1}")).message).toMatch(/unknown key/);
  });

  it("needs a network that reads it and says a value for each character at each step", () => {
    expect(refused(sweep("{text: a.txt, sequence: 10}", "[{embedding: {units: 4}}, {lstm: 4}]")).message).toMatch(
      /embedding needs vocabulary/,
    );
    const short = "[{embedding: {units: 4, vocabulary: 3}}, {lstm: 4}, {linear: 3}]";
    expect(refused(sweep("{text: a.txt, sequence: 10}", short)).message).toMatch(
      /expected the last layer to yield 3x1x10, a value for each character at each step, found 3/,
    );
    const few = "[{embedding: {units: 4, vocabulary: 2}}, {conv2d: {filters: 3, kernel: 1}}]";
    expect(refused(sweep("{text: a.txt, sequence: 10}", few)).message).toMatch(/at least the 3 characters/);
    expect(refused(sweep("mnist")).message).toMatch(/embedding reads the characters of a text/);
  });

  it("is not flipped", () => {
    const flipped = sweep("{text: a.txt, sequence: 10}", "char-rnn", "augmentation: {flip: true}\n");
    expect(refused(flipped).message).toMatch(/a text is not flipped or cropped/);
  });
});
