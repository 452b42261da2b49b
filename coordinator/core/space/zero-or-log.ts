/** Zero with probability p, else log-uniform: a regularisation strength that may be off. */
import type { Rng } from "../rng.js";
import { drawLogUniform } from "./uniform.js";

export function drawZeroOrLog(rng: Rng, p: number, min: number, max: number): number {
  return rng.f64() < p ? 0 : drawLogUniform(rng, min, max, null, false);
}
