/**
 * Beta draws, as a ratio of two gamma draws (Marsaglia and Tsang: "A simple method for generating gamma variables", ACM
 * TOMS 26, 2000). Kept in logarithms: for small shapes both gammas underflow long before their ratio does.
 */
import type { Rng } from "../rng.js";
import { quantise } from "./quantise.js";

/** a, b > 0. */
export function drawBeta(rng: Rng, a: number, b: number, q: number | null, integer: boolean): number {
  const x = logGamma(rng, a);
  const y = logGamma(rng, b);
  return quantise(1 / (1 + Math.exp(y - x)), q, integer);
}

/** Logarithm of a draw from Gamma(shape, 1). Shapes below one are boosted: G(a) = G(a + 1) * U^(1/a). */
function logGamma(rng: Rng, shape: number): number {
  if (shape < 1) return logGamma(rng, shape + 1) + Math.log(rng.open()) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = rng.normal();
    const root = 1 + c * x;
    if (root <= 0) continue;
    const v = root * root * root;
    if (Math.log(rng.open()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d) + Math.log(v);
  }
}
