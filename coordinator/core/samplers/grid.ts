/**
 * Grid search in W&B's order: parameters sorted by name, the last one changing fastest.
 *
 * Takes constant, categorical (without probabilities), int_uniform (both ends) and q_uniform, whose values are
 * `min, min + q, ...` with max left out (numpy's arange). The state is the index of the next point. Takes no options.
 */
import type { ErrorData } from "../../../proto/contract.js";
import type { Distribution, ParameterValue, Space } from "../types.js";
import type { Sampler } from "./sampler.js";

interface Axis {
  readonly name: string;
  readonly size: number;
  at(index: number): ParameterValue;
}

export const gridSampler: Sampler = {
  check(space) {
    for (const { name, distribution } of space) {
      const found = axisOf(name, distribution);
      if (found === null) return refusal(name, distribution);
    }
    return null;
  },

  suggest({ space, state }) {
    const index = typeof state === "number" ? state : 0;
    const axes = axesOf(space);
    let rest = index;
    const drawn = new Map<string, ParameterValue>();
    for (const axis of axes.toReversed()) {
      drawn.set(axis.name, axis.at(rest % axis.size));
      rest = Math.floor(rest / axis.size);
    }
    if (rest > 0) return { kind: "exhausted" };
    const parameters = Object.fromEntries(space.map(({ name }) => [name, drawn.get(name) ?? 0]));
    return { kind: "params", parameters, state: index + 1 };
  },
};

/** Points of the grid; may exceed 2^53, then it is only near. */
export function gridSize(space: Space): number {
  return axesOf(space).reduce((size, axis) => size * axis.size, 1);
}

function axesOf(space: Space): readonly Axis[] {
  return space
    .map(({ name, distribution }) => {
      const axis = axisOf(name, distribution);
      if (axis === null) throw new TypeError(`parameter ${name} has no grid`);
      return axis;
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function axisOf(name: string, distribution: Distribution): Axis | null {
  switch (distribution.kind) {
    case "constant":
      return { name, size: 1, at: () => distribution.value };
    case "categorical": {
      const { values, probabilities } = distribution;
      if (probabilities !== null) return null;
      return { name, size: values.length, at: (index) => values[index] ?? 0 };
    }
    case "int_uniform": {
      const { min, max } = distribution;
      return { name, size: max - min + 1, at: (index) => min + index };
    }
    case "uniform": {
      const { min, max, q, integer } = distribution;
      if (q === null) return null;
      // arange's step is the difference of its first two members, not q itself; both in double precision.
      const step = min + q - min;
      const size = Math.max(1, Math.ceil((max - min) / q));
      return { name, size, at: (index) => whole(index < 2 ? min + index * q : min + index * step, integer) };
    }
    default:
      return null;
  }
}

function whole(value: number, integer: boolean): number {
  return integer ? Math.round(value) : value;
}

function refusal(name: string, distribution: Distribution): ErrorData {
  const weighted = distribution.kind === "categorical";
  return {
    code: "BAD_INPUT",
    message: `method grid cannot count the values of parameter ${name}`,
    path: `parameters.${name}`,
    expected: "constant, categorical without probabilities, int_uniform or q_uniform",
    found: weighted ? "categorical with probabilities" : distribution.kind,
  };
}
