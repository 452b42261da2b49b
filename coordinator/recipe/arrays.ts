/**
 * Array files of one's own as a data set: `dataset: {images: flowers.npy, labels: labels.npy}`, perhaps with
 * `classes: [rose, tulip]` and `test: {images: more.npy, labels: more-labels.npy}`.
 *
 * Guarantees: shape, classes and digests of all files stand in the spec, so that a worker can tell whether its own files are
 * the same; what is wrong with a file is said with its path. Not here: reading them for training (worker/data/arrays.ts).
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { type ImageArray, parseImages, parseLabels } from "../../native/arrays.js";
import type { ArrayPair, DatasetSpec } from "../../native/recipe.js";
import type { OwnFiles } from "./own-files.js";
import { checkLabels, checkShape, classNames, countClasses, heldOutOf, type Place, refused } from "./own-images.js";
import type { FileNode, MapEntry, Reader } from "./reader.js";

const MAX_BYTES = 1024 ** 3;

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
  const fields = reader.fields(node, "dataset", ["images", "labels", "classes", "test"]);
  const { source, images, labels, at } = readPair(reader, node, "dataset", fields, files);
  const { shape, count } = images;
  if (count < 2) throw refused(reader, at.labels, "at least two images", String(count));
  const names = classNames(reader, fields.get("classes")?.value);
  const classes = countClasses(reader, labels, names, at.labels);
  const testNode = fields.get("test")?.value;
  const test = testNode === undefined ? null : readTest(reader, testNode, files);
  if (test !== null) {
    checkShape(reader, test.images.shape, shape, test.at.images);
    checkLabels(reader, test.labels, classes, test.at.labels);
  }
  return {
    name: basename(source.images.path),
    shape,
    classes,
    validation: heldOutOf(reader, validation, count),
    train_images: count,
    test_images: test?.images.count ?? 0,
    seed: null,
    arrays: {
      ...source,
      ...(names === null ? {} : { classes: names }),
      ...(test === null ? {} : { test: test.source }),
    },
  };
}

interface ReadPair {
  readonly source: ArrayPair;
  readonly images: ImageArray;
  readonly labels: Uint8Array;
  readonly at: { readonly images: Place; readonly labels: Place };
}

function readTest(reader: Reader, node: FileNode, files: OwnFiles): ReadPair {
  const path = "dataset.test";
  return readPair(reader, node, path, reader.fields(node, path, ["images", "labels"], "images and labels"), files);
}

/** Images and as many labels; `path` leads to the mapping that names their files. */
function readPair(
  reader: Reader,
  node: FileNode,
  path: string,
  fields: ReadonlyMap<string, MapEntry>,
  files: OwnFiles,
): ReadPair {
  const part = <T>(key: "images" | "labels", parse: (bytes: Uint8Array) => T) => {
    const given = fields.get(key)?.value;
    const here = `${path}.${key}`;
    if (given === undefined) throw reader.error(node.at, path, `array files need ${key}`, key, "no such key");
    const { path: file, bytes } = files.read(reader.text(given, here, "the path of a .npy or IDX file"), MAX_BYTES);
    const source = { path: file, sha256: createHash("sha256").update(bytes).digest("hex") };
    try {
      return { at: { node: given, path: here, file }, source, parsed: parse(bytes) };
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw reader.error(given.at, here, `${file}: ${cause.message}`);
    }
  };
  const images = part("images", parseImages);
  const labels = part("labels", parseLabels);
  const { count } = images.parsed;
  if (labels.parsed.length !== count) {
    throw refused(reader, labels.at, `${count} labels, one an image`, String(labels.parsed.length));
  }
  return {
    source: { images: images.source, labels: labels.source },
    images: images.parsed,
    labels: labels.parsed,
    at: { images: images.at, labels: labels.at },
  };
}
