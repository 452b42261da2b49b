/**
 * What a trained network takes for what: counts of predicted against actual classes over the validation images.
 *
 * Guarantees: the counts' diagonal over their sum is the trial's val_accuracy to the bit: of equal logits the first class counts,
 * as in the engine. Pure.
 */
export interface Confusion {
  readonly classes: readonly string[];
  /** [predicted][actual] */
  readonly counts: readonly (readonly number[])[];
}

export interface ConfusedPair {
  readonly predicted: number;
  readonly actual: number;
  readonly count: number;
}

/** The class of the largest logit of each image; `logits` is [image][class]. */
export function predictedClasses(logits: Float32Array, classes: number): Uint8Array {
  return Uint8Array.from({ length: logits.length / classes }, (_, image) => {
    const first = image * classes;
    let best = 0;
    for (let c = 1; c < classes; c += 1) {
      if ((logits[first + c] ?? 0) > (logits[first + best] ?? 0)) best = c;
    }
    return best;
  });
}

export function confusionOf(predicted: Uint8Array, actual: Uint8Array, classes: readonly string[]): Confusion {
  const counts = classes.map(() => classes.map(() => 0));
  for (const [image, row] of predicted.entries()) {
    const counted = counts[row];
    const column = actual[image] ?? 0;
    if (counted !== undefined) counted[column] = (counted[column] ?? 0) + 1;
  }
  return { classes, counts };
}

/** Off the diagonal, most images first; of equal ones in the order of the classes. */
export function worstPairs({ counts }: Confusion, atMost: number): readonly ConfusedPair[] {
  return counts
    .flatMap((row, predicted) => row.map((count, actual) => ({ predicted, actual, count })))
    .filter(({ predicted, actual, count }) => predicted !== actual && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, atMost);
}

/** More columns do not fit a terminal. */
const TABLE_CLASSES = 20;
const PAIRS = 10;
const NAME_LENGTH = 10;

/** As people read it: the table, where it is not too wide, and the pairs confused most. */
export function describeConfusion(confusion: Confusion): string {
  const { classes, counts } = confusion;
  const total = counts.flat().reduce((sum, count) => sum + count, 0);
  const right = counts.reduce((sum, row, i) => sum + (row[i] ?? 0), 0);
  const lines = [`${right} of ${total} validation images right, ${((100 * right) / total).toFixed(2)} %`];
  if (classes.length <= TABLE_CLASSES) {
    const names = classes.map((name) => name.slice(0, NAME_LENGTH));
    const first = Math.max(9, ...names.map(({ length }) => length));
    const widths = names.map((name, i) => Math.max(name.length, ...counts.map((row) => String(row[i] ?? 0).length)));
    const line = (head: string, cells: readonly string[]): string =>
      [head.padEnd(first), ...cells.map((cell, i) => cell.padStart(widths[i] ?? 0))].join("  ");
    lines.push("", "rows: predicted, columns: actual", line("", names));
    for (const [i, row] of counts.entries()) {
      lines.push(
        line(
          names[i] ?? "",
          row.map((count) => (count === 0 ? "." : String(count))),
        ),
      );
    }
  }
  const pairs = worstPairs(confusion, PAIRS);
  if (pairs.length > 0) lines.push("", "confused most");
  for (const { predicted, actual, count } of pairs) {
    lines.push(`${String(count).padStart(6)}  ${classes[actual]} taken for ${classes[predicted]}`);
  }
  return `${lines.join("\n")}\n`;
}
