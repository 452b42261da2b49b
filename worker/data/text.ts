/**
 * A text file as the engine takes it: the numbers of its characters.
 *
 * Guarantees: the file is the one that the recipe was made from, to the byte, or it is refused. Does not choose windows:
 * the engine takes them one after another.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { numberText, windowsOf } from "../../native/datasets.js";
import type { DatasetArrays } from "../../native/index.js";
import type { DatasetSpec, TextSource } from "../../native/recipe.js";
import { ConvsweepError } from "../../proto/contract.js";

/** Throws NOT_FOUND (no such file here) or CORRUPT (another file than the sweep was made from). */
export async function readText(spec: DatasetSpec, source: TextSource): Promise<DatasetArrays> {
  const { path, sha256, characters } = source;
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unreadable";
    throw new ConvsweepError(
      "NOT_FOUND",
      `the text ${path} is not on this machine (${why}); put the same file there, or a folder that all machines share`,
      { path, expected: `a file of SHA-256 ${sha256}`, found: why, cause },
    );
  }
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== sha256) {
    throw new ConvsweepError("CORRUPT", `${path} is not the text that the sweep was made from: its SHA-256 differs`, {
      path,
      expected: sha256,
      found,
    });
  }
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
