/**
 * A text file as a data set: `dataset: {text: shakespeare.txt, sequence: 64}`.
 *
 * Guarantees: everything that training needs to know of the file (its digest, its characters, how many windows it has)
 * stands in the spec, so that a worker can tell whether its own file is the same. Not here: reading it for training
 * (worker/data/text.ts).
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { charactersOf, MAX_CHARACTERS, windowsOf } from "../../native/datasets.js";
import type { DatasetSpec } from "../../native/recipe.js";
import type { OwnFiles } from "./own-files.js";
import type { FileNode, Reader } from "./reader.js";

const SEQUENCE = 64;
const MAX_SEQUENCE = 4_096;
const MAX_BYTES = 256 * 1024 * 1024;
/** Share of the windows held out where the file does not say. */
const HELD_OUT = 0.05;

/** Whether a data set is given as a text file. */
export function isText(node: FileNode): boolean {
  return node.kind === "map" && node.entries.some((entry) => entry.key === "text");
}

export function compileText(
  reader: Reader,
  node: FileNode,
  validation: FileNode | undefined,
  files: OwnFiles,
): DatasetSpec {
  const fields = reader.fields(node, "dataset", ["text", "sequence"]);
  const given = fields.get("text")?.value ?? node;
  const steps = fields.get("sequence")?.value;
  const sequence = steps ? reader.whole(steps, "dataset.sequence", { min: 2, max: MAX_SEQUENCE }) : SEQUENCE;
  const file = files.read(reader.text(given, "dataset.text", "the path of a text file"), MAX_BYTES);
  const refuse = (expected: string, found: string) =>
    reader.error(given.at, "dataset.text", `${file.path}: expected ${expected}, found ${found}`, expected, found);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(file.bytes);
  } catch {
    throw refuse("text in UTF-8", "other bytes");
  }
  const characters = charactersOf(text);
  const classes = [...characters].length;
  if (classes < 2 || classes > MAX_CHARACTERS) {
    throw refuse(`2 to ${MAX_CHARACTERS} different characters`, String(classes));
  }
  const windows = windowsOf([...text].length, sequence);
  if (windows < 2) throw refuse(`more than ${2 * sequence} characters`, String([...text].length));
  return {
    name: basename(file.path),
    shape: [1, 1, sequence],
    classes,
    validation:
      validation === undefined
        ? Math.max(1, Math.floor(windows * HELD_OUT))
        : reader.whole(validation, "validation", { min: 0, max: windows - 1 }),
    train_images: windows,
    test_images: 0,
    seed: null,
    text: { path: file.path, sha256: createHash("sha256").update(file.bytes).digest("hex"), characters },
  };
}
