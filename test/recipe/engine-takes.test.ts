/** What a sweep file may say of training the engine takes: schedules, augmentation, averaging and decay up to their bounds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { loadEngine } from "../../native/index.js";

const engine = loadEngine();

const between = (min: number, max: number) =>
  fc.oneof(fc.constantFrom(min, max), fc.double({ min, max, noNaN: true, noDefaultInfinity: true }));
const inside = (min: number, max: number) => fc.double({ min, max, noNaN: true, minExcluded: true, maxExcluded: true });
const factor = fc.oneof(fc.constant(1e6), inside(0, 1e6));
const schedule = fc.oneof(
  fc.constantFrom("constant", "cosine", "one_cycle"),
  fc.record({ kind: fc.constant("step"), every: fc.constantFrom(1, 3, 2 ** 31 - 1), factor }),
  fc.record({ kind: fc.constant("exponential"), factor }),
  fc.record({ kind: fc.constant("cosine"), floor: between(0, 1) }),
  fc.array(between(0, 1e6), { minLength: 1, maxLength: 5 }),
  fc.record({
    kind: fc.constant("list"),
    factors: fc.array(between(0, 1e6), { minLength: 1, maxLength: 5 }),
    cycle: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("one_cycle"),
    warmup: inside(0, 1),
    div: between(1, 1e9),
    final_div: between(1, 1e9),
  }),
);
const strength = between(0, 1);
const augmentation = fc.oneof(
  fc.constant("none"),
  fc.record(
    {
      flip: fc.boolean(),
      crop_padding: fc.integer({ min: 0, max: 28 }),
      cutout: fc.integer({ min: 0, max: 28 }),
      brightness: strength,
      contrast: strength,
      saturation: strength,
    },
    { requiredKeys: [] },
  ),
);
const training = fc.record({
  schedule,
  augmentation,
  averaging: fc.oneof(
    fc.constant("none"),
    fc.record({ start: fc.integer({ min: 0, max: 6 }), every: fc.integer({ min: 1, max: 7 }) }),
  ),
  decay: fc.constantFrom("loss", "decoupled"),
  optimizer: fc.constantFrom("sgd", "momentum", "rmsprop", "adam", "adamw"),
});

const file = (training: object): string =>
  JSON.stringify({
    network: "tinycnn",
    dataset: "mnist",
    epochs: 7,
    method: "random",
    run_cap: 1,
    parameters: { learning_rate: { value: 0.1 } },
    ...training,
  });

describe("the engine", () => {
  it("takes every recipe that compiles", () => {
    fc.assert(
      fc.property(training, (lines) => {
        // adamw decays apart from the gradient, and a file may not say otherwise.
        const { decay, ...rest } = lines;
        const { spec } = compileSweep(file(lines.optimizer === "adamw" ? rest : { ...rest, decay }), "f.json");
        const size = { recipe: JSON.stringify(spec.recipe), device: "cpu", lanes: 1, threads: 1 };
        expect(engine.planSession(size).bytesPerLane).toBeGreaterThan(0);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    [{ schedule: { kind: "one_cycle", final_div: 1e10 } }, /schedule.final_div: expected .*1e\+?9|1000000000/],
    [{ schedule: { kind: "one_cycle", warmup: 1 } }, /schedule.warmup/],
    [{ schedule: [] }, /schedule/],
    [{ schedule: { kind: "cosine", floor: 1.5 } }, /schedule.floor/],
  ])("is not asked to take %j", (lines, message) => {
    expect(() => compileSweep(file(lines), "f.json")).toThrow(message);
  });
});
