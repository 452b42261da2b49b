/**
 * Drawing the parameters of a trial from a space.
 *
 * Guarantees: each parameter draws from a generator of its own, named after it, so its value depends neither on the other
 * parameters of the space nor on which of them were given by hand. Not here: which trial gets them (samplers/).
 */
import type { Rng } from "../rng.js";
import type { Distribution, Parameters, ParameterValue, Space } from "../types.js";
import { drawBeta } from "./beta.js";
import { drawCategorical } from "./categorical.js";
import { drawLogNormal, drawNormal } from "./normal.js";
import { drawInteger, drawLogUniform, drawUniform } from "./uniform.js";
import { drawZeroOrLog } from "./zero-or-log.js";

/** Values for every parameter of the space, in its order; those in `given` are taken as they are. */
export function drawParameters(space: Space, rng: Rng, given: Parameters = {}): Parameters {
  return Object.fromEntries(
    space.map(({ name, distribution }) => {
      const own = Object.hasOwn(given, name) ? given[name] : undefined;
      return [name, own ?? draw(distribution, rng.fork(name))];
    }),
  );
}

export function draw(distribution: Distribution, rng: Rng): ParameterValue {
  switch (distribution.kind) {
    case "constant":
      return distribution.value;
    case "categorical":
      return drawCategorical(rng, distribution.values, distribution.probabilities);
    case "int_uniform":
      return drawInteger(rng, distribution.min, distribution.max);
    case "uniform":
      return drawUniform(rng, distribution.min, distribution.max, distribution.q, distribution.integer);
    case "log_uniform":
      return drawLogUniform(rng, distribution.min, distribution.max, distribution.q, distribution.integer);
    case "normal":
      return drawNormal(rng, distribution.mu, distribution.sigma, distribution.q, distribution.integer);
    case "log_normal":
      return drawLogNormal(rng, distribution.mu, distribution.sigma, distribution.q, distribution.integer);
    case "beta":
      return drawBeta(rng, distribution.a, distribution.b, distribution.q, distribution.integer);
    case "zero_or_log":
      return drawZeroOrLog(rng, distribution.p, distribution.min, distribution.max);
  }
}
