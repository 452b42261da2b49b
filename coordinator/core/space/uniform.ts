/** Uniform draws: over reals, over whole numbers (both ends included), over logarithms. */
import type { Rng } from "../rng.js";
import { quantise } from "./quantise.js";

/** min <= x < max before quantising. */
export function drawUniform(rng: Rng, min: number, max: number, q: number | null, integer: boolean): number {
  return quantise(clamp(min + rng.f64() * (max - min), min, max), q, integer);
}

/** Every whole number from min to max, both included, equally likely. */
export function drawInteger(rng: Rng, min: number, max: number): number {
  return Math.min(max, min + Math.floor(rng.f64() * (max - min + 1)));
}

/** exp(U(ln min, ln max)); min > 0. Rounding of exp and log never carries the value out of [min, max]. */
export function drawLogUniform(rng: Rng, min: number, max: number, q: number | null, integer: boolean): number {
  const low = Math.log(min);
  const value = Math.exp(low + rng.f64() * (Math.log(max) - low));
  return quantise(clamp(value, min, max), q, integer);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
