/**
 * The confusion matrix of a trial as a file: the worker writes it, the terminal and the page read it. Imports nothing.
 *
 * Guarantees: what is read is a whole matrix of a version known here; anything else is `null`.
 */

/** Which images were looked at. */
export type ConfusionOf = "validation" | "test";

export interface Confusion {
  readonly version: 1;
  readonly of: ConfusionOf;
  /** Names, in the order of the rows and columns. */
  readonly classes: readonly string[];
  /** Images: [predicted][actual]. */
  readonly counts: readonly (readonly number[])[];
}

export interface ConfusedPair {
  readonly predicted: number;
  readonly actual: number;
  readonly count: number;
}

/** What a trial's files are called. */
export const CONFUSION_FILES: Readonly<Record<ConfusionOf, string>> = {
  validation: "confusion",
  test: "test-confusion",
};

export function isConfusionFile(name: string, mediaType: string): boolean {
  return mediaType === "application/json" && Object.values(CONFUSION_FILES).includes(name);
}

export function parseConfusion(text: string): Confusion | null {
  try {
    return readConfusion(JSON.parse(text));
  } catch {
    return null;
  }
}

/** `value`: the file's JSON. */
export function readConfusion(value: unknown): Confusion | null {
  const { version, of, classes, counts } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const count = (one: unknown): boolean => Number.isSafeInteger(one) && (one as number) >= 0;
  if (version !== 1 || (of !== "validation" && of !== "test") || !Array.isArray(classes) || !Array.isArray(counts)) {
    return null;
  }
  const whole =
    classes.length > 0 &&
    classes.every((name) => typeof name === "string") &&
    counts.length === classes.length &&
    counts.every((row) => Array.isArray(row) && row.length === classes.length && row.every(count));
  return whole ? { version, of, classes, counts } : null;
}

/** All images, and those on the diagonal. */
export function tallyOf({ counts }: Confusion): { readonly images: number; readonly right: number } {
  const images = counts.flat().reduce((sum, count) => sum + count, 0);
  return { images, right: counts.reduce((sum, row, i) => sum + (row[i] ?? 0), 0) };
}

/** Off the diagonal, most images first; of equal ones in the order of the classes. */
export function worstPairs({ counts }: Confusion, atMost: number): readonly ConfusedPair[] {
  return counts
    .flatMap((row, predicted) => row.map((count, actual) => ({ predicted, actual, count })))
    .filter(({ predicted, actual, count }) => predicted !== actual && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, atMost);
}
