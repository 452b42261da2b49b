/**
 * What all images of one's own share: names of their classes, how many are held out, and that the test images are like the
 * others.
 */
import type { DatasetSpec } from "../../native/recipe.js";
import type { ConvsweepError } from "../../proto/contract.js";
import type { FileNode, Reader } from "./reader.js";

/** Where labels or images came from: the key that named them, and the file. */
export interface Place {
  readonly node: FileNode;
  readonly path: string;
  readonly file: string;
}

const MAX_CLASSES = 256;
const MAX_NAME = 200;
/** Share of the images held out where the file does not say. */
const HELD_OUT = 0.1;

/** How many of `count` images are for validation. */
export function heldOutOf(reader: Reader, validation: FileNode | undefined, count: number): number {
  if (validation === undefined) return Math.max(1, Math.floor(count * HELD_OUT));
  return reader.whole(validation, "validation", { min: 0, max: count - 1 });
}

/** `classes: [rose, tulip]`: a name for each label from 0, each of its own. `null` without the key. */
export function classNames(reader: Reader, node: FileNode | undefined): readonly string[] | null {
  if (node === undefined) return null;
  const path = "dataset.classes";
  const items = reader.list(node, path, "a list of names, one for each label from 0");
  if (items.length < 2 || items.length > MAX_CLASSES) {
    throw reader.unexpected(node, path, `2 to ${MAX_CLASSES} names, one for each label from 0`);
  }
  const names: string[] = [];
  for (const [i, item] of items.entries()) {
    const here = `${path}[${i}]`;
    const name = reader.text(item, here, "the name of a class");
    if (name.trim() === "" || name.length > MAX_NAME || /\p{Cc}/u.test(name)) {
      throw reader.unexpected(item, here, `a name of 1 to ${MAX_NAME} characters on one line`);
    }
    const same = names.indexOf(name);
    if (same >= 0) throw reader.unexpected(item, here, `a name of its own; class ${same} is called so already`);
    names.push(name);
  }
  return names;
}

/**
 * How many classes there are: as many as names, or as the largest label and one more. Throws where a label has no name, or
 * there is one class only; warns of a name without an image.
 */
export function countClasses(
  reader: Reader,
  labels: Uint8Array,
  names: readonly string[] | null,
  place: Place,
): number {
  if (names === null) {
    const largest = labels.reduce((most, label) => Math.max(most, label), 0);
    if (largest > 0) return largest + 1;
    throw refused(reader, place, "labels of at least two classes, from 0", "only 0");
  }
  checkLabels(reader, labels, names.length, place);
  const seen = new Set(labels);
  const without = names.filter((_, label) => !seen.has(label));
  if (without.length > 0) reader.warn(place.node.at, place.path, `no image is of ${without.join(", ")}`);
  return names.length;
}

/** Throws where a label is of no class. */
export function checkLabels(reader: Reader, labels: Uint8Array, classes: number, place: Place): void {
  const wrong = labels.findIndex((label) => label >= classes);
  if (wrong < 0) return;
  throw refused(reader, place, `labels from 0 to ${classes - 1}, a class each`, `${labels[wrong]} at ${wrong}`);
}

/** Throws where test images have other channels, rows or columns than those to train on. */
export function checkShape(
  reader: Reader,
  found: DatasetSpec["shape"],
  wanted: DatasetSpec["shape"],
  place: Place,
): void {
  if (found.join() === wanted.join()) return;
  throw refused(reader, place, `images of ${wanted.join("x")} as those to train on are`, found.join("x"));
}

export function refused(reader: Reader, { node, path, file }: Place, expected: string, found: string): ConvsweepError {
  return reader.error(node.at, path, `${file}: expected ${expected}, found ${found}`, expected, found);
}
