/**
 * Files of records of one's own as a data set, in the form of CIFAR's binary ones: `dataset: {records: mine.bin}`, or
 * `{records: [a.bin, b.bin], shape: [3, 32, 32], label_bytes: 1, classes: [cat, dog], test: more.bin}`.
 *
 * Guarantees: as of array files (arrays.ts). Not here: reading them for training (worker/data/records.ts).
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { DatasetSpec, OwnFileSource } from "../../native/recipe.js";
import { joinRecords, parseOwnRecords, type Records } from "../../native/records.js";
import type { OwnFiles } from "./own-files.js";
import { checkLabels, classNames, countClasses, heldOutOf, type Place, refused } from "./own-images.js";
import type { FileNode, Reader } from "./reader.js";

/** Of all files of a part together. */
const MAX_BYTES = 1024 ** 3;
const MAX_FILES = 1_000;
const MAX_SIDE = 4_096;
const MAX_LABEL_BYTES = 8;
const CIFAR_SHAPE: DatasetSpec["shape"] = [3, 32, 32];

/** Whether a data set is given as files of records. */
export function isRecords(node: FileNode): boolean {
  return node.kind === "map" && node.entries.some(({ key }) => key === "records");
}

export function compileRecords(
  reader: Reader,
  node: FileNode,
  validation: FileNode | undefined,
  files: OwnFiles,
): DatasetSpec {
  const fields = reader.fields(node, "dataset", ["records", "shape", "label_bytes", "classes", "test"]);
  const shape = shapeOf(reader, fields.get("shape")?.value);
  const bytesNode = fields.get("label_bytes")?.value;
  const labelBytes =
    bytesNode === undefined ? 1 : reader.whole(bytesNode, "dataset.label_bytes", { min: 1, max: MAX_LABEL_BYTES });
  const read = (given: FileNode, path: string) => readFiles(reader, given, path, files, { shape, labelBytes });
  const train = read(fields.get("records")?.value ?? node, "dataset.records");
  if (train.records.count < 2) throw refused(reader, train.at, "at least two records", String(train.records.count));
  const names = classNames(reader, fields.get("classes")?.value);
  const classes = countClasses(reader, train.records.labels, names, train.at);
  const testNode = fields.get("test")?.value;
  const test = testNode === undefined ? null : read(testNode, "dataset.test");
  if (test !== null) checkLabels(reader, test.records.labels, classes, test.at);
  return {
    name: basename(train.at.file),
    shape,
    classes,
    validation: heldOutOf(reader, validation, train.records.count),
    train_images: train.records.count,
    test_images: test?.records.count ?? 0,
    seed: null,
    records: {
      files: train.sources,
      label_bytes: labelBytes,
      ...(names === null ? {} : { classes: names }),
      ...(test === null ? {} : { test: test.sources }),
    },
  };
}

interface ReadFiles {
  readonly sources: readonly OwnFileSource[];
  readonly records: Records;
  /** Of the first file. */
  readonly at: Place;
}

/** A path, or a list of them. */
function readFiles(
  reader: Reader,
  node: FileNode,
  path: string,
  files: OwnFiles,
  { shape, labelBytes }: { readonly shape: DatasetSpec["shape"]; readonly labelBytes: number },
): ReadFiles {
  const what = "the path of a file of records, or a list of such paths";
  const nodes = node.kind === "list" ? node.items : [node];
  if (nodes.length < 1 || nodes.length > MAX_FILES) throw reader.unexpected(node, path, `1 to ${MAX_FILES} paths`);
  const sources: OwnFileSource[] = [];
  const parts: Records[] = [];
  let left = MAX_BYTES;
  for (const [i, one] of nodes.entries()) {
    const here = node.kind === "list" ? `${path}[${i}]` : path;
    const { path: file, bytes } = files.read(reader.text(one, here, what), left);
    left -= bytes.length;
    sources.push({ path: file, sha256: createHash("sha256").update(bytes).digest("hex") });
    try {
      parts.push(parseOwnRecords(bytes, shape, labelBytes));
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw reader.error(one.at, here, `${file}: ${cause.message}`);
    }
  }
  return { sources, records: joinRecords(parts), at: { node, path, file: sources[0]?.path ?? "" } };
}

/** `[3, 32, 32]`: 1 or 3 channels, rows, columns. */
function shapeOf(reader: Reader, node: FileNode | undefined): DatasetSpec["shape"] {
  if (node === undefined) return CIFAR_SHAPE;
  const path = "dataset.shape";
  const what = "three whole numbers: channels, rows, columns";
  const [channels, rows, columns, more] = reader.list(node, path, what);
  if (channels === undefined || rows === undefined || columns === undefined || more !== undefined) {
    throw reader.unexpected(node, path, what);
  }
  const count = reader.whole(channels, `${path}[0]`, { min: 1, max: 3 });
  if (count === 2) throw reader.unexpected(channels, `${path}[0]`, "1 channel (grey) or 3 (red, green, blue)");
  const side = { min: 1, max: MAX_SIDE };
  return [count, reader.whole(rows, `${path}[1]`, side), reader.whole(columns, `${path}[2]`, side)];
}
