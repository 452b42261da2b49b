/** Every distribution: how it is written, what it is compiled to, what is inferred, what is warned about. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Distribution } from "../../coordinator/core/types.js";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { parseDuration } from "../../coordinator/recipe/duration.js";
import { editDistance, nearest } from "../../coordinator/recipe/nearest.js";
import { base, head, lr } from "./right-file.js";

function learningRate(text: string): { readonly distribution: Distribution | undefined; readonly warnings: string[] } {
  const { spec, warnings } = compileSweep(lr(text), "f.yaml");
  return {
    distribution: spec.space[0]?.distribution,
    warnings: warnings.map((w) => w.replace(/^f\.yaml:\d+:\d+: /, "")),
  };
}

const plain = { q: null, integer: false };
const e = Math.exp(1);

/** As written, as compiled, warnings. */
const written: readonly (readonly [string, Distribution, readonly RegExp[]])[] = [
  ["{value: 0.1}", { kind: "constant", value: 0.1 }, []],
  ["{distribution: constant, value: 0.1}", { kind: "constant", value: 0.1 }, []],
  ["{values: [0.1, 0.2]}", { kind: "categorical", values: [0.1, 0.2], probabilities: null }, []],
  ["{distribution: categorical, values: [1, 2]}", { kind: "categorical", values: [1, 2], probabilities: null }, []],
  [
    "{values: [0.1, 0.2], probabilities: [0.25, 0.75]}",
    { kind: "categorical", values: [0.1, 0.2], probabilities: [0.25, 0.75] },
    [],
  ],
  [
    "{distribution: categorical_w_probabilities, values: [0.1], probabilities: [1]}",
    { kind: "categorical", values: [0.1], probabilities: [1] },
    [],
  ],
  [
    "{min: 0, max: 1}",
    { kind: "int_uniform", min: 0, max: 1 },
    [/only the whole numbers 0 and 1 are drawn; write 0\.0/],
  ],
  ["{min: 1, max: 10}", { kind: "int_uniform", min: 1, max: 10 }, [/only the whole numbers from 1 to 10 are drawn/]],
  ["{distribution: int_uniform, min: 2, max: 4}", { kind: "int_uniform", min: 2, max: 4 }, [/whole numbers/]],
  ["{min: 0, max: 0.1}", { kind: "uniform", min: 0, max: 0.1, ...plain }, []],
  ["{min: 1, max: 10.0}", { kind: "uniform", min: 1, max: 10, ...plain }, []],
  ["{min: 1.0, max: 10}", { kind: "uniform", min: 1, max: 10, ...plain }, []],
  ["{min: 1e0, max: 10}", { kind: "uniform", min: 1, max: 10, ...plain }, []],
  ["{distribution: uniform, min: 1, max: 2}", { kind: "uniform", min: 1, max: 2, ...plain }, []],
  ["{distribution: q_uniform, min: 0, max: 10}", { kind: "uniform", min: 0, max: 10, q: 1, integer: true }, []],
  [
    "{distribution: q_uniform, min: 1, max: 10, q: 3}",
    { kind: "uniform", min: 1, max: 10, q: 3, integer: true },
    [/rounding to multiples of 3 is not clipped \(as in W&B\): it draws from 0 to 9/],
  ],
  [
    "{distribution: q_uniform, min: 0.0, max: 1.0, q: 0.25}",
    { kind: "uniform", min: 0, max: 1, q: 0.25, integer: false },
    [],
  ],
  [
    "{distribution: log_uniform, min: -1, max: 1}",
    { kind: "log_uniform", min: 1 / e, max: e, ...plain },
    [
      /^parameters\.learning_rate: log_uniform takes natural exponents, so it draws from 0\.3679 to 2\.718; log_uniform_values takes the values$/,
    ],
  ],
  [
    "{distribution: log_uniform, min: 1e-5, max: 1e-1}",
    { kind: "log_uniform", min: Math.exp(1e-5), max: Math.exp(0.1), ...plain },
    [/draws from 1 to 1\.105 \(was log_uniform_values meant\?\)/],
  ],
  [
    "{distribution: log_uniform_values, min: 1e-5, max: 1e-1}",
    { kind: "log_uniform", min: 1e-5, max: 0.1, ...plain },
    [],
  ],
  [
    "{distribution: q_log_uniform, min: 0, max: 5, q: 1}",
    { kind: "log_uniform", min: 1, max: Math.exp(5), q: 1, integer: true },
    [/natural exponents, so it draws from 1 to 148\.4/],
  ],
  [
    "{distribution: q_log_uniform_values, min: 16, max: 256, q: 8}",
    { kind: "log_uniform", min: 16, max: 256, q: 8, integer: true },
    [],
  ],
  [
    "{distribution: q_log_uniform_values, min: 1, max: 10}",
    { kind: "log_uniform", min: 1, max: 10, q: 1, integer: true },
    [],
  ],
  [
    "{distribution: inv_log_uniform, min: -1, max: 0}",
    { kind: "log_uniform", min: 1 / e, max: 1, ...plain },
    [/inv_log_uniform draws the same as log_uniform, whatever its name says/, /log_uniform_values takes the values/],
  ],
  [
    "{distribution: inv_log_uniform_values, min: 0.1, max: 1}",
    { kind: "log_uniform", min: 0.1, max: 1, ...plain },
    [/inv_log_uniform_values draws the same as log_uniform_values/],
  ],
  ["{distribution: normal}", { kind: "normal", mu: 0, sigma: 1, ...plain }, [/some draws may fall outside/]],
  [
    "{distribution: normal, mu: 0.1, sigma: 0.01}",
    { kind: "normal", mu: 0.1, sigma: 0.01, ...plain },
    [/from 0 to 1000000/],
  ],
  [
    "{distribution: q_normal, mu: 5, sigma: 2, q: 0.5}",
    { kind: "normal", mu: 5, sigma: 2, q: 0.5, integer: false },
    [/outside/],
  ],
  ["{distribution: log_normal, mu: -5, sigma: 1}", { kind: "log_normal", mu: -5, sigma: 1, ...plain }, [/outside/]],
  [
    "{distribution: q_log_normal, mu: 1, q: 2}",
    { kind: "log_normal", mu: 1, sigma: 1, q: 2, integer: true },
    [/outside/],
  ],
  ["{distribution: beta}", { kind: "beta", a: 1, b: 1, ...plain }, []],
  ["{distribution: beta, a: 2, b: 5}", { kind: "beta", a: 2, b: 5, ...plain }, []],
  ["{distribution: q_beta, a: 2, b: 5, q: 0.1}", { kind: "beta", a: 2, b: 5, q: 0.1, integer: false }, []],
  [
    "{distribution: zero_or_log, p: 0.25, min: 1e-6, max: 1e-2}",
    { kind: "zero_or_log", p: 0.25, min: 1e-6, max: 1e-2 },
    [],
  ],
  [
    '{values: ["1e-3", 0.1]}',
    { kind: "categorical", values: [1e-3, 0.1], probabilities: null },
    [/values\[0\]: the text "1e-3" is taken as the number 0\.001/],
  ],
  ['{min: "1e-5", max: 0.1}', { kind: "uniform", min: 1e-5, max: 0.1, ...plain }, [/min: the text "1e-5" is taken/]],
  ['{min: "1", max: "3"}', { kind: "int_uniform", min: 1, max: 3 }, [/whole numbers/, /"1" is taken/, /"3" is taken/]],
];

describe("distributions", () => {
  it.each(written)("%s", (text, expected, warnings) => {
    const found = learningRate(text);
    expect(found.distribution).toEqual(expected);
    expect(found.warnings).toHaveLength(warnings.length);
    for (const warning of warnings)
      expect(
        found.warnings.some((said) => warning.test(said)),
        String(warning),
      ).toBe(true);
  });

  it("JSON gives the same as YAML", () => {
    const json = {
      name: "test",
      network: "lenet",
      dataset: "mnist",
      epochs: 3,
      batch_size: 100,
      optimizer: "momentum",
      metric: { name: "val_accuracy", goal: "maximize" },
      method: "random",
      run_cap: 16,
      parameters: {
        learning_rate: { distribution: "log_uniform_values", min: 1e-4, max: 1e-1 },
        l2: { distribution: "log_uniform_values", min: 1e-6, max: 1e-2 },
      },
    };
    const fromJson = compileSweep(JSON.stringify(json, null, "\t"), "f.json");
    const fromYaml = compileSweep(base, "f.yaml");
    expect({ ...fromJson.spec, source: "" }).toEqual({ ...fromYaml.spec, source: "" });
    expect(fromJson.warnings).toEqual([]);
  });

  it("an integer drawn is a whole number that JSON wrote without a point", () => {
    const json = `{"network": "lenet", "dataset": "mnist", "method": "random", "run_cap": 2, "parameters": {"dropout": {"min": 0.0, "max": 0.5}}}`;
    expect(compileSweep(json, "f.json").spec.space[0]?.distribution.kind).toBe("uniform");
  });
});

describe("a structural parameter", () => {
  const withParameters = (lines: string, cut: RegExp): ReturnType<typeof compileSweep> =>
    compileSweep(`${head.replace(cut, "")}parameters:\n${lines}\n`, "f.yaml");

  it("takes the place of the recipe's member; the recipe has the largest", () => {
    const { spec, warnings } = withParameters("  batch_size: {values: [50, 200, 100]}", /batch_size.*\n/);
    expect(spec.structural).toEqual(["batch_size"]);
    expect((spec.recipe as { batch_size: number }).batch_size).toBe(200);
    expect(warnings).toEqual([]);
  });

  it("may be quantised to whole numbers", () => {
    const { spec } = withParameters(
      "  batch_size: {distribution: q_log_uniform_values, min: 32, max: 256, q: 32}\n  epochs: {min: 2, max: 8}",
      /batch_size.*\n|epochs.*\n/g,
    );
    expect(spec.structural).toEqual(["batch_size", "epochs"]);
    expect(spec.epochs).toBe(8);
  });

  it("optimizer warns that one learning rate serves all", () => {
    const { spec, warnings } = withParameters("  optimizer: {values: [adam, sgd]}", /optimizer.*\n/);
    expect((spec.recipe as { optimizer: string }).optimizer).toBe("adam");
    expect(warnings).toEqual(["f.yaml:10:14: parameters.optimizer: every optimizer gets the learning rate 0.001"]);
  });

  it("goes by other tools' names, too", () => {
    const { spec, warnings } = withParameters("  bs: {values: [50, 100]}", /batch_size.*\n/);
    expect(spec.space[0]?.name).toBe("batch_size");
    expect(warnings).toEqual(["f.yaml:10:3: parameters.bs: recorded as batch_size"]);
  });
});

describe("helpers", () => {
  it.each([
    ["30s", 30_000],
    ["90s", 90_000],
    ["30m", 1_800_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["2d 1h", 176_400_000],
    ["250ms", 250],
  ])("%s lasts %i ms", (text, millis) => expect(parseDuration(text)).toBe(millis));

  it.each(["", " ", "30", "m", "30 minutes", "1m1h", "1h1h", "-1h", "1e3s", "1..5h"])("%j is no duration", (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  it("edit distance is a brute-force search's", () => {
    const words = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 4 });
    const neighbours = (word: string): Set<string> => {
      const found = new Set<string>();
      for (let i = 0; i <= word.length; i++) {
        for (const letter of "abc") {
          found.add(word.slice(0, i) + letter + word.slice(i));
          if (i < word.length) found.add(word.slice(0, i) + letter + word.slice(i + 1));
        }
        if (i < word.length) found.add(word.slice(0, i) + word.slice(i + 1));
        if (i + 1 < word.length) found.add(word.slice(0, i) + word[i + 1] + word[i] + word.slice(i + 2));
      }
      return found;
    };
    fc.assert(
      fc.property(words, words, (a, b) => {
        const distance = editDistance(a, b);
        expect(distance).toBe(editDistance(b, a));
        expect(distance === 0).toBe(a === b);
        expect(distance === 1).toBe(a !== b && neighbours(a).has(b));
      }),
    );
    expect(editDistance("ca", "abc")).toBe(3);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });

  it("suggests only what is near, case and dashes aside", () => {
    expect(nearest("Run-Cap", ["run_cap", "seed"])).toBe("run_cap");
    expect(nearest("xyz", ["run_cap", "seed"])).toBeNull();
    expect(nearest("sed", ["run_cap", "seed"])).toBe("seed");
  });
});
