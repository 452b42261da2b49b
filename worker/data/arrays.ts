/**
 * Array files of people's own as the engine takes them.
 *
 * Guarantees: the files are those that the recipe was made from, to the byte, or they are refused; images stand in the order
 * of `orderOf`, the same on every machine, so that those held out at the end are of all classes. Test images keep the order of
 * their files.
 */
import { orderOf, parseImages, parseLabels } from "../../native/arrays.js";
import type { DatasetArrays } from "../../native/index.js";
import type { ArrayPair, ArraySource, DatasetSpec } from "../../native/recipe.js";
import { readOwnFile } from "./own-file.js";

/** Images plane by plane, and a label each. */
export interface Labelled {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** Throws NOT_FOUND (no such file here) or CORRUPT (another file than the sweep was made from). */
export async function readArrays(spec: DatasetSpec, source: ArraySource): Promise<DatasetArrays> {
  const test = source.test === undefined ? null : await readPair(source.test);
  return inOrder(spec, await readPair(source), source.images.sha256, test);
}

async function readPair({ images, labels }: ArrayPair): Promise<Labelled> {
  const { values } = parseImages(await readOwnFile("the array file", images));
  return { images: values, labels: parseLabels(await readOwnFile("the array file", labels)) };
}

/** Training images in the order that the digest draws, with their labels, and the test images as they are. */
export function inOrder(
  spec: DatasetSpec,
  { images, labels }: Labelled,
  sha256: string,
  test: Labelled | null,
): DatasetArrays {
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
    testImages: test?.images ?? none,
    testLabels: test?.labels ?? none,
  };
}
