/**
 * Array files of people's own as the engine takes them.
 *
 * Guarantees: the files are those that the recipe was made from, to the byte, or they are refused; images stand in the order
 * of `orderOf`, the same on every machine, so that those held out at the end are of all classes.
 */
import { orderOf, parseImages, parseLabels } from "../../native/arrays.js";
import type { DatasetArrays } from "../../native/index.js";
import type { ArraySource, DatasetSpec } from "../../native/recipe.js";
import { readOwnFile } from "./own-file.js";

/** Throws NOT_FOUND (no such file here) or CORRUPT (another file than the sweep was made from). */
export async function readArrays(spec: DatasetSpec, source: ArraySource): Promise<DatasetArrays> {
  const { count, values } = parseImages(await readOwnFile("the array file", source.images));
  const labels = parseLabels(await readOwnFile("the array file", source.labels));
  const order = orderOf(count, source.images.sha256);
  const size = values.length / count;
  const trainImages = new Uint8Array(values.length);
  for (const [to, from] of order.entries()) {
    trainImages.set(values.subarray(from * size, (from + 1) * size), to * size);
  }
  const none = new Uint8Array(0);
  return {
    shape: [...spec.shape],
    classes: spec.classes,
    trainImages,
    trainLabels: Uint8Array.from(order, (from) => labels[from] ?? 0),
    testImages: none,
    testLabels: none,
  };
}
