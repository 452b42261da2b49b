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
  const { values } = parseImages(await readOwnFile("the array file", source.images));
  const labels = parseLabels(await readOwnFile("the array file", source.labels));
  return inOrder(spec, values, labels, source.images.sha256);
}

/** Images in the order that the digest draws, with their labels. */
export function inOrder(spec: DatasetSpec, images: Uint8Array, labels: Uint8Array, sha256: string): DatasetArrays {
  const count = labels.length;
  const order = orderOf(count, sha256);
  const size = images.length / count;
  const trainImages = new Uint8Array(images.length);
  for (const [to, from] of order.entries()) {
    trainImages.set(images.subarray(from * size, (from + 1) * size), to * size);
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
