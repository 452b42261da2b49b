/** Durations as people write them: `90s`, `30m`, `1h30m`, `2d`. Milliseconds out; `null` if it is not a duration. */

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function parseDuration(text: string): number | null {
  const compact = text.replaceAll(" ", "");
  if (!/^(?:[0-9]+(?:\.[0-9]+)?(?:ms|[dhms]))+$/.test(compact)) return null;
  let millis = 0;
  let smallest = Number.POSITIVE_INFINITY;
  for (const [, count = "", unit = ""] of compact.matchAll(/([0-9.]+)(ms|[dhms])/g)) {
    const size = UNITS[unit] ?? 0;
    // Larger units first, each once: `30m1h` is more likely a slip than an intention.
    if (size >= smallest) return null;
    smallest = size;
    millis += Number(count) * size;
  }
  return Number.isSafeInteger(Math.round(millis)) ? Math.round(millis) : null;
}
