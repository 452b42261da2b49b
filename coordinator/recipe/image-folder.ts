/**
 * A folder of images by class as a data set: `dataset: {folder: flowers, size: 32}`, perhaps with `test: more-flowers`.
 *
 * Guarantees: shape, names of the classes and a digest over all files stand in the spec, so that a worker can tell whether its own
 * folder is the same. Not here: reading it for training (worker/data/image-folder.ts).
 */
import { basename } from "node:path";
import { type ImageFolder, readImageFolder, readTestFolder, type Size } from "../../native/image-folder.js";
import type { DatasetSpec } from "../../native/recipe.js";
import type { OwnFiles } from "./own-files.js";
import { heldOutOf } from "./own-images.js";
import type { FileNode, Reader } from "./reader.js";

const MAX_SIDE = 4_096;

/** Whether a data set is given as a folder. */
export function isFolder(node: FileNode): boolean {
  return node.kind === "map" && node.entries.some(({ key }) => key === "folder");
}

export function compileFolder(
  reader: Reader,
  node: FileNode,
  validation: FileNode | undefined,
  files: OwnFiles,
): DatasetSpec {
  const fields = reader.fields(node, "dataset", ["folder", "size", "test"]);
  const given = fields.get("folder")?.value ?? node;
  const size = sizeOf(reader, fields.get("size")?.value);
  const read = (folder: FileNode, key: string, like: ImageFolder | null) => {
    const path = files.resolve(reader.text(folder, key, "the path of a folder"));
    try {
      const found = like === null ? readImageFolder(path, size) : readTestFolder(path, size, like);
      return { path, found };
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (!(cause instanceof RangeError) && code === undefined) throw cause;
      throw reader.error(folder.at, key, message);
    }
  };
  const { path, found } = read(given, "dataset.folder", null);
  const { shape, classNames, labels, sha256 } = found;
  const testNode = fields.get("test")?.value;
  const test = testNode === undefined ? null : read(testNode, "dataset.test", found);
  return {
    name: basename(path),
    shape,
    classes: classNames.length,
    validation: heldOutOf(reader, validation, labels.length),
    train_images: labels.length,
    test_images: test?.found.labels.length ?? 0,
    seed: null,
    folder: {
      path,
      sha256,
      classes: classNames,
      ...(size === null ? {} : { size }),
      ...(test === null ? {} : { test: { path: test.path, sha256: test.found.sha256 } }),
    },
  };
}

/** `32`, or `[rows, columns]`. */
function sizeOf(reader: Reader, node: FileNode | undefined): Size | null {
  if (node === undefined) return null;
  const side = (one: FileNode, path: string): number => reader.whole(one, path, { min: 1, max: MAX_SIDE });
  if (node.kind !== "list") {
    const both = side(node, "dataset.size");
    return [both, both];
  }
  const [rows, columns, more] = node.items;
  if (rows === undefined || columns === undefined || more !== undefined) {
    throw reader.error(node.at, "dataset.size", "size is a number of pixels or [rows, columns]", "[rows, columns]");
  }
  return [side(rows, "dataset.size[0]"), side(columns, "dataset.size[1]")];
}
