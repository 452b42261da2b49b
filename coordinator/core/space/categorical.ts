/** Draws of one value among several. */
import type { Rng } from "../rng.js";
import type { ParameterValue } from "../types.js";

/** `probabilities` null for equal ones; they sum to one. `values` is not empty. */
export function drawCategorical(
  rng: Rng,
  values: readonly ParameterValue[],
  probabilities: readonly number[] | null,
): ParameterValue {
  const u = rng.f64();
  const index = probabilities === null ? Math.floor(u * values.length) : pick(u, probabilities);
  const value = values[index];
  if (value === undefined) throw new RangeError("a categorical parameter has no values");
  return value;
}

/** The last member that can be drawn takes what rounding leaves of the sum. */
function pick(u: number, probabilities: readonly number[]): number {
  let sum = 0;
  let last = 0;
  for (const [index, probability] of probabilities.entries()) {
    if (probability <= 0) continue;
    sum += probability;
    last = index;
    if (u < sum) return index;
  }
  return last;
}
