/**
 * Axes: where a value stands between 0 and 1, and which ticks to write. Pure.
 *
 * A logarithmic axis over values that include zero (`zero_or_log`) is broken: zeros stand on their own near 0, the
 * positive values fill `BREAK` .. 1. Values that an axis cannot show are `null`, never at a wrong place.
 */

export interface Range {
  /** Smallest and largest finite value; for a logarithmic axis of the positive ones. */
  readonly min: number;
  readonly max: number;
  readonly hasZero: boolean;
  readonly hasNegative: boolean;
}

export interface Tick {
  /** 0 .. 1 */
  readonly at: number;
  readonly label: string;
}

export interface Axis {
  readonly kind: "linear" | "log";
  /** Where the break is drawn, `null` on an axis without one. */
  readonly breakAt: number | null;
  place(value: number): number | null;
  ticks(most: number): readonly Tick[];
}

const BREAK = 0.12;
const ZERO_AT = 0.03;
/** Room at both ends, so that no point sits on the frame. */
const MARGIN = 0.03;
/** Smallest power of ten written out on a logarithmic axis, where 0.01 beside 1e−3 would read unevenly. */
const PLAIN_LOG = 0.1;

export function rangeOf(values: Iterable<number>): Range {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let minPositive = Number.POSITIVE_INFINITY;
  let hasZero = false;
  let hasNegative = false;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value === 0) hasZero = true;
    if (value < 0) hasNegative = true;
    if (value > 0 && value < minPositive) minPositive = value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (!hasNegative && minPositive !== Number.POSITIVE_INFINITY) min = minPositive;
  return { min, max, hasZero, hasNegative };
}

/** `null` if there is nothing to show. A logarithmic axis is wished for; negative values make it linear. */
export function makeAxis(range: Range, wish: "linear" | "log"): Axis | null {
  if (range.min > range.max) return null;
  if (wish === "log" && !range.hasNegative && range.max > 0) return logAxis(range);
  return linearAxis(
    range.hasZero ? Math.min(0, range.min) : range.min,
    range.hasZero ? Math.max(0, range.max) : range.max,
  );
}

function linearAxis(low: number, high: number): Axis {
  const widen = high > low ? 0 : Math.max(Math.abs(low) * 0.1, 1e-9);
  const min = low - widen;
  const max = high + widen;
  const place = (value: number): number | null =>
    Number.isFinite(value) ? MARGIN + ((value - min) / (max - min)) * (1 - 2 * MARGIN) : null;
  return {
    kind: "linear",
    breakAt: null,
    place,
    ticks: (most) => placed(linearTicks(min, max, most), place),
  };
}

function logAxis(range: Range): Axis {
  // Two neighbouring numbers may have the same logarithm.
  const widen = Math.log10(range.max) - Math.log10(range.min) > 1e-9 ? 1 : 2;
  const low = Math.log10(range.min / widen);
  const high = Math.log10(range.max * widen);
  const start = range.hasZero ? BREAK : MARGIN;
  const place = (value: number): number | null => {
    if (value === 0) return range.hasZero ? ZERO_AT : null;
    if (!(value > 0) || !Number.isFinite(value)) return null;
    return start + ((Math.log10(value) - low) / (high - low)) * (1 - MARGIN - start);
  };
  return {
    kind: "log",
    breakAt: range.hasZero ? BREAK / 1.6 : null,
    place,
    ticks: (most) =>
      placed([...(range.hasZero ? [0] : []), ...logTicks(10 ** low, 10 ** high, most)], place, PLAIN_LOG),
  };
}

/** Round values within [min, max]: steps of 1, 2 or 5 times a power of ten, at most `most` of them. */
export function linearTicks(min: number, max: number, most: number): readonly number[] {
  const rough = (max - min) / Math.max(1, most - 1);
  if (!(rough > 0) || !Number.isFinite(rough)) return [min];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10);
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  // Divided, not multiplied, below one: 3 / 10 is 0.3, 3 * 0.1 is not.
  const value = (i: number) => (step < 1 ? i / Math.round(1 / step) : i * step);
  return Array.from({ length: last - first + 1 }, (_, i) => value(first + i));
}

/** Powers of ten within [min, max]; every n-th when there are many, also twos and fives when there are few. */
export function logTicks(min: number, max: number, most: number): readonly number[] {
  const first = Math.ceil(Math.log10(min) - 1e-9);
  const last = Math.floor(Math.log10(max) + 1e-9);
  const decades = last - first + 1;
  if (decades >= 2) {
    const every = Math.ceil(decades / Math.max(1, most));
    return Array.from({ length: Math.ceil(decades / every) }, (_, i) => tenTo(first + i * every));
  }
  const fine: number[] = [];
  for (let decade = first - 1; decade <= last; decade++) {
    for (const factor of [1, 2, 5]) {
      const value = decade < 0 ? factor / tenTo(-decade) : factor * tenTo(decade);
      if (value >= min * (1 - 1e-9) && value <= max * (1 + 1e-9)) fine.push(value);
    }
  }
  return fine.length >= 2 && fine.length <= most ? fine : linearTicks(min, max, most);
}

function tenTo(power: number): number {
  return Number(`1e${power}`);
}

function placed(
  values: readonly number[],
  place: (value: number) => number | null,
  plainFrom?: number,
): readonly Tick[] {
  return values.flatMap((value) => {
    const at = place(value);
    return at === null || at < 0 || at > 1 ? [] : [{ at, label: tickLabel(value, plainFrom) }];
  });
}

/** Short: `0`, `0.02`, `150`, `1e−4`; an exponent below `plainFrom`. */
export function tickLabel(value: number, plainFrom = 0.001): string {
  const size = Math.abs(value);
  if (size === 0 || (size >= plainFrom * (1 - 1e-9) && size < 1e5))
    return String(Number(value.toPrecision(4))).replace("-", "−");
  return value
    .toExponential(3)
    .replace(/\.?0+e/, "e")
    .replace("e+", "e")
    .replaceAll("-", "−");
}
