/** What `probe` measures, against an engine that trains at a known pace on a clock of its own. */
import { describe, expect, it } from "vitest";
import { findDataset } from "../../native/datasets.js";
import { findNetwork } from "../../native/networks/index.js";
import { recipeFor } from "../../native/networks/recipe-for.js";
import type { DatasetArrays, SessionOptions, SliceResult } from "../../worker/engine.js";
import { describeProbe, probe } from "../../worker/probe.js";
import { ScriptedEngine, ScriptedSession } from "./scripted-engine.js";

const STEP_MILLIS = 4;

/** One step of every lane takes 4 ms, however many lanes there are; a slice ends with the step that fills its time. */
class PacedEngine extends ScriptedEngine {
  now = 0;
  readonly images: DatasetArrays[] = [];

  override registerDataset(_digest?: string, arrays?: DatasetArrays): void {
    if (arrays) this.images.push(arrays);
  }

  override createSession(options: SessionOptions): ScriptedSession {
    const session = new PacedSession(this, options);
    this.sessions.push(session);
    return session;
  }
}

class PacedSession extends ScriptedSession {
  private step = 0;

  override runSlice(limits?: { readonly maxMillis: number; readonly maxSteps: number | null }): SliceResult {
    const { maxMillis = 0, maxSteps = null } = limits ?? {};
    const steps = Math.min(Math.max(1, Math.ceil(maxMillis / STEP_MILLIS)), maxSteps ?? Number.POSITIVE_INFINITY);
    this.step += steps;
    (this.engine as PacedEngine).now += steps * STEP_MILLIS;
    const positions = [...this.lanes.keys()].map((lane) => ({ lane, epoch: 0, step: this.step, loss: 1 }));
    return { reports: [], diverged: [], positions, state: "more" };
  }
}

describe("probe", () => {
  const network = findNetwork("logit");
  const dataset = findDataset("mnist");
  if (!network || !dataset) throw new Error("the catalogue lacks what the test needs");
  const recipe = recipeFor(network, dataset, { batch_size: 50, epochs: 2 });

  it("counts the images of all lanes in the time they took, warm-up apart", () => {
    const engine = new PacedEngine();
    const options = { recipe: JSON.stringify(recipe), device: "cpu", lanes: 8, threads: 2, millis: 1_000 };
    const result = probe(engine, { ...options, now: () => engine.now });
    // 250 steps a second of 50 images, and as many for each lane.
    expect(result.speeds).toEqual([
      { lanes: 1, steps: 250, seconds: 1, imagesPerSecond: 12_500 },
      { lanes: 8, steps: 2_000, seconds: 1, imagesPerSecond: 100_000 },
    ]);
    expect(result).toMatchObject({
      device: "cpu",
      fingerprint: "cpu/float32/scripted",
      bytesPerLane: 10,
      bytesShared: 1,
    });
    expect(engine.sessions.map((s) => [s.capacity, s.closed])).toEqual([
      [1, true],
      [8, true],
    ]);
    expect(describeProbe(result)).toContain("8 lanes  100,000 images/s together");
  });

  it("trains on images of the recipe's shape and as many as its recipe says", () => {
    const engine = new PacedEngine();
    probe(engine, {
      recipe: JSON.stringify(recipe),
      device: "cpu",
      lanes: 1,
      threads: 1,
      millis: 10,
      now: () => engine.now,
    });
    const [images] = engine.images;
    const used = JSON.parse(engine.sessions[0]?.options.recipe ?? "{}").dataset;
    expect(images?.shape).toEqual([1, 28, 28]);
    expect(images?.trainImages).toHaveLength(used.train_images * 784);
    expect(images?.trainLabels).toHaveLength(used.train_images);
    expect(images?.testImages).toHaveLength(used.test_images * 784);
    expect(Math.max(...(images?.trainLabels ?? []))).toBe(9);
    expect(used.train_images - used.validation).toBeGreaterThanOrEqual(4 * recipe.batch_size);
    expect(engine.sessions).toHaveLength(1);
  });
});
