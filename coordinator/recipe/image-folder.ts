/**
 * A folder of images by class as a data set: `dataset: {folder: flowers}`.
 *
 * Guarantees: shape, names of the classes and a digest over all files stand in the spec, so that a worker can tell whether its own
 * folder is the same. Not here: reading it for training (worker/data/image-folder.ts).
 */
import { basename } from "node:path";
import { type ImageFolder, readImageFolder } from "../../native/image-folder.js";
import type { DatasetSpec } from "../../native/recipe.js";
import { heldOutOf } from "./arrays.js";
import type { OwnFiles } from "./own-files.js";
import type { FileNode, Reader } from "./reader.js";

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
  const given = reader.fields(node, "dataset", ["folder"]).get("folder")?.value ?? node;
  const path = files.resolve(reader.text(given, "dataset.folder", "the path of a folder"));
  let found: ImageFolder;
  try {
    found = readImageFolder(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (!(cause instanceof RangeError) && code === undefined) throw cause;
    throw reader.error(given.at, "dataset.folder", message);
  }
  const { shape, classNames, labels, sha256 } = found;
  return {
    name: basename(path),
    shape,
    classes: classNames.length,
    validation: heldOutOf(reader, validation, labels.length),
    train_images: labels.length,
    test_images: 0,
    seed: null,
    folder: { path, sha256, classes: classNames },
  };
}
