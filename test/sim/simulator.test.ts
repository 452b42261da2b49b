import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MUTANTS } from "./mutants.js";
import { type Plan, planOf } from "./plan.js";
import { runPlan } from "./run.js";
import { shrink } from "./shrink.js";
import { catchMutant } from "./table.js";

const SEEDS = 2_000;

function kept(name: string): Plan {
  const file = new URL(`regressions/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { readonly plan: Plan }).plan;
}

const names = readdirSync(new URL("regressions/", import.meta.url)).map((file) => file.replace(/\.json$/, ""));

/** What has to happen at least once in so many schedules, or they look at too little. */
const SOMETIMES = [
  "stale report refused",
  "stale claim",
  "duplicate report",
  "conflict refused",
  "crash between commit and ack",
  "crash during a flush",
  "fsync failed",
  "degraded",
  "re-lease while old worker alive",
  "assignment sent again",
  "one-way partition healed on an open link",
  "buffer cap hit",
  "checkpoint kept",
  "checkpoint fallback",
  "goes on from a checkpoint",
  "poison",
  "coordinator restarted",
  "taken over from a dead process",
  "lease lapsed",
  "holder back after its lease",
  "fault restore",
  "several messages in one",
];

describe("the simulator", () => {
  it(`finds nothing wrong in ${SEEDS} schedules, and enough happens in them`, { timeout: 120_000 }, () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const outcome = runPlan(planOf(seed));
      expect(outcome.violation, `seed ${seed}`).toBeNull();
      for (const [what, times] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + times);
    }
    expect(SOMETIMES.filter((what) => (counts.get(what) ?? 0) === 0)).toEqual([]);
  });

  it("does the same again for the same plan", () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const [first, again] = [runPlan(planOf(seed), null, true), runPlan(planOf(seed), null, true)];
      expect(again.notes, `seed ${seed}`).toEqual(first.notes);
      expect(again.commits).toBe(first.commits);
    }
  });

  it.each(names)("finds nothing wrong in the plan that once failed: %s", (name) => {
    expect(runPlan(kept(name)).violation).toBeNull();
  });

  it.each(Object.keys(MUTANTS))("catches the mutant %s", { timeout: 120_000 }, (mutant) => {
    expect(catchMutant(mutant, 0, SEEDS, true).first).not.toBeNull();
  });

  it("shrinks a failure to less, which fails the same way", () => {
    const { first } = catchMutant("no-new-fence", 0, 200, true);
    const plan = planOf(first ?? 0);
    const small = shrink(plan, "no-new-fence");
    expect(small?.invariant).toBe("I4");
    expect(JSON.stringify(small?.plan).length).toBeLessThan(JSON.stringify(plan).length);
    expect(small && runPlan(small.plan, "no-new-fence").violation?.invariant).toBe("I4");
  });
});
