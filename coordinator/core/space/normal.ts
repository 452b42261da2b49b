/** Normal and log-normal draws. */
import type { Rng } from "../rng.js";
import { quantise } from "./quantise.js";

export function drawNormal(rng: Rng, mu: number, sigma: number, q: number | null, integer: boolean): number {
  return quantise(mu + sigma * rng.normal(), q, integer);
}

/** exp(N(mu, sigma)), held within the finite positive numbers. */
export function drawLogNormal(rng: Rng, mu: number, sigma: number, q: number | null, integer: boolean): number {
  const value = Math.exp(mu + sigma * rng.normal());
  return quantise(Math.min(Number.MAX_VALUE, Math.max(Number.MIN_VALUE, value)), q, integer);
}
