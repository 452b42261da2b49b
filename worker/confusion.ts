/**
 * What a trained network takes for what: counts of predicted against actual classes over images that were measured.
 *
 * Guarantees: the counts' diagonal over their sum is the trial's val_accuracy, or test_accuracy, to the bit: of equal logits the
 * first class counts, as in the engine. Pure. Not here: the file's form (proto/confusion.ts), how people see it.
 */
import type { Confusion, ConfusionOf } from "../proto/confusion.js";

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

export function confusionOf(
  of: ConfusionOf,
  predicted: Uint8Array,
  actual: Uint8Array,
  classes: readonly string[],
): Confusion {
  const counts = classes.map(() => classes.map(() => 0));
  for (const [image, row] of predicted.entries()) {
    const counted = counts[row];
    const column = actual[image] ?? 0;
    if (counted !== undefined) counted[column] = (counted[column] ?? 0) + 1;
  }
  return { version: 1, of, classes, counts };
}
