/** A sweep of a plan as the command line would submit it. */
import type { SweepSpec } from "../../coordinator/core/types.js";
import type { SweepPlan } from "./plan.js";

export function specOf(sweep: SweepPlan, seed: number): SweepSpec {
  const space: SweepSpec["space"] = sweep.grid
    ? [{ name: "l2", distribution: { kind: "categorical", values: [0, 1e-4], probabilities: null } }]
    : [{ name: "l2", distribution: { kind: "uniform", min: 0, max: 1, q: null, integer: false } }];
  return {
    name: "simulated",
    description: "",
    space,
    sampler: { name: sweep.grid ? "grid" : "random", options: null },
    scheduler: { name: sweep.scheduler, options: null },
    objective: { name: "val_accuracy", goal: "maximize", target: sweep.target },
    seed,
    runCap: sweep.runCap,
    maxParallel: sweep.maxParallel,
    maxWallMillis: sweep.maxWallMillis,
    maxAttempts: sweep.maxAttempts,
    recipe: { version: 1 },
    recipeDigest: "d",
    epochs: sweep.epochs,
    structural: [],
    source: "",
  };
}
