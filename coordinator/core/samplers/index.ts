/** Samplers by the name that a sweep's `method` gives. */
import { gridSampler } from "./grid.js";
import { randomSampler } from "./random.js";
import type { Sampler } from "./sampler.js";

export const SAMPLERS: ReadonlyMap<string, Sampler> = new Map([
  ["random", randomSampler],
  ["grid", gridSampler],
]);
