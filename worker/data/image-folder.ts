/**
 * A folder of images by class as the engine takes it.
 *
 * Guarantees: the files are those that the recipe was made from, to the byte, or they are refused; images stand in the order of
 * `orderOf`, as those of array files do.
 */
import { type ImageFolder, readImageFolder, readTestFolder } from "../../native/image-folder.js";
import type { DatasetArrays } from "../../native/index.js";
import type { DatasetSpec, FolderSource, OwnFileSource } from "../../native/recipe.js";
import { ConvsweepError } from "../../proto/contract.js";
import { inOrder } from "./arrays.js";

/** Throws NOT_FOUND (no such folder here) or CORRUPT (other files than the sweep was made from). */
export function readFolder(spec: DatasetSpec, source: FolderSource): DatasetArrays {
  const size = source.size ?? null;
  const like = { classNames: source.classes, shape: spec.shape };
  const images = readSame(source, () => readImageFolder(source.path, size));
  const { test } = source;
  const testImages = test === undefined ? null : readSame(test, () => readTestFolder(test.path, size, like));
  return inOrder(spec, images, source.sha256, testImages);
}

function readSame({ path, sha256 }: OwnFileSource, read: () => ImageFolder): ImageFolder {
  let found: ImageFolder;
  try {
    found = read();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== "ENOENT") throw new ConvsweepError("CORRUPT", message, { path, cause });
    throw new ConvsweepError(
      "NOT_FOUND",
      `the folder ${path} is not on this machine; put the same files there, or a folder that all machines share`,
      { path, expected: `a folder of SHA-256 ${sha256}`, found: code, cause },
    );
  }
  if (found.sha256 === sha256) return found;
  throw new ConvsweepError("CORRUPT", `${path} holds other files than the sweep was made from: its SHA-256 differs`, {
    path,
    expected: sha256,
    found: found.sha256,
  });
}
