/**
 * What every sampler must do, whatever it is: pure, inside the space, and undisturbed by missing or bad observations.
 */
import { describe, expect, it } from "vitest";
import { rngFor } from "../../coordinator/core/rng.js";
import type { Observation, Sampler, SamplerContext, Suggestion } from "../../coordinator/core/samplers/sampler.js";
import { expectedOf } from "../../coordinator/core/space/contains.js";
import { drawParameters } from "../../coordinator/core/space/draw.js";
import type { Distribution, Json, Space } from "../../coordinator/core/types.js";

const plain = { q: null, integer: false } as const;

const SPACES: Readonly<Record<string, Space>> = {
  "learning rate and regularisation": spaceOf({
    learning_rate: { kind: "log_uniform", min: 1e-5, max: 1e-1, ...plain },
    l2: { kind: "zero_or_log", p: 0.3, min: 1e-7, max: 1e-1 },
  }),
  "every distribution": spaceOf({
    constant: { kind: "constant", value: "same" },
    choice: { kind: "categorical", values: ["a", 2, false], probabilities: null },
    weighted: { kind: "categorical", values: [1, 2, 3], probabilities: [0.5, 0.5, 0] },
    whole: { kind: "int_uniform", min: -2, max: 2 },
    uniform: { kind: "uniform", min: -1, max: 1, ...plain },
    q_uniform: { kind: "uniform", min: 1, max: 10, q: 3, integer: true },
    log: { kind: "log_uniform", min: 1e-9, max: 1e9, ...plain },
    q_log: { kind: "log_uniform", min: 1, max: 1000, q: 8, integer: true },
    normal: { kind: "normal", mu: 0, sigma: 10, ...plain },
    log_normal: { kind: "log_normal", mu: 0, sigma: 2, ...plain },
    beta: { kind: "beta", a: 0.2, b: 0.2, ...plain },
    zero: { kind: "zero_or_log", p: 0.5, min: 1e-6, max: 1 },
  }),
  "a grid": spaceOf({
    b: { kind: "categorical", values: ["x", "y"], probabilities: null },
    a: { kind: "int_uniform", min: 1, max: 3 },
    c: { kind: "uniform", min: 0, max: 1, q: 0.25, integer: false },
  }),
  "one point": spaceOf({ only: { kind: "constant", value: 1 } }),
  nothing: [],
};

/** Observations as a sweep makes them: good, bad, without a value, still open. */
function observationsOf(space: Space, count: number): readonly Observation[] {
  const outcomes = ["completed", "stopped", "failed", "pending"] as const;
  return Array.from({ length: count }, (_, number) => {
    const outcome = outcomes[number % 4] ?? "completed";
    const parameters = drawParameters(space, rngFor(99, number, "history"));
    const value = outcome === "failed" || number % 5 === 0 ? null : ((number * 37) % 100) / 100;
    return { number, parameters, outcome, value, epoch: number % 3 };
  });
}

export function samplerConformance(name: string, sampler: Sampler, options: Json): void {
  const usable = Object.entries(SPACES).filter(([, space]) => sampler.check(space, options) === null);

  describe(`sampler ${name}`, () => {
    it("says what it cannot search, and takes at least the first grid", () => {
      expect(usable.map(([spaceName]) => spaceName)).toContain("a grid");
      for (const space of Object.values(SPACES)) {
        const refusal = sampler.check(space, options);
        if (refusal !== null)
          expect(refusal).toMatchObject({ code: "BAD_INPUT", path: expect.stringContaining("parameters.") });
      }
    });

    describe.each(usable)("in the space of %s", (_spaceName, space) => {
      const contextOf = (trialNumber: number, state: Json, observations: readonly Observation[]): SamplerContext =>
        deepFreeze({
          space,
          objective: { name: "val_accuracy", goal: "maximize", target: null },
          options,
          observations,
          trialNumber,
          rng: rngFor(5, trialNumber, "parameters"),
          state,
        });
      const run = (count: number, history: number): readonly Suggestion[] => {
        let state: Json = null;
        return Array.from({ length: count }, (_, trialNumber) => {
          const suggestion = sampler.suggest(contextOf(trialNumber, state, observationsOf(space, history)));
          if (suggestion.kind === "params") state = JSON.parse(JSON.stringify(suggestion.state)) as Json;
          return suggestion;
        });
      };

      it.each([0, 1, 3, 40])("proposes every parameter, inside the space, with %d observations", (history) => {
        for (const suggestion of run(60, history)) {
          if (suggestion.kind !== "params") continue;
          expect(Object.keys(suggestion.parameters)).toEqual(space.map((parameter) => parameter.name));
          for (const parameter of space) {
            const value = suggestion.parameters[parameter.name];
            expect(value === undefined ? "missing" : expectedOf(parameter.distribution, value)).toBeNull();
          }
        }
      });

      it("gives the same answer to the same question, and survives JSON", () => {
        expect(run(30, 12)).toEqual(run(30, 12));
        const again = JSON.parse(JSON.stringify(run(30, 12))) as unknown;
        expect(again).toEqual(run(30, 12));
      });

      it("is exhausted for good once it is, and never at the first trial", () => {
        const kinds = run(60, 0).map((suggestion) => suggestion.kind);
        expect(kinds[0]).toBe("params");
        const first = kinds.indexOf("exhausted");
        if (first >= 0) expect(kinds.slice(first).every((kind) => kind === "exhausted")).toBe(true);
      });
    });
  });
}

function spaceOf(distributions: Readonly<Record<string, Distribution>>): Space {
  return Object.entries(distributions).map(([name, distribution]) => ({ name, distribution }));
}

/** All but the generator, which keeps its place. */
function deepFreeze<T>(value: T): T {
  if (value === null || typeof value !== "object") return value;
  for (const [key, member] of Object.entries(value)) if (key !== "rng") deepFreeze(member);
  return Object.freeze(value);
}
