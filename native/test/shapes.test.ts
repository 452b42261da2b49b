/** The TypeScript shape inference and the engine's say the same about every network, right or wrong. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hyperparameters } from "../hyperparameters.js";
import { findNetwork, networks } from "../networks/index.js";
import { checkNetwork, inferNetworks, inferShapes, ShapeError } from "../networks/shapes.js";
import type { LayerSpec, Padding, Pair } from "../recipe.js";
import { engineError, openSmall, planSmall, smallRecipe, vector } from "./support.js";

const classifying = networks.filter(({ procedure }) => procedure === undefined);

describe.each(classifying.map(({ name }) => name))("%s", (name) => {
  it("has as many parameters in the engine as in TypeScript, layer by layer", () => {
    const { session, recipe } = openSmall(name);
    session.addLane({ seed: 1n, hyperparameters: vector(recipe), checkpoint: null });
    const counts = recipe.network.layers.map(() => 0);
    const { tensors, data } = session.weights(0);
    for (const { name: tensor, shape } of tensors) {
      if (tensor.includes("running")) continue;
      const layer = Number(tensor.split(".", 1)[0]);
      counts[layer] = (counts[layer] ?? 0) + shape.reduce((product, side) => product * side, 1);
    }
    const summaries = inferShapes(recipe.network.layers, recipe.dataset.shape);
    expect(counts).toEqual(summaries.map(({ parameters }) => parameters));
    expect(data.length).toBe(tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0));
    session.close();
  });
});

describe.each(["gan", "cgan"])("%s", (name) => {
  it("has as many parameters in the engine as in TypeScript", () => {
    const { session, recipe } = openSmall(name);
    session.addLane({ seed: 1n, hyperparameters: vector(recipe), checkpoint: null });
    const { tensors } = session.weights(0);
    const count = (which: string): number =>
      tensors
        .filter(({ name: tensor }) => tensor.startsWith(which) && !tensor.includes("running"))
        .reduce((sum, { shape }) => sum + shape.reduce((product, side) => product * side, 1), 0);
    const summaries = inferNetworks(recipe.network.layers, recipe.procedure, recipe.dataset);
    const ends = recipe.network.layers.length;
    const sum = (part: typeof summaries): number => part.reduce((total, { parameters }) => total + parameters, 0);
    expect(count("generator.")).toBe(sum(summaries.slice(0, ends)));
    expect(count("discriminator.")).toBe(sum(summaries.slice(ends)));
    session.close();
  });
});

it("gan has the 1,268,608 parameters its description says", () => {
  const entry = findNetwork("gan");
  const summaries = inferNetworks(entry?.layers ?? [], entry?.procedure, { shape: [1, 28, 28], classes: 10 });
  expect(summaries.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(1_268_608);
});

it.each([
  ["a generator of other images", { layers: [{ op: "flatten" }] }],
  [
    "a discriminator of two values",
    { discriminator: [{ op: "flatten" }, { op: "linear", units: 2, bias: true, init: "he_normal" }] },
  ],
  ["a discriminator that learns nothing", { discriminator: [{ op: "relu" }] }],
] as const)(
  "refuses %s with the engine's words",
  (_what, change: { layers?: readonly LayerSpec[]; discriminator?: readonly LayerSpec[] }) => {
    const { recipe } = smallRecipe("cgan");
    const layers = change.layers ?? recipe.network.layers;
    const procedure = recipe.procedure && {
      ...recipe.procedure,
      discriminator: change.discriminator ?? recipe.procedure.discriminator,
    };
    const wrong = { ...recipe, network: { name: null, layers }, ...(procedure ? { procedure } : {}) };
    let message = "";
    try {
      inferNetworks(layers, procedure, recipe.dataset);
    } catch (error) {
      message = error instanceof ShapeError ? error.message : String(error);
    }
    expect(message).not.toBe("");
    expect(engineError(() => planSmall(wrong))).toMatchObject({
      code: "ENGINE_BAD_RECIPE",
      message,
    });
  },
);

/** As their descriptions or papers say, or PyTorch models made after them. */
it.each([
  ["tinycnn", 26_594],
  ["lstm-rows", 214_282],
  ["simpnet", 1_022_656],
  ["resnet18", 11_173_962],
  ["resnet50", 23_520_842],
  ["wide-resnet", 2_748_890],
  // 1,649,402 in the paper, whose batch norm has no scale: one less for each of its 1,712 channels.
  ["inception-small", 1_649_402 + 1_712],
  // 6,166,250 with a bias in each of its 7,904 filters, which batch norm takes away again.
  ["googlenet", 6_166_250 - 7_904],
])("%s has %d parameters", (name, parameters) => {
  const entry = findNetwork(name);
  const summaries = inferShapes(entry?.layers ?? [], entry?.input ?? [1, 1, 1]);
  expect(summaries.reduce((sum, layer) => sum + layer.parameters, 0)).toBe(parameters);
});

it("counts what lists within lists hold, by hand", () => {
  const conv = (filters: number): LayerSpec => ({
    op: "conv2d",
    filters,
    kernel: [3, 3],
    stride: [1, 1],
    padding: "same",
    groups: 1,
    bias: false,
    init: "he_normal",
  });
  const [sum, row] = inferShapes(
    [
      { op: "residual", body: [conv(4), { op: "relu" }, conv(2)], shortcut: [] },
      { op: "branches", branches: [[], [conv(3)], [conv(5), conv(5)]] },
    ],
    [2, 6, 6],
  );
  // 2 x 3 x 3 taps to 4 filters and 4 x 3 x 3 taps to 2, at 36 places.
  expect(sum).toMatchObject({ op: "residual", output: [2, 6, 6], parameters: 72 + 72, multiplyAdds: 36 * 144 });
  expect(sum?.parts.map(({ place, layers }) => [place, layers.map(({ output }) => output[0])])).toEqual([
    ["residual.body", [4, 4, 2]],
    ["residual.shortcut", []],
  ]);
  expect(row).toMatchObject({ output: [2 + 3 + 5, 6, 6], parameters: 54 + 90 + 225, multiplyAdds: 36 * 369 });
  expect(row?.parts.map(({ place }) => place)).toEqual(["branches[0]", "branches[1]", "branches[2]"]);
});

const side = fc.integer({ min: 1, max: 6 });
const pair: fc.Arbitrary<Pair> = fc.tuple(side, side);
const padding: fc.Arbitrary<Padding> = fc.oneof(
  fc.constant<Padding>("valid"),
  fc.constant<Padding>("same"),
  fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 })),
);
const pool = (op: "max_pool2d" | "avg_pool2d") =>
  fc.record({ op: fc.constant(op), size: pair, stride: pair, padding }) as fc.Arbitrary<LayerSpec>;
const simple: fc.Arbitrary<LayerSpec> = fc.oneof(
  fc.record({
    op: fc.constant("conv2d" as const),
    filters: fc.integer({ min: 1, max: 8 }),
    kernel: pair,
    stride: pair,
    padding,
    groups: fc.integer({ min: 1, max: 3 }),
    bias: fc.boolean(),
    init: fc.constant("he_normal" as const),
  }),
  fc.record({
    op: fc.constant("conv_transpose2d" as const),
    filters: fc.integer({ min: 1, max: 8 }),
    kernel: pair,
    stride: pair,
    padding: fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 })),
    output_padding: fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 })),
    groups: fc.integer({ min: 1, max: 3 }),
    bias: fc.boolean(),
    init: fc.constant("dcgan_normal" as const),
  }),
  fc.record({
    op: fc.constant("linear" as const),
    units: fc.integer({ min: 1, max: 12 }),
    bias: fc.boolean(),
    init: fc.constant("he_normal" as const),
  }),
  pool("max_pool2d"),
  pool("avg_pool2d"),
  fc.record({
    op: fc.constantFrom("adaptive_max_pool2d" as const, "adaptive_avg_pool2d" as const),
    output: fc.oneof(pair, fc.constant<Pair>([65_535, 65_535])),
  }),
  fc.record({
    op: fc.constantFrom("rnn" as const, "lstm" as const),
    units: fc.integer({ min: 1, max: 9 }),
    return_sequences: fc.boolean(),
    init: fc.constant("torch_uniform" as const),
  }),
  fc.record({
    op: fc.constant("embedding" as const),
    vocabulary: fc.integer({ min: 1, max: 9 }),
    units: fc.integer({ min: 1, max: 9 }),
  }),
  fc.constantFrom<LayerSpec>(
    { op: "rows_as_sequence" },
    { op: "flatten" },
    { op: "relu" },
    { op: "global_avg_pool2d" },
    { op: "global_max_pool2d" },
    { op: "batch_norm", momentum: 0.1, epsilon: 1e-5 },
    { op: "reshape", shape: [4, 14, 14] },
    { op: "reshape", shape: [7, 7, 16] },
  ),
);

/** Lists within lists, and layers that keep a plane's size, so that some of them fit. */
const fitting: fc.Arbitrary<LayerSpec> = fc.oneof(
  fc.record({
    op: fc.constant("conv2d" as const),
    filters: fc.integer({ min: 1, max: 3 }),
    kernel: pair,
    stride: fc.constant<Pair>([1, 1]),
    padding: fc.constant<Padding>("same"),
    groups: fc.constant(1),
    bias: fc.boolean(),
    init: fc.constant("he_normal" as const),
  }),
  fc.constantFrom<LayerSpec>({ op: "relu" }, { op: "tanh" }, { op: "dropout", rate: 0.5 }),
);
const { layer } = fc.letrec<{ layer: LayerSpec; list: LayerSpec[] }>((tie) => ({
  list: fc.array(tie("layer"), { maxLength: 3 }),
  layer: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    simple,
    fitting,
    fitting,
    fc.record({
      op: fc.constant("residual" as const),
      body: fc.tuple(tie("layer"), tie("list")).map(([first, rest]) => [first, ...rest]),
      shortcut: tie("list"),
    }),
    fc.record({
      op: fc.constant("branches" as const),
      branches: fc.array(tie("list"), { minLength: 1, maxLength: 3 }),
    }),
  ),
}));

it("refuses the same networks with the same words", () => {
  let refused = 0;
  let nested = 0;
  fc.assert(
    fc.property(fc.array(layer, { maxLength: 4 }), fc.integer({ min: 0, max: 3 }), (body, end) => {
      const head: LayerSpec[] = [{ op: "flatten" }, { op: "linear", units: 10, bias: true, init: "he_normal" }];
      const layers = end > 0 || body.length === 0 ? [...body, ...head] : body;
      const { recipe } = smallRecipe("lenet", { network: { name: null, layers } });
      const plan = () => planSmall(recipe);
      let message: string | null = null;
      try {
        checkNetwork(inferShapes(layers, [1, 28, 28]), 10);
      } catch (error) {
        if (!(error instanceof ShapeError)) throw error;
        message = error.message;
      }
      if (message === null) expect(plan().bytesPerLane).toBeGreaterThan(0);
      else expect(engineError(plan)).toMatchObject({ code: "ENGINE_BAD_RECIPE", message });
      refused += message === null ? 0 : 1;
      nested += message?.match(/^network\.layers\[.\]\.(residual|branches)/) ? 1 : 0;
    }),
    { numRuns: 1000, seed: 7 },
  );
  expect(refused).toBeGreaterThan(100);
  expect(refused).toBeLessThan(950);
  expect(nested).toBeGreaterThan(50);
});

describe.each(hyperparameters)("the range of $name", ({ name, range, fallback }) => {
  const accepts = (value: number): boolean => {
    const { session, recipe } = openSmall("logit");
    try {
      session.addLane({ seed: 1n, hyperparameters: vector(recipe, { [name]: value }), checkpoint: null });
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: "ENGINE_BAD_ARGUMENT" });
      return false;
    } finally {
      session.close();
    }
  };
  it("is the engine's, too", () => {
    expect(accepts(range.low)).toBe(!range.openLow);
    expect(accepts(range.high)).toBe(!range.openHigh);
    expect(accepts(range.low + (range.high - range.low) / 2)).toBe(true);
    expect(accepts(range.low - 1e-3)).toBe(false);
    expect(accepts(range.high * (1 + 1e-6))).toBe(false);
    expect(accepts(Number.POSITIVE_INFINITY)).toBe(false);
    expect(accepts(Number.NaN)).toBe(Object.values(fallback).includes(null));
  });
});
