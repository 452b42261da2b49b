/** The data sets that can be named in a sweep file, as data. Loading them is the worker's (worker/data). */
import type { DatasetSpec } from "./recipe.js";

export interface DatasetInfo extends DatasetSpec {
  readonly summary: string;
}

const digits = {
  shape: [1, 28, 28],
  classes: 10,
  validation: 5_000,
  train_images: 60_000,
  test_images: 10_000,
  seed: null,
} as const;
const colour = {
  shape: [3, 32, 32],
  validation: 1_000,
  train_images: 50_000,
  test_images: 10_000,
  seed: null,
} as const;

export const datasets: readonly DatasetInfo[] = [
  {
    name: "synthetic-digits",
    shape: [1, 28, 28],
    classes: 10,
    validation: 1_000,
    train_images: 10_000,
    test_images: 2_000,
    seed: 1,
    summary: "generated digits, nothing to download",
  },
  { name: "mnist", ...digits, summary: "handwritten digits (LeCun, Cortes, Burges 1998)" },
  { name: "fashion-mnist", ...digits, summary: "clothes (Xiao, Rasul, Vollgraf 2017)" },
  { name: "cifar10", ...colour, classes: 10, summary: "small colour images, 10 classes (Krizhevsky 2009)" },
  { name: "cifar100", ...colour, classes: 100, summary: "small colour images, 100 fine classes (Krizhevsky 2009)" },
];

/** The data set of that name as a recipe holds it. */
export function findDataset(name: string): DatasetSpec | null {
  const info = datasets.find((entry) => entry.name === name);
  if (!info) return null;
  const { summary: _, ...spec } = info;
  return spec;
}

const CLASS_NAMES: Readonly<Record<string, readonly string[]>> = {
  "fashion-mnist": [
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
  ],
  cifar10: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
};

/** What the classes are called, in the order of their numbers; the numbers themselves where nobody named them. */
export function classNamesOf({ name, classes, folder, arrays, records }: DatasetSpec): readonly string[] {
  const names = (folder ?? arrays ?? records)?.classes ?? CLASS_NAMES[name];
  return names?.length === classes ? names : Array.from({ length: classes }, (_, number) => String(number));
}

/** More would not fit the bytes that the engine keeps characters in. */
export const MAX_CHARACTERS = 256;

/** Each character of a text once, in ascending order of code points: its place is its number. */
export function charactersOf(text: string): string {
  return [...new Set(text)].sort((a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0)).join("");
}

/** How many whole windows of `steps` characters a text of `length` has, each character followed by another one. */
export function windowsOf(length: number, steps: number): number {
  return Math.max(0, Math.floor((length - 1) / steps));
}

/** Numbers of the characters. Throws RangeError for one that is not among them. */
export function numberText(text: string, characters: string): Uint8Array {
  const numbers = new Map([...characters].map((character, number) => [character, number]));
  return Uint8Array.from(text, (character) => {
    const number = numbers.get(character);
    if (number === undefined) throw new RangeError(`${JSON.stringify(character)} is not a character of the text`);
    return number;
  });
}

/** The other way round. */
export function textOfNumbers(numbers: Uint8Array, characters: string): string {
  const known = [...characters];
  return Array.from(numbers, (number) => known[number] ?? "\u{fffd}").join("");
}
