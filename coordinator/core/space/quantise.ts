/**
 * Rounding to multiples, as W&B does it: `round(x / q) * q` with halves to the even multiple, anchored at zero and never
 * clipped, so a value may leave [min, max] by up to q / 2.
 */

/** Halves go to the even neighbour (as numpy's and Python's `round`). */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** `q` null leaves the value as it is; `integer` makes it whole. Never answers negative zero, which JSON cannot keep. */
export function quantise(x: number, q: number | null, integer: boolean): number {
  const multiple = q === null ? x : roundHalfEven(x / q) * q;
  const value = Number.isFinite(multiple) ? multiple : x;
  const whole = integer ? Math.trunc(value) : value;
  return whole === 0 ? 0 : whole;
}
