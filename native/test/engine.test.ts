/** The door between TypeScript and the engine: errors, wrong arguments, shared control, threads, loading. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ENGINE_ERROR_CODES, EngineError, loadEngine, type Session } from "../index.js";
import { NO_AUGMENTATION } from "../networks/recipe-for.js";
import { engine, engineError, openSmall, runToEnd, smallRecipe, smallSet, vector } from "./support.js";

const addon = fileURLToPath(new URL("../build/engine.node", import.meta.url));

afterEach(() => vi.unstubAllEnvs());

describe("loading", () => {
  it("says what it tried and what to do when there is no engine", () => {
    vi.stubEnv("CONVSWEEP_ENGINE", "/nowhere/engine.node");
    const error = engineError(loadEngine);
    expect(error.code).toBe("ENGINE_NO_DEVICE");
    expect(error.message).toContain("/nowhere/engine.node");
    expect(error.message).toContain("npm run build:native");
  });
  it("says so when the file is no engine", () => {
    vi.stubEnv("CONVSWEEP_ENGINE", fileURLToPath(new URL("../../package.json", import.meta.url)).replace(/$/, ""));
    // A JSON file loads, but has nothing in it that an engine has.
    expect(() => loadEngine().devices()).toThrow(EngineError);
  });
});

it("knows the error codes of error.h, in its order", () => {
  const header = readFileSync(new URL("../include/convsweep/error.h", import.meta.url), "utf8");
  expect([...header.matchAll(/X\((ENGINE_[A-Z_]+)\)/g)].map((match) => match[1])).toEqual([...ENGINE_ERROR_CODES]);
});

it("lists the processor as a device", () => {
  const cpu = engine.devices().find((device) => device.id === "cpu");
  expect(cpu).toMatchObject({ backend: "cpu", unusable: null });
  expect(["avx512", "avx2", "scalar"]).toContain(cpu?.isa);
  expect(cpu?.cores).toBeGreaterThan(0);
  expect(cpu?.memoryBytes).toBeGreaterThan(1e8);
});

describe("data sets", () => {
  const good = smallSet([1, 4, 4], 3, 2);
  it("are registered once", () => {
    expect(engine.hasDataset("engine-test")).toBe(false);
    engine.registerDataset("engine-test", good);
    engine.registerDataset("engine-test", good);
    expect(engine.hasDataset("engine-test")).toBe(true);
  });
  it.each<[string, object, string]>([
    ["no shape", { shape: null }, "arrays.shape"],
    ["a shape of two", { shape: [1, 2] }, "arrays.shape"],
    ["a zero side", { shape: [1, 0, 4] }, "arrays.shape[1]"],
    ["too many classes", { classes: 257 }, "arrays.classes"],
    ["images that are text", { trainImages: "x" }, "arrays.trainImages"],
    ["images that are floats", { testImages: new Float32Array(32) }, "arrays.testImages"],
    ["labels missing", { trainLabels: undefined }, "arrays.trainLabels"],
    ["too few images", { trainImages: new Uint8Array(47) }, "trainImages"],
    ["a label out of range", { trainLabels: Uint8Array.of(0, 10, 2) }, "trainLabels[1]"],
  ])("are refused with %s", (_, change, path) => {
    const error = engineError(() => engine.registerDataset("bad", { ...good, ...change }));
    expect(error).toMatchObject({ code: "ENGINE_BAD_ARGUMENT", path });
    expect(engine.hasDataset("bad")).toBe(false);
  });
});

describe("a session used wrongly", () => {
  const { recipe } = smallRecipe("logit");
  const values = vector(recipe);
  const wrong: Record<string, readonly ((session: Session) => unknown)[]> = {
    addLane: [
      (s) => s.addLane(null as never),
      (s) => s.addLane({ seed: 1 as never, hyperparameters: values, checkpoint: null }),
      (s) => s.addLane({ seed: -1n, hyperparameters: values, checkpoint: null }),
      (s) => s.addLane({ seed: 1n << 64n, hyperparameters: values, checkpoint: null }),
      (s) => s.addLane({ seed: 1n, hyperparameters: [...values] as never, checkpoint: null }),
      (s) => s.addLane({ seed: 1n, hyperparameters: values.slice(1), checkpoint: null }),
      (s) => s.addLane({ seed: 1n, hyperparameters: values, checkpoint: undefined as never }),
      (s) => s.addLane({ seed: 1n, hyperparameters: values, checkpoint: "abc" as never }),
    ],
    removeLane: [
      (s) => s.removeLane(1),
      (s) => s.removeLane(-1),
      (s) => s.removeLane(0.5),
      (s) => s.removeLane("0" as never),
    ],
    setHyperparameters: [
      (s) => s.setHyperparameters(1, values),
      (s) => s.setHyperparameters(0, new Float64Array(3)),
      (s) => s.setHyperparameters(0, vector(recipe, { momentum: 2 })),
    ],
    saveLane: [(s) => s.saveLane(1), (s) => s.saveLane(Number.NaN), (s) => s.saveLane(undefined as never)],
    runSlice: [
      (s) => s.runSlice(undefined as never),
      (s) => s.runSlice({ maxMillis: -1, maxSteps: null }),
      (s) => s.runSlice({ maxMillis: Number.NaN, maxSteps: null }),
      (s) => s.runSlice({ maxMillis: 1, maxSteps: 0 }),
      (s) => s.runSlice({ maxMillis: 1, maxSteps: undefined as never }),
      (s) => s.runSlice({ maxMillis: 1n as never, maxSteps: null }),
    ],
    weights: [(s) => s.weights(7), (s) => s.weights({} as never)],
    loadWeights: [
      (s) => s.loadWeights(0, new Float32Array(3)),
      (s) => s.loadWeights(0, s.weights(0).data.fill(Number.NaN)),
      (s) => s.loadWeights(0, new Float64Array(7850) as never),
    ],
  };
  for (const [method, calls] of Object.entries(wrong)) {
    it(`${method} refuses`, () => {
      const { session } = openSmall("logit", { lanes: 2 });
      session.addLane({ seed: 1n, hyperparameters: values, checkpoint: null });
      for (const call of calls) expect(engineError(() => call(session)).code).toBe("ENGINE_BAD_ARGUMENT");
      session.close();
      for (const call of [
        () => session.addLane({ seed: 1n, hyperparameters: values, checkpoint: null }),
        () => session.removeLane(0),
        () => session.setHyperparameters(0, values),
        () => session.saveLane(0),
        () => session.runSlice({ maxMillis: 1, maxSteps: null }),
        () => session.weights(0),
        () => session.loadWeights(0, new Float32Array(7850)),
        () => session.memory(),
      ]) {
        expect(engineError(call).code).toBe("ENGINE_CLOSED");
      }
      session.close();
    });
  }
  it("refuses a lane too many, and checkpoints that are none", () => {
    const { session } = openSmall("logit");
    const add = (checkpoint: Uint8Array | null) => session.addLane({ seed: 1n, hyperparameters: values, checkpoint });
    expect(engineError(() => add(new Uint8Array(5000))).code).toBe("ENGINE_CORRUPT_CHECKPOINT");
    expect(add(null)).toBe(0);
    expect(engineError(() => add(null)).code).toBe("ENGINE_LANES_FULL");
    const other = openSmall("mlp800");
    other.session.addLane({ seed: 1n, hyperparameters: values, checkpoint: null });
    const foreign = other.session.saveLane(0);
    session.removeLane(0);
    expect(engineError(() => add(foreign)).code).toBe("ENGINE_FOREIGN_CHECKPOINT");
    session.close();
    other.session.close();
  });
  it.each<[string, object, string]>([
    ["a recipe that is no JSON", { recipe: "{" }, "ENGINE_BAD_RECIPE"],
    ["a recipe that is no text", { recipe: {} }, "ENGINE_BAD_ARGUMENT"],
    ["an unknown device", { device: "cuda:0" }, "ENGINE_NO_DEVICE"],
    ["an unknown data set", { dataset: "?" }, "ENGINE_NO_DATASET"],
    ["no lanes", { lanes: 0 }, "ENGINE_BAD_ARGUMENT"],
    ["half a thread", { threads: 0.5 }, "ENGINE_BAD_ARGUMENT"],
    ["an unknown instruction set", { isa: "mmx" }, "ENGINE_BAD_ARGUMENT"],
    ["control over an ordinary buffer", { control: new Int32Array(2) }, "ENGINE_BAD_ARGUMENT"],
    ["control of one word", { control: new Int32Array(new SharedArrayBuffer(4)) }, "ENGINE_BAD_ARGUMENT"],
    ["control of other words", { control: new Uint32Array(new SharedArrayBuffer(8)) }, "ENGINE_BAD_ARGUMENT"],
  ])("does not open with %s", (_, options, code) => {
    expect(engineError(() => openSmall("logit", options)).code).toBe(code);
  });
});

it("says where a recipe is wrong", () => {
  const error = engineError(() => openSmall("logit", {}, { batch_size: 0 }));
  expect(error).toMatchObject({ code: "ENGINE_BAD_RECIPE", path: "batch_size" });
});

it("stops at the control word and counts operations and batches, of what is looked at after training too", () => {
  const control = new Int32Array(new SharedArrayBuffer(8));
  const { session, recipe } = openSmall("logit", { control });
  session.addLane({ seed: 1n, hyperparameters: vector(recipe), checkpoint: null });
  expect(session.runSlice({ maxMillis: 1000, maxSteps: 2 }).state).toBe("more");
  // Flatten and linear forward, linear backward, and the batch.
  expect(control[1]).toBe(2 * 4);
  Atomics.store(control, 0, 1);
  expect(session.runSlice({ maxMillis: 1000, maxSteps: null }).state).toBe("interrupted");
  expect(control[1]).toBe(2 * 4);
  session.logits(0, "validation", 0);
  expect(control[1]).toBe(2 * 4 + 2);
  session.close();
});

it("hands weights out and takes them back", () => {
  const { session, recipe } = openSmall("tinycnn", { lanes: 2 });
  session.addLane({ seed: 1n, hyperparameters: vector(recipe), checkpoint: null });
  session.addLane({ seed: 2n, hyperparameters: vector(recipe), checkpoint: null });
  const { tensors, data } = session.weights(0);
  expect(tensors[0]).toEqual({ name: "0.conv2d.weight", shape: [4, 1, 2, 2] });
  expect(session.weights(1).data).not.toEqual(data);
  session.loadWeights(1, data);
  expect(session.weights(1).data).toEqual(data);
  session.close();
});

it("reports a lane whose loss is no longer finite", () => {
  const { session, recipe } = openSmall("mlp800", {}, { augmentation: NO_AUGMENTATION });
  session.addLane({ seed: 1n, hyperparameters: vector(recipe, { learning_rate: 1e6, l2: 1e6 }), checkpoint: null });
  const slices = runToEnd(() => session.runSlice({ maxMillis: 1000, maxSteps: null }));
  expect(slices.flatMap((slice) => slice.diverged)).toMatchObject([
    { lane: 0, what: expect.stringMatching(/loss|weights/) },
  ]);
  expect(slices.at(-1)?.state).toBe("idle");
  session.close();
});

it("works in threads of its own, over the same data sets", async () => {
  const { recipe, digest } = smallRecipe("tinycnn");
  const code = `
    const { parentPort, workerData: d } = require("node:worker_threads");
    const engine = require(d.addon);
    const session = engine.openSession({ recipe: d.recipe, device: "cpu", dataset: d.digest, lanes: 1, threads: 2,
      isa: "auto", control: null });
    engine.addLane(session, { seed: 7n, hyperparameters: d.values, checkpoint: null });
    while (engine.runSlice(session, { maxMillis: 5, maxSteps: null }).state === "more");
    const saved = engine.saveLane(session, 0);
    if (d.close) engine.closeSession(session);
    parentPort.postMessage(saved);`;
  const work = (close: boolean) =>
    new Promise<Uint8Array>((resolve, reject) => {
      const workerData = { addon, digest, recipe: JSON.stringify(recipe), values: vector(recipe), close };
      const worker = new Worker(code, { eval: true, workerData });
      let saved = new Uint8Array();
      worker.on("message", (bytes: Uint8Array<ArrayBuffer>) => {
        saved = bytes;
      });
      worker.on("error", reject);
      worker.on("exit", (exit) => (exit === 0 ? resolve(saved) : reject(new Error(`exit ${exit}`))));
    });
  // Two at once; one leaves its session to the finaliser.
  const [one, two] = await Promise.all([work(true), work(false)]);
  const { session } = openSmall("tinycnn");
  session.addLane({ seed: 7n, hyperparameters: vector(recipe), checkpoint: null });
  runToEnd(() => session.runSlice({ maxMillis: 1000, maxSteps: null }));
  expect(Buffer.compare(one, session.saveLane(0))).toBe(0);
  expect(Buffer.compare(two, session.saveLane(0))).toBe(0);
  session.close();
});
