/**
 * Whole networks of the catalogue through the CUDA kernels on the host emulator, beside the CPU: the same images, draws and
 * weights, so that three steps differ by rounding alone. `resnet18` has a fraction of its filters, the others are as they are.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it, vi } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
type Support = typeof import("./support.js");

describe("networks on the emulator", () => {
  let support: Support;
  beforeAll(async () => {
    const build = spawnSync(process.execPath, [`${root}native/build.mjs`, "--emulated", "--quiet"], {
      encoding: "utf8",
    });
    if (build.status !== 0) throw new Error(build.stderr);
    vi.stubEnv("CONVSWEEP_ENGINE", `${root}native/build/engine-emulated.node`);
    support = await import("./support.js");
  }, 900_000);

  function train(name: string, device: string) {
    const { openSmall, vector, runToEnd } = support;
    // Adam would make a whole step of a gradient that is nothing but rounding: that of a bias in front of a batch norm.
    const { session, recipe } = openSmall(
      name,
      { device, lanes: 2 },
      { batch_size: 4, epochs: 1, optimizer: "momentum", test_at_end: false },
    );
    for (const seed of [5n, 6n])
      session.addLane({
        seed,
        hyperparameters: vector(recipe, { learning_rate: 1e-3, momentum: 0.9 }),
        checkpoint: null,
      });
    const before = session.weights(1).data.slice();
    const slice = session.runSlice({ maxMillis: 1e6, maxSteps: 3 });
    const after = session.weights(1).data.slice();
    const reports = runToEnd(() => session.runSlice({ maxMillis: 1e6, maxSteps: null })).flatMap((s) => s.reports);
    session.close();
    return { before, after, losses: slice.positions.map(({ loss }) => loss), reports };
  }

  it.each(["tinycnn", "lenet", "convnet5", "resnet18"])("%s agrees with the CPU over three steps", (name) => {
    const near = train(name, "cpu");
    const far = train(name, "emulated:0");
    expect(far.before).toEqual(near.before);
    const largest = near.after.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
    const apart = near.after.reduce((most, weight, i) => Math.max(most, Math.abs(weight - (far.after[i] ?? NaN))), 0);
    const moved = near.after.reduce((most, weight, i) => Math.max(most, Math.abs(weight - (near.before[i] ?? NaN))), 0);
    expect(moved).toBeGreaterThan(10 * apart);
    expect(apart / largest).toBeLessThan(1e-4);
    for (const [i, loss] of near.losses.entries())
      expect(Math.abs((far.losses[i] ?? NaN) / (loss ?? NaN) - 1)).toBeLessThan(1e-4);
    expect(far.reports.map(({ epoch, lane }) => [epoch, lane])).toEqual(
      near.reports.map(({ epoch, lane }) => [epoch, lane]),
    );
  });
});
