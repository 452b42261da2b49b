/** The vertical range of curves: a few wild values must not flatten the rest. Pure. */

/** From the 5 % to the 95 % quantile and as much again on both sides, where there are values. */
export function valueRange(values: readonly number[]): [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const spread = at(0.95) - at(0.05);
  const low = spread > 0 ? Math.max(at(0), at(0.05) - spread) : at(0);
  const high = spread > 0 ? Math.min(at(1), at(0.95) + spread) : at(1);
  const room = high > low ? (high - low) * 0.06 : Math.max(Math.abs(high) * 0.05, 1e-6);
  return [low - room, high + room];
}
