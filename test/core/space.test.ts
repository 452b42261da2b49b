/** Every distribution against its exact law, and W&B's traps one by one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rngFor } from "../../coordinator/core/rng.js";
import { expectedOf, scaleOf } from "../../coordinator/core/space/contains.js";
import { draw, drawParameters } from "../../coordinator/core/space/draw.js";
import { quantise, roundHalfEven } from "../../coordinator/core/space/quantise.js";
import type { Distribution, Space } from "../../coordinator/core/types.js";
import type { Cdf } from "./statistics.js";
import {
  betaCdf,
  chiSquare,
  kolmogorovSmirnov,
  logNormalCdf,
  logUniformCdf,
  normalCdf,
  quantisedProbability,
  tally,
  uniformCdf,
} from "./statistics.js";

const N = 20_000;
const plain = { q: null, integer: false } as const;

/** One draw a trial, as a sweep draws. */
function sampleOf(distribution: Distribution, n = N): readonly number[] {
  return Array.from({ length: n }, (_, trial) => draw(distribution, rngFor(42, trial, "parameters/x")) as number);
}

describe("continuous distributions follow their law", () => {
  const cases: readonly (readonly [string, Distribution, Cdf])[] = [
    ["uniform", { kind: "uniform", min: -3, max: 5, ...plain }, uniformCdf(-3, 5)],
    ["log_uniform_values", { kind: "log_uniform", min: 1e-5, max: 1e-1, ...plain }, logUniformCdf(1e-5, 1e-1)],
    ["normal", { kind: "normal", mu: 2, sigma: 3, ...plain }, normalCdf(2, 3)],
    ["log_normal", { kind: "log_normal", mu: -7, sigma: 1.5, ...plain }, logNormalCdf(-7, 1.5)],
    ["beta(2, 5)", { kind: "beta", a: 2, b: 5, ...plain }, betaCdf(2, 5)],
    ["beta(1, 1)", { kind: "beta", a: 1, b: 1, ...plain }, uniformCdf(0, 1)],
    ["beta(0.5, 0.5)", { kind: "beta", a: 0.5, b: 0.5, ...plain }, (x) => (2 / Math.PI) * Math.asin(Math.sqrt(x))],
    ["beta(0.05, 3)", { kind: "beta", a: 0.05, b: 3, ...plain }, betaCdf(0.05, 3)],
    ["beta(40, 0.7)", { kind: "beta", a: 40, b: 0.7, ...plain }, betaCdf(40, 0.7)],
  ];
  it.each(cases)("%s", (_name, distribution, cdf) => {
    const sample = sampleOf(distribution);
    expect(kolmogorovSmirnov(sample, cdf)).toBeLessThan(1);
    for (const value of sample) expect(expectedOf(distribution, value)).toBeNull();
  });

  it("the test of fit would notice a law that is 2 % off", () => {
    expect(
      kolmogorovSmirnov(sampleOf({ kind: "uniform", min: 0, max: 1, ...plain }), uniformCdf(0, 1.02)),
    ).toBeGreaterThan(1);
    expect(kolmogorovSmirnov(sampleOf({ kind: "beta", a: 2, b: 5, ...plain }), betaCdf(2.05, 5))).toBeGreaterThan(1);
  });
});

describe("quantised distributions: round(x / q) * q, never clipped", () => {
  const multiples = (from: number, to: number): readonly number[] =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const cases: readonly (readonly [string, Distribution, Cdf, number, readonly number[]])[] = [
    [
      "q_uniform 1..10 by 3",
      { kind: "uniform", min: 1, max: 10, q: 3, integer: true },
      uniformCdf(1, 10),
      3,
      multiples(0, 3),
    ],
    [
      "q_uniform 0..1 by 0.1",
      { kind: "uniform", min: 0, max: 1, q: 0.1, integer: false },
      uniformCdf(0, 1),
      0.1,
      multiples(0, 10),
    ],
    [
      "q_log_uniform_values 1..100 by 8",
      { kind: "log_uniform", min: 1, max: 100, q: 8, integer: true },
      logUniformCdf(1, 100),
      8,
      multiples(0, 13),
    ],
    [
      "q_normal by 0.5",
      { kind: "normal", mu: 1, sigma: 1, q: 0.5, integer: false },
      normalCdf(1, 1),
      0.5,
      multiples(-10, 14),
    ],
    [
      "q_log_normal by 2",
      { kind: "log_normal", mu: 1, sigma: 1, q: 2, integer: true },
      logNormalCdf(1, 1),
      2,
      multiples(0, 200),
    ],
    ["q_beta by 0.25", { kind: "beta", a: 2, b: 3, q: 0.25, integer: false }, betaCdf(2, 3), 0.25, multiples(0, 4)],
  ];
  it.each(cases)("%s", (_name, distribution, cdf, q, ks) => {
    const counts = tally(
      sampleOf(distribution),
      ks.map((k) => (k === 0 ? 0 : k * q)),
    );
    expect(
      chiSquare(
        counts,
        ks.map((k) => quantisedProbability(cdf, q, k)),
      ),
    ).toBeLessThan(1);
  });

  it("q_uniform 1..10 by 3 yields exactly 0, 3, 6, 9: below min, never 10", () => {
    const values = new Set(sampleOf({ kind: "uniform", min: 1, max: 10, q: 3, integer: true }));
    expect([...values].sort((a, b) => a - b)).toEqual([0, 3, 6, 9]);
  });

  // numpy.round and Python's round.
  it.each([
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [3.5, 4],
    [-0.5, 0],
    [-1.5, -2],
    [-2.5, -2],
    [2.4999, 2],
    [2.5001, 3],
    [-2.6, -3],
    [1e15 + 0.5, 1e15],
    [2 ** 53, 2 ** 53],
  ])("%d rounds to %d", (x, expected) => expect(quantise(x, 1, false)).toBe(expected));

  it("is as near as a whole number can be, and never negative zero", () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (x) => {
        expect(Math.abs(roundHalfEven(x) - x)).toBeLessThanOrEqual(0.5);
        expect(Object.is(quantise(x, 0.1, false), -0)).toBe(false);
      }),
    );
  });

  it("stays finite where the multiple would not be", () => {
    expect(Number.isFinite(quantise(Number.MAX_VALUE, 1e-10, false))).toBe(true);
    expect(sampleOf({ kind: "log_normal", mu: 705, sigma: 30, ...plain }, 500).every(Number.isFinite)).toBe(true);
  });
});

describe("discrete distributions", () => {
  it("int_uniform includes both ends, each equally likely", () => {
    const values = [3, 4, 5, 6, 7, 8, 9];
    const counts = tally(sampleOf({ kind: "int_uniform", min: 3, max: 9 }), values);
    expect(
      chiSquare(
        counts,
        values.map(() => 1 / 7),
      ),
    ).toBeLessThan(1);
    expect(tally(sampleOf({ kind: "int_uniform", min: 0, max: 1 }), [0, 1]).every((count) => count > N / 3)).toBe(true);
  });

  it("categorical is uniform, with probabilities as they say", () => {
    const values = ["sgd", "adam", 3, true] as const;
    const draws = (probabilities: readonly number[] | null): readonly unknown[] =>
      Array.from({ length: N }, (_, trial) =>
        draw({ kind: "categorical", values, probabilities }, rngFor(1, trial, "x")),
      );
    expect(chiSquare(tally(draws(null), [...values]), [0.25, 0.25, 0.25, 0.25])).toBeLessThan(1);
    expect(chiSquare(tally(draws([0.1, 0.2, 0.7, 0]), [...values]).slice(0, 3), [0.1, 0.2, 0.7])).toBeLessThan(1);
    expect(tally(draws([0.1, 0.2, 0.7, 0]), [...values])[3]).toBe(0);
  });

  it("zero_or_log is zero with probability p, else log-uniform", () => {
    const sample = sampleOf({ kind: "zero_or_log", p: 0.3, min: 1e-6, max: 1e-1 });
    const zeros = sample.filter((value) => value === 0).length;
    expect(chiSquare([zeros, N - zeros], [0.3, 0.7])).toBeLessThan(1);
    expect(
      kolmogorovSmirnov(
        sample.filter((value) => value > 0),
        logUniformCdf(1e-6, 1e-1),
      ),
    ).toBeLessThan(1);
  });

  it("constant is what it is", () => expect(draw({ kind: "constant", value: "same" }, rngFor(1, 1, "x"))).toBe("same"));
});

describe("drawing a space", () => {
  const space: Space = [
    { name: "learning_rate", distribution: { kind: "log_uniform", min: 1e-5, max: 1e-1, ...plain } },
    { name: "l2", distribution: { kind: "zero_or_log", p: 0.5, min: 1e-7, max: 1e-1 } },
    { name: "batch_size", distribution: { kind: "categorical", values: [32, 64], probabilities: null } },
  ];

  it("keeps the space's order, takes what is given, and lets no parameter depend on another", () => {
    for (let trial = 0; trial < 50; trial++) {
      const rng = (): ReturnType<typeof rngFor> => rngFor(9, trial, "parameters");
      const all = drawParameters(space, rng());
      expect(Object.keys(all)).toEqual(["learning_rate", "l2", "batch_size"]);
      expect(drawParameters(space, rng(), { l2: 0.5 })).toEqual({ ...all, l2: 0.5 });
      expect(drawParameters(space.slice(2), rng())).toEqual({ batch_size: all["batch_size"] });
    }
  });

  it("parameters of one trial are not correlated", () => {
    const pairs = Array.from({ length: N }, (_, trial) => {
      const drawn = drawParameters(
        [
          { name: "a", distribution: { kind: "uniform", min: 0, max: 1, ...plain } },
          { name: "b", distribution: { kind: "uniform", min: 0, max: 1, ...plain } },
        ],
        rngFor(3, trial, "parameters"),
      );
      return [drawn["a"] as number, drawn["b"] as number] as const;
    });
    const correlation = pairs.reduce((sum, [a, b]) => sum + (a - 0.5) * (b - 0.5), 0) / N / (1 / 12);
    expect(Math.abs(correlation)).toBeLessThan(4 / Math.sqrt(N));
  });
});

describe("expectedOf", () => {
  const integer = { kind: "int_uniform", min: 1, max: 5 } as const;
  it.each([
    [integer, 5, null],
    [integer, 6, "a whole number from 1 to 5"],
    [integer, 2.5, "a whole number from 1 to 5"],
    [integer, "3", "a whole number from 1 to 5"],
    [{ kind: "constant", value: "a" } as const, "b", '"a"'],
    [{ kind: "categorical", values: [1, "x"], probabilities: null } as const, 2, 'one of 1, "x"'],
    [{ kind: "zero_or_log", p: 0.1, min: 1e-3, max: 1 } as const, 0, null],
    [{ kind: "zero_or_log", p: 0.1, min: 1e-3, max: 1 } as const, 1e-4, "a number from 0.001 to 1"],
    [{ kind: "uniform", min: 1, max: 10, q: 3, integer: true } as const, 0, null],
    [{ kind: "log_normal", mu: 0, sigma: 1, ...plain } as const, -1, "a number of at least 0"],
    [{ kind: "normal", mu: 0, sigma: 1, ...plain } as const, Number.NaN, "a number"],
  ])("%j with %s: %s", (distribution, value, expected) => expect(expectedOf(distribution, value)).toBe(expected));

  it("gives charts their axis", () => {
    expect(scaleOf({ kind: "zero_or_log", p: 0, min: 1, max: 2 })).toBe("log");
    expect(scaleOf(integer)).toBe("linear");
    expect(scaleOf({ kind: "constant", value: true })).toBe("category");
  });
});
