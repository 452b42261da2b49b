/** Random and grid, each beyond what every sampler must do. */
import { describe, expect, it } from "vitest";
import { rngFor } from "../../coordinator/core/rng.js";
import { gridSampler, gridSize } from "../../coordinator/core/samplers/grid.js";
import type { Distribution, Json, Parameters, Space } from "../../coordinator/core/types.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

function pointsOf(space: Space): readonly Parameters[] {
  const points: Parameters[] = [];
  let state: Json = null;
  for (;;) {
    const suggestion = gridSampler.suggest({
      space,
      objective: { name: "m", goal: "minimize", target: null },
      options: null,
      observations: [],
      trialNumber: points.length,
      rng: rngFor(1, points.length, "parameters"),
      state,
    });
    if (suggestion.kind === "exhausted") return points;
    points.push(suggestion.parameters);
    state = suggestion.state;
  }
}

const space = (distributions: Readonly<Record<string, Distribution>>): Space =>
  Object.entries(distributions).map(([name, distribution]) => ({ name, distribution }));

describe("grid", () => {
  it("goes through W&B's order: names sorted, the last one fastest", () => {
    const points = pointsOf(
      space({
        optimizer: { kind: "categorical", values: ["sgd", "adam"], probabilities: null },
        batch_size: { kind: "int_uniform", min: 1, max: 2 },
        seed: { kind: "constant", value: 3 },
        l2: { kind: "uniform", min: 0, max: 0.3, q: 0.1, integer: false },
      }),
    );
    expect(points[0] && Object.keys(points[0])).toEqual(["optimizer", "batch_size", "seed", "l2"]);
    const rows = points.map((point) => [point["batch_size"], point["l2"], point["optimizer"], point["seed"]].join(" "));
    expect(rows).toEqual([
      "1 0 sgd 3",
      "1 0 adam 3",
      "1 0.1 sgd 3",
      "1 0.1 adam 3",
      "1 0.2 sgd 3",
      "1 0.2 adam 3",
      "2 0 sgd 3",
      "2 0 adam 3",
      "2 0.1 sgd 3",
      "2 0.1 adam 3",
      "2 0.2 sgd 3",
      "2 0.2 adam 3",
    ]);
  });

  // numpy.arange(min, max, q), as printed by numpy with all digits.
  it.each([
    [{ min: 1, max: 10, q: 3 }, [1, 4, 7]],
    [{ min: 0, max: 9, q: 3 }, [0, 3, 6]],
    [{ min: 0, max: 1, q: 0.3 }, [0, 0.3, 0.6, 0.8999999999999999]],
    [{ min: 0.1, max: 0.6, q: 0.1 }, [0.1, 0.2, 0.30000000000000004, 0.4, 0.5]],
    [{ min: 1, max: 1.3, q: 0.1 }, [1, 1.1, 1.2000000000000002, 1.3000000000000003]],
  ])("counts q_uniform %j as numpy does", ({ min, max, q }, expected) => {
    const points = pointsOf(space({ x: { kind: "uniform", min, max, q, integer: false } }));
    expect(points.map((point) => point["x"])).toEqual(expected);
  });

  it("visits each point of a product once, and knows how many", () => {
    const grid = space({
      z: { kind: "int_uniform", min: -3, max: 4 },
      y: { kind: "categorical", values: [true, false, "auto"], probabilities: null },
      x: { kind: "uniform", min: 0, max: 10, q: 2, integer: true },
    });
    const points = pointsOf(grid);
    expect(gridSize(grid)).toBe(8 * 3 * 5);
    expect(new Set(points.map((point) => JSON.stringify(point))).size).toBe(8 * 3 * 5);
    expect(points).toHaveLength(8 * 3 * 5);
  });

  it.each([
    ["learning_rate", { kind: "log_uniform", min: 1e-4, max: 1e-1, q: null, integer: false }, "log_uniform"],
    ["dropout", { kind: "uniform", min: 0, max: 1, q: null, integer: false }, "uniform"],
    [
      "optimizer",
      { kind: "categorical", values: ["a", "b"], probabilities: [0.5, 0.5] },
      "categorical with probabilities",
    ],
  ] as const)("refuses %s", (name, distribution, found) => {
    expect(gridSampler.check(space({ [name]: distribution }), null)).toMatchObject({
      path: `parameters.${name}`,
      found,
    });
  });

  it("ends the sweep when the space is used up, though more trials were asked for", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(4)]);
    const grid = space({ a: { kind: "int_uniform", min: 1, max: 3 } });
    rig.submit({ runCap: 100, sampler: { name: "grid", options: null }, space: grid });
    worker.hello();
    expect(rig.sweep(1).cause).toBe("space exhausted");
    for (const assign of rig.assigns()) worker.train(assign);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "space exhausted", nextTrial: 3 });
    expect(rig.sweep(1).spec.runCap).toBe(3);
  });

  it("ends it also when the last worker left with the last trial", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    const grid = space({ a: { kind: "constant", value: 3 } });
    rig.submit({ runCap: 100, sampler: { name: "grid", options: null }, space: grid });
    worker.hello();
    worker.draining();
    for (const assign of rig.assigns()) worker.train(assign);
    expect(rig.sweep(1)).toMatchObject({ state: "completed", cause: "space exhausted" });
  });
});

describe("random", () => {
  it("draws trial 3 the same, whatever ran before it and on whichever worker", () => {
    const drawn = [1, 2, 6].map((lanes) => {
      const rig = new Rig();
      const worker = new FakeWorker(rig, `w${lanes}`, [deviceOf(lanes)]);
      rig.submit({ runCap: 6 });
      worker.hello();
      while (rig.sweep(1).state === "running")
        for (const { message } of rig.take()) if (message.kind === "Assign") worker.train(message);
      return [0, 1, 2, 3, 4, 5].map((number) => ({
        ...rig.trial(1, number).parameters,
        seed: rig.trial(1, number).seed,
      }));
    });
    expect(drawn[1]).toEqual(drawn[0]);
    expect(drawn[2]).toEqual(drawn[0]);
    expect(new Set(drawn[0]?.map((trial) => trial.seed)).size).toBe(6);
  });
});
