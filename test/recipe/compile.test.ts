/** Whole files: defaults, W&B's own, warnings; printing a compiled sweep and compiling it again changes nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SweepSpec } from "../../coordinator/core/types.js";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { networks } from "../../native/networks/index.js";
import type { LayerSpec, Recipe } from "../../native/recipe.js";
import { printSweep } from "./print.js";
import { base, net, sub, top } from "./right-file.js";

const recipeOf = (spec: SweepSpec): Recipe => spec.recipe as unknown as Recipe;
const said = (text: string): string[] =>
  compileSweep(text, "f.yaml").warnings.map((warning) => warning.replace(/^f\.yaml:/, ""));

describe("a file with little in it", () => {
  const { spec, warnings } = compileSweep(
    "network: lenet\ndataset: mnist\nmethod: random\nrun_cap: 2\nparameters:\n  lr: {min: 0.01, max: 0.1}\n",
    "some/where/My sweep.yaml",
  );

  it("gets its name from the file, its numbers from the network, and a seed that is recorded", () => {
    expect(spec).toMatchObject({
      name: "My sweep",
      description: "",
      seed: 1,
      maxParallel: null,
      maxWallMillis: null,
      maxAttempts: 3,
      objective: { name: "val_accuracy", goal: "maximize", target: null },
      sampler: { name: "random" },
      scheduler: { name: "none" },
      structural: [],
      epochs: 10,
    });
    expect(recipeOf(spec)).toMatchObject({
      batch_size: 100,
      optimizer: "momentum",
      hyperparameters: { learning_rate: 0.05, l2: 1e-5, momentum: 0.9, dropout: null },
      dataset: { name: "mnist", validation: 5_000, train_images: 60_000 },
      precision: "float32",
    });
    expect(warnings).toEqual(["some/where/My sweep.yaml:6:3: parameters.lr: recorded as learning_rate"]);
  });

  it("has a digest of 64 hexadecimal digits that only the recipe decides", () => {
    expect(spec.recipeDigest).toMatch(/^[0-9a-f]{64}$/);
    const digest = (text: string): string => compileSweep(text, "f.yaml").spec.recipeDigest;
    expect(digest(base)).toBe(digest(top("seed: 5").replace("run_cap: 16", "run_cap: 3")));
    expect(digest(base)).not.toBe(digest(sub("epochs: 3", "epochs: 4")));
    const turned = sub("network: lenet\ndataset: mnist\n", "dataset: mnist\nnetwork: lenet\n");
    expect(digest(turned)).toBe(digest(base));
  });
});

describe("networks", () => {
  it.each(networks.map((entry) => entry.name))("%s compiles on the images it was made for", (name) => {
    const entry = networks.find((candidate) => candidate.name === name);
    if (entry?.text === true) return;
    const dataset = entry?.input[0] === 3 ? "cifar10" : "mnist";
    const metric = entry?.procedure === undefined ? "val_accuracy" : "g_loss";
    const text = sub("lenet", name).replace("mnist", dataset).replace("val_accuracy", metric);
    const { spec } = compileSweep(text, "f.yaml");
    expect(recipeOf(spec).procedure).toEqual(entry?.procedure);
    expect(recipeOf(spec).network.layers).toEqual(entry?.layers);
  });

  it("of the catalogue end in as many outputs as there are classes", () => {
    const { spec } = compileSweep(sub("lenet", "convnet5").replace("mnist", "cifar100"), "f.yaml");
    expect(recipeOf(spec).network.layers.at(-1)).toMatchObject({ op: "linear", units: 100 });
  });

  it("may be written in short and long form", () => {
    const short = net([
      "conv2d: {filters: 4, kernel: [3, 5], padding: same}",
      "batch_norm",
      "leaky_relu: 0.2",
      "max_pool2d: 2",
      "conv2d: {filters: 4, kernel: 3, stride: 2, padding: 1, groups: 2, bias: false, init: torch_uniform}",
      "conv_transpose2d: {filters: 2, kernel: 3, stride: 2, padding: 1, output_padding: [1, 0], init: dcgan_normal}",
      "conv_transpose2d: {filters: 2, kernel: 1}",
      "reshape: {shape: [1, 14, 26]}",
      "tanh",
      "avg_pool2d: {size: 3, stride: [2, 1]}",
      "max_pool2d: {size: 3, stride: 2, padding: same}",
      "adaptive_max_pool2d: {output: [5, 4]}",
      "adaptive_avg_pool2d: 2",
      "dropout",
      "global_avg_pool2d",
      "linear: {units: 20, bias: false}",
      "sigmoid",
      "dropout: 0.25",
      "{op: linear, units: 10}",
    ]);
    const expected: readonly LayerSpec[] = [
      {
        op: "conv2d",
        filters: 4,
        kernel: [3, 5],
        stride: [1, 1],
        padding: "same",
        groups: 1,
        bias: true,
        init: "he_normal",
      },
      { op: "batch_norm", momentum: 0.1, epsilon: 1e-5 },
      { op: "leaky_relu", slope: 0.2 },
      { op: "max_pool2d", size: [2, 2], stride: [2, 2], padding: "valid" },
      {
        op: "conv2d",
        filters: 4,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        groups: 2,
        bias: false,
        init: "torch_uniform",
      },
      {
        op: "conv_transpose2d",
        filters: 2,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        output_padding: [1, 0],
        groups: 1,
        bias: true,
        init: "dcgan_normal",
      },
      {
        op: "conv_transpose2d",
        filters: 2,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        output_padding: [0, 0],
        groups: 1,
        bias: true,
        init: "he_normal",
      },
      { op: "reshape", shape: [1, 14, 26] },
      { op: "tanh" },
      { op: "avg_pool2d", size: [3, 3], stride: [2, 1], padding: "valid" },
      { op: "max_pool2d", size: [3, 3], stride: [2, 2], padding: "same" },
      { op: "adaptive_max_pool2d", output: [5, 4] },
      { op: "adaptive_avg_pool2d", output: [2, 2] },
      { op: "dropout", rate: 0.5 },
      { op: "global_avg_pool2d" },
      { op: "linear", units: 20, bias: false, init: "he_normal" },
      { op: "sigmoid" },
      { op: "dropout", rate: 0.25 },
      { op: "linear", units: 10, bias: true, init: "he_normal" },
    ];
    const { network } = recipeOf(compileSweep(short, "f.yaml").spec);
    expect(network).toEqual({ name: null, layers: expected });
  });
});

describe("training", () => {
  it.each([
    ["constant", { kind: "constant" }],
    ["cosine", { kind: "cosine", floor: 0 }],
    ["one_cycle", { kind: "one_cycle", warmup: 0.3, div: 25, final_div: 10_000 }],
    ["{kind: step, every: 5, factor: 0.5}", { kind: "step", every: 5, factor: 0.5 }],
    ["{step: {every: 5, factor: 0.5}}", { kind: "step", every: 5, factor: 0.5 }],
    ["{exponential: {factor: 0.95}}", { kind: "exponential", factor: 0.95 }],
    ["{cosine: }", { kind: "cosine", floor: 0 }],
    ["[1, 0.5, 0.1]", { kind: "list", factors: [1, 0.5, 0.1], cycle: false }],
    ["{list: [1, 0.5]}", { kind: "list", factors: [1, 0.5], cycle: false }],
    ["{list: {factors: [1, 0.5], cycle: true}}", { kind: "list", factors: [1, 0.5], cycle: true }],
    ["{kind: list, factors: [1, 0.5]}", { kind: "list", factors: [1, 0.5], cycle: false }],
    ["~", { kind: "constant" }],
  ])("schedule: %s", (text, expected) => {
    expect(recipeOf(compileSweep(top(`schedule: ${text}`), "f.yaml").spec).schedule).toEqual(expected);
  });

  it("augmentation, validation, generated data and the rest", () => {
    const { spec } = compileSweep(
      `${sub(
        "dataset: mnist",
        "dataset: {name: synthetic-digits, seed: 9, train_images: 2000, test_images: 300}",
      ).replace(
        "run_cap: 16",
        "run_cap: 16\nvalidation: 500\nmax_wall_time: 1h30m\nmax_parallel: 4\nmax_attempts: 5",
      )}`,
      "f.yaml",
    );
    expect(recipeOf(spec).dataset).toMatchObject({ seed: 9, train_images: 2_000, test_images: 300, validation: 500 });
    expect(spec).toMatchObject({ maxWallMillis: 5_400_000, maxParallel: 4, maxAttempts: 5 });
    const { augmentation } = recipeOf(compileSweep(top("augmentation: {flip: true, crop_padding: 4}"), "f.yaml").spec);
    expect(augmentation).toEqual({
      flip: true,
      crop_padding: 4,
      cutout: 0,
      brightness: 0,
      contrast: 0,
      saturation: 0,
    });
  });
});

describe("warnings", () => {
  it.each([
    [top("program: train.py"), "1:1: program: ignored: trials train on convsweep's own engine, no program is started"],
    [top("project: mine"), "1:1: project: ignored: a store holds all sweeps; name them with name"],
    [
      sub("{name: val_accuracy, goal: maximize}", "{name: val_accuracy}"),
      "7:16: metric: no goal given: val_accuracy is maximized (W&B would minimize it)",
    ],
    [
      sub("goal: maximize", "goal: minimize"),
      "7:36: metric.goal: minimize looks for the worst val_accuracy; was maximize meant?",
    ],
    [sub("val_accuracy", "validation_accuracy"), "7:16: metric.name: validation_accuracy is called val_accuracy here"],
    [top("weight_decay: 1e-4"), "1:1: weight_decay: recorded as l2"],
    [top('epsilon: "1e-7"'), '1:10: epsilon: the text "1e-7" is taken as the number 1e-7'],
    [`${base}  beta1: {min: 0.8, max: 0.95}\n`, "13:10: parameters.beta1: the optimizer momentum does not use it"],
    [
      `${base}  dropout: {min: 0.1, max: 0.5}\n`,
      "13:12: parameters.dropout: the network has no dropout layer, so it changes nothing",
    ],
    [
      top("learning_rate: 0.1"),
      "12:18: parameters.learning_rate: drawn for every trial, so learning_rate at the first level is not used",
    ],
  ])("of %#", (text, warning) => {
    expect(said(text)).toContain(warning);
  });
});

describe("W&B's documented sweeps", () => {
  const ours = "network: lenet\ndataset: mnist\nrun_cap: 4\n";

  it("the quick start's random search", () => {
    const text = `${ours}program: train.py
method: random
metric:
  goal: minimize
  name: val_loss
parameters:
  batch_size:
    values: [16, 32, 64]
  lr:
    max: 0.1
    min: 0.0001
  epochs:
    values: [5, 10, 15]
`;
    const { spec } = compileSweep(text, "f.yaml");
    expect(spec.space.map(({ name, distribution }) => [name, distribution.kind])).toEqual([
      ["batch_size", "categorical"],
      ["learning_rate", "uniform"],
      ["epochs", "categorical"],
    ]);
    expect(spec.objective).toEqual({ name: "val_loss", goal: "minimize", target: null });
  });

  it("a grid of values, with the command that runs it", () => {
    const text = `${ours}program: train.py
command:
  - \${env}
  - python3
  - \${program}
  - \${args}
method: grid
metric: {name: val_loss, goal: minimize}
parameters:
  learning_rate: {values: [0.01, 0.001, 0.0001, 0.00001]}
  optimizer: {values: ["adam", "sgd"]}
  dropout: {value: 0.5}
`;
    const { spec } = compileSweep(text.replace("run_cap: 4\n", ""), "f.yaml");
    expect(spec.runCap).toBe(8);
    expect(spec.sampler.name).toBe("grid");
  });

  it("distributions by name", () => {
    const text = `${ours}method: random
metric: {name: val_loss, goal: minimize}
parameters:
  learning_rate:
    distribution: log_uniform_values
    min: 0.0001
    max: 0.1
  batch_size:
    distribution: q_log_uniform_values
    q: 8
    min: 32
    max: 256
  optimizer:
    values: ["adam", "sgd"]
    probabilities: [0.3, 0.7]
  dropout:
    distribution: uniform
    min: 0
    max: 0.9
`;
    expect(compileSweep(text, "f.yaml").spec.space).toHaveLength(4);
  });

  it.each([
    ["bayes", "method: bayes", /found "bayes"; this version has no other/],
    [
      "early_terminate",
      "method: random\nearly_terminate: {type: hyperband, s: 2, eta: 3, max_iter: 27}",
      /stops no trial early/,
    ],
  ])("%s is refused, not taken for something else", (_what, lines, message) => {
    const text = `${ours}${lines}\nparameters:\n  lr: {min: 0.1, max: 0.2}\n`;
    expect(() => compileSweep(text, "f.yaml")).toThrow(message);
  });
});

describe("a compiled sweep", () => {
  const positive = fc.double({ min: 1e-9, max: 0.5, noNaN: true });
  const ends = fc.tuple(positive, positive).filter(([a, b]) => a < b);
  const distribution = fc.oneof(
    ends.map(([min, max]) => ({ distribution: "uniform", min, max })),
    ends.map(([min, max]) => ({ distribution: "log_uniform_values", min, max })),
    ends.map(([min, max]) => ({ distribution: "zero_or_log", p: 0.5, min, max })),
    fc.tuple(positive, positive).map(([mu, sigma]) => ({ distribution: "log_normal", mu, sigma })),
    fc.uniqueArray(positive, { minLength: 1, maxLength: 4 }).map((values) => ({ values })),
    positive.map((value) => ({ value })),
  );
  const layers = fc.constantFrom(
    ["flatten", { linear: 10 }],
    [
      { residual: [{ conv2d: { filters: 1, kernel: 3, padding: "same" } }, "batch_norm"] },
      { residual: { body: ["relu"], shortcut: [{ residual: ["tanh"] }] } },
      { branches: [[], ["relu", { branches: [["sigmoid"], []] }], [{ op: "residual", body: ["tanh"] }]] },
      "flatten",
      { linear: 10 },
    ],
    [
      { conv2d: { filters: 3, kernel: 3, padding: "same" } },
      "relu",
      { max_pool2d: 2 },
      "flatten",
      { linear: { units: 10 } },
    ],
    [
      { conv2d: { filters: 3, kernel: [2, 3], padding: [1, 0] } },
      "global_max_pool2d",
      "batch_norm",
      { dropout: 0.3 },
      { linear: 10 },
    ],
  );
  const file = fc.record({
    name: fc.string({ minLength: 1, maxLength: 20 }).filter((text) => text.trim() !== ""),
    description: fc.string(),
    network: fc.oneof(fc.constantFrom("lenet", "tinycnn", "logit", "lenet-dropout"), layers),
    dataset: fc.constantFrom("mnist", "fashion-mnist", "synthetic-digits"),
    epochs: fc.integer({ min: 1, max: 50 }),
    batch_size: fc.integer({ min: 1, max: 500 }),
    optimizer: fc.constantFrom("sgd", "momentum", "rmsprop", "adam", "adamw"),
    schedule: fc.constantFrom("constant", "cosine", [1, 0.5], { kind: "step", every: 2, factor: 0.5 }),
    augmentation: fc.record({
      flip: fc.boolean(),
      crop_padding: fc.integer({ min: 0, max: 4 }),
      cutout: fc.integer({ min: 0, max: 28 }),
      brightness: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    method: fc.constant("random"),
    seed: fc.maxSafeNat(),
    run_cap: fc.integer({ min: 1, max: 1_000_000 }),
    max_wall_time: fc.constantFrom(null, "90s", "1h30m"),
    test_at_end: fc.boolean(),
    parameters: fc.record(
      { learning_rate: distribution, l2: distribution, momentum: distribution },
      { requiredKeys: ["l2"] },
    ),
  });

  it("printed as a file and compiled again is the same sweep", () => {
    fc.assert(
      fc.property(file, (data) => {
        const first = compileSweep(JSON.stringify(data), "f.json").spec;
        const again = compileSweep(printSweep(first), "printed.yaml");
        expect({ ...again.spec, source: "" }).toEqual({ ...first, source: "" });
      }),
      { numRuns: 300, seed: 3 },
    );
  });
});

describe("schedule and augmentation values that are searched", () => {
  const compile = (lines: string) =>
    compileSweep(
      `${lines}
network: logit
dataset: mnist
method: random
run_cap: 2
`,
      "f.yaml",
    );

  it("are lane parameters; the recipe keeps null for what it leaves alone", () => {
    const { spec, warnings } = compile(
      "schedule: {step: {every: 2, factor: 0.5}}\nparameters: {gamma: {min: 0.1, max: 0.9}, flip: {min: 0.0, max: 1.0}, crop_padding: {values: [0, 2, 4]}}",
    );
    expect(spec.space.map(({ name }) => name)).toEqual(["schedule_factor", "flip", "crop_padding"]);
    expect(spec.structural).toEqual([]);
    expect(recipeOf(spec).hyperparameters).toMatchObject({ schedule_factor: null, flip: null, cutout: null });
    expect(warnings).toEqual([expect.stringContaining("recorded as schedule_factor")]);
  });

  it("are whole where they count pixels", () => {
    expect(() => compile("parameters: {cutout: {min: 0.0, max: 8.0}}")).toThrow(
      /expected whole numbers from 0 to 4096/,
    );
  });

  it("are advised against where the schedule has no use for them", () => {
    const { warnings } = compile("schedule: cosine\nparameters: {schedule_warmup: {min: 0.1, max: 0.3}}");
    expect(warnings).toEqual([expect.stringContaining("the schedule cosine does not use it (one_cycle would)")]);
  });
});
