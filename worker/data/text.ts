/**
 * A text file as the engine takes it: the numbers of its characters.
 *
 * Guarantees: the file is the one that the recipe was made from, to the byte, or it is refused. Does not choose windows:
 * the engine takes them one after another.
 */
import { numberText, windowsOf } from "../../native/datasets.js";
import type { DatasetArrays } from "../../native/index.js";
import type { DatasetSpec, TextSource } from "../../native/recipe.js";
import { readOwnFile } from "./own-file.js";

/** Throws NOT_FOUND (no such file here) or CORRUPT (another file than the sweep was made from). */
export async function readText(spec: DatasetSpec, source: TextSource): Promise<DatasetArrays> {
  const { characters } = source;
  const bytes = await readOwnFile("the text", source);
  const numbers = numberText(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), characters);
  const steps = spec.shape[2];
  const none = new Uint8Array(0);
  return {
    shape: [...spec.shape],
    classes: spec.classes,
    text: true,
    trainImages: numbers.slice(0, windowsOf(numbers.length, steps) * steps + 1),
    trainLabels: none,
    testImages: none,
    testLabels: none,
  };
}
