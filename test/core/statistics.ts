/**
 * Exact distribution functions and tests of fit, by other formulas than the ones that draw.
 *
 * Sources: Abramowitz and Stegun 7.1 (erf by series and continued fraction), 26.5 and Lentz's method (incomplete beta),
 * Kolmogorov's limit distribution, Wilson and Hilferty's approximation of chi-square quantiles.
 */

/** Draws this unlikely would fail a test of fit; seeds are fixed, so a test that passes once passes always. */
const SIGNIFICANCE_Z = 3.09; // one in a thousand, one-sided
const KOLMOGOROV = 1.95; // 2 * exp(-2 * 1.95^2) = one in a thousand

export type Cdf = (x: number) => number;

/** sqrt(n) * D over its critical value; above 1 the sample does not fit. */
export function kolmogorovSmirnov(sample: readonly number[], cdf: Cdf): number {
  const sorted = [...sample].sort((a, b) => a - b);
  const n = sorted.length;
  let worst = 0;
  for (const [index, x] of sorted.entries()) {
    const f = cdf(x);
    worst = Math.max(worst, Math.abs(f - index / n), Math.abs((index + 1) / n - f));
  }
  return (Math.sqrt(n) * worst) / KOLMOGOROV;
}

/** Pearson's statistic over its critical value. Classes expected fewer than 5 times are joined with their neighbour. */
export function chiSquare(counts: readonly number[], probabilities: readonly number[]): number {
  const n = counts.reduce((a, b) => a + b, 0);
  const classes: { observed: number; expected: number }[] = [];
  let open = { observed: 0, expected: 0 };
  for (const [index, probability] of probabilities.entries()) {
    open = { observed: open.observed + (counts[index] ?? 0), expected: open.expected + n * probability };
    if (open.expected < 5) continue;
    classes.push(open);
    open = { observed: 0, expected: 0 };
  }
  const last = classes.at(-1);
  if (last !== undefined) {
    last.observed += open.observed;
    last.expected += open.expected;
  }
  const statistic = classes.reduce((sum, { observed, expected }) => sum + (observed - expected) ** 2 / expected, 0);
  const k = classes.length - 1;
  const critical = k * (1 - 2 / (9 * k) + SIGNIFICANCE_Z * Math.sqrt(2 / (9 * k))) ** 3;
  return statistic / critical;
}

/** How often each of `values` occurs; throws on any other value. */
export function tally<T>(sample: readonly T[], values: readonly T[]): number[] {
  const counts = new Map(values.map((value) => [value, 0]));
  for (const value of sample) {
    const count = counts.get(value);
    if (count === undefined) throw new Error(`${String(value)} cannot occur`);
    counts.set(value, count + 1);
  }
  return [...counts.values()];
}

export function uniformCdf(min: number, max: number): Cdf {
  return (x) => Math.min(1, Math.max(0, (x - min) / (max - min)));
}

export function logUniformCdf(min: number, max: number): Cdf {
  const inner = uniformCdf(Math.log(min), Math.log(max));
  return (x) => (x <= 0 ? 0 : inner(Math.log(x)));
}

export function normalCdf(mu: number, sigma: number): Cdf {
  return (x) => 0.5 * erfc((mu - x) / sigma / Math.SQRT2);
}

export function logNormalCdf(mu: number, sigma: number): Cdf {
  const inner = normalCdf(mu, sigma);
  return (x) => (x <= 0 ? 0 : inner(Math.log(x)));
}

export function betaCdf(a: number, b: number): Cdf {
  return (x) => (x <= 0 ? 0 : x >= 1 ? 1 : incompleteBeta(x, a, b));
}

/** Of round(X / q) * q: the probability of the multiple k * q. */
export function quantisedProbability(cdf: Cdf, q: number, k: number): number {
  return cdf((k + 0.5) * q) - cdf((k - 0.5) * q);
}

function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 80; n++) {
      term *= -(x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

function logGammaFunction(x: number): number {
  // Stirling's series, after shifting the argument to where it is good to 1e-15.
  let shift = 0;
  let y = x;
  while (y < 12) shift += Math.log(y++);
  const r = 1 / (y * y);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / y;
  return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

function incompleteBeta(x: number, a: number, b: number): number {
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGammaFunction(a + b) - logGammaFunction(a) - logGammaFunction(b) + a * Math.log(x) + b * Math.log(1 - x),
  );
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1));
  let h = d;
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    h *= d * c;
  }
  return (front * h) / a;
}
