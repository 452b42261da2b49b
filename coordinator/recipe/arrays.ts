/**
 * Array files of one's own as a data set: `dataset: {images: flowers.npy, labels: labels.npy}`.
 *
 * Guarantees: shape, classes and digests of both files stand in the spec, so that a worker can tell whether its own files are
 * the same; what is wrong with a file is said with its path. Not here: reading them for training (worker/data/arrays.ts).
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { parseImages, parseLabels } from "../../native/arrays.js";
import type { ArrayFile, DatasetSpec } from "../../native/recipe.js";
import type { OwnFiles } from "./own-files.js";
import type { FileNode, Reader } from "./reader.js";

const MAX_BYTES = 1024 ** 3;
/** Share of the images held out where the file does not say. */
const HELD_OUT = 0.1;

/** Whether a data set is given as array files. */
export function isArrays(node: FileNode): boolean {
  return node.kind === "map" && node.entries.some(({ key }) => key === "images" || key === "labels");
}

export function compileArrays(
  reader: Reader,
  node: FileNode,
  validation: FileNode | undefined,
  files: OwnFiles,
): DatasetSpec {
  const fields = reader.fields(node, "dataset", ["images", "labels"]);
  const part = <T>(key: "images" | "labels", parse: (bytes: Uint8Array) => T) => {
    const given = fields.get(key)?.value;
    const path = `dataset.${key}`;
    if (given === undefined) throw reader.error(node.at, "dataset", `array files need ${key}`, key, "no such key");
    const { path: file, bytes } = files.read(reader.text(given, path, "the path of a .npy or IDX file"), MAX_BYTES);
    const source: ArrayFile = { path: file, sha256: createHash("sha256").update(bytes).digest("hex") };
    try {
      return { given, source, parsed: parse(bytes) };
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw reader.error(given.at, path, `${file}: ${cause.message}`);
    }
  };
  const images = part("images", parseImages);
  const labels = part("labels", parseLabels);
  const { shape, count } = images.parsed;
  const refuse = (expected: string, found: string) =>
    reader.error(
      labels.given.at,
      "dataset.labels",
      `${labels.source.path}: expected ${expected}, found ${found}`,
      expected,
      found,
    );
  if (labels.parsed.length !== count) throw refuse(`${count} labels, one an image`, String(labels.parsed.length));
  if (count < 2) throw refuse("at least two images", String(count));
  const classes = labels.parsed.reduce((most, label) => Math.max(most, label), 0) + 1;
  if (classes < 2) throw refuse("labels of at least two classes, from 0", "only 0");
  return {
    name: basename(images.source.path),
    shape,
    classes,
    validation: heldOutOf(reader, validation, count),
    train_images: count,
    test_images: 0,
    seed: null,
    arrays: { images: images.source, labels: labels.source },
  };
}

/** How many of `count` images are for validation. */
export function heldOutOf(reader: Reader, validation: FileNode | undefined, count: number): number {
  if (validation === undefined) return Math.max(1, Math.floor(count * HELD_OUT));
  return reader.whole(validation, "validation", { min: 0, max: count - 1 });
}
