/** Random search: every trial draws from the space by itself. Never exhausted. Takes no options. */
import { drawParameters } from "../space/draw.js";
import type { Sampler } from "./sampler.js";

export const randomSampler: Sampler = {
  check: () => null,
  suggest: ({ space, rng, state }) => ({ kind: "params", parameters: drawParameters(space, rng), state }),
};
