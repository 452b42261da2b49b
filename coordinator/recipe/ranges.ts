/**
 * Which values a distribution can give, and whether they suit what they are for.
 *
 * A bounded distribution that can leave the allowed range is an error; an unbounded one (normal, log-normal) whose tail
 * can is a warning, unless all of it is outside. Not here: reading distributions.
 */
import type { HyperparameterRange } from "../../native/hyperparameters.js";
import { quantise } from "../core/space/quantise.js";
import type { Distribution, ParameterValue } from "../core/types.js";
import type { Position, Reader } from "./reader.js";

interface Support {
  readonly low: number;
  readonly high: number;
  /** Tails without an end of their own. */
  readonly open: boolean;
}

/** Values that are not numbers are left to the caller. */
function supportOf(distribution: Distribution): Support {
  switch (distribution.kind) {
    case "constant":
    case "categorical": {
      const numbers = valuesOf(distribution).filter((value) => typeof value === "number");
      return { low: Math.min(...numbers), high: Math.max(...numbers), open: false };
    }
    case "int_uniform":
      return { low: distribution.min, high: distribution.max, open: false };
    case "uniform":
    case "log_uniform": {
      const { min, max, q } = distribution;
      return { low: quantise(min, q, false), high: quantise(max, q, false), open: false };
    }
    case "normal":
      return { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, open: true };
    case "log_normal":
      return { low: distribution.q === null ? Number.MIN_VALUE : 0, high: Number.POSITIVE_INFINITY, open: true };
    case "beta":
      return { low: 0, high: quantise(1, distribution.q, false), open: false };
    case "zero_or_log":
      return { low: distribution.p > 0 ? 0 : distribution.min, high: distribution.max, open: false };
  }
}

/** The finitely many values of a constant or a choice; none for others. */
export function valuesOf(distribution: Distribution): readonly ParameterValue[] {
  if (distribution.kind === "constant") return [distribution.value];
  return distribution.kind === "categorical" ? distribution.values : [];
}

export function rangeText({ low, high, openLow, openHigh }: HyperparameterRange): string {
  return `${openLow ? "above" : "from"} ${low} to ${openHigh ? "below " : ""}${high}`;
}

function contains({ low, high, openLow, openHigh }: HyperparameterRange, value: number): boolean {
  return (openLow ? value > low : value >= low) && (openHigh ? value < high : value <= high);
}

/** Throws or warns unless every value drawn is a number in the range. */
export function checkRange(
  reader: Reader,
  at: Position,
  path: string,
  distribution: Distribution,
  range: HyperparameterRange,
): void {
  const wrong = valuesOf(distribution).find((value) => typeof value !== "number");
  const expected = `numbers ${rangeText(range)}`;
  if (wrong !== undefined) {
    throw reader.error(
      at,
      path,
      `expected ${expected}, found ${JSON.stringify(wrong)}`,
      expected,
      JSON.stringify(wrong),
    );
  }
  const { low, high, open } = supportOf(distribution);
  if (contains(range, low) && contains(range, high)) return;
  const misses = high < range.low || low > range.high;
  if (open && !misses) {
    reader.warn(at, path, `some draws may fall outside of what is allowed (${rangeText(range)}); such trials fail`);
    return;
  }
  const found = low === high ? String(low) : `a distribution that gives ${low} to ${high}`;
  throw reader.error(at, path, `expected ${expected}, found ${found}`, expected, found);
}

/** Throws unless every value drawn is a whole number from `low` to `high`. */
export function checkWhole(
  reader: Reader,
  at: Position,
  path: string,
  distribution: Distribution,
  low: number,
  high: number,
): void {
  const expected = `whole numbers from ${low} to ${high}`;
  const fail = (found: string): never => {
    throw reader.error(at, path, `expected ${expected}, found ${found}`, expected, found);
  };
  for (const value of valuesOf(distribution)) if (!Number.isSafeInteger(value)) fail(JSON.stringify(value));
  const listed = distribution.kind === "constant" || distribution.kind === "categorical";
  const whole = listed || distribution.kind === "int_uniform" || ("integer" in distribution && distribution.integer);
  if (!whole) fail(`${distribution.kind}, which draws fractions (q: 1 makes them whole)`);
  const support = supportOf(distribution);
  if (support.low >= low && support.high <= high) return;
  fail(
    support.low === support.high ? String(support.low) : `a distribution that gives ${support.low} to ${support.high}`,
  );
}
