/**
 * Random interleavings of everything that can happen to the core. After every event the invariants hold (rig.ts), the
 * oracle agrees (world.ts), and once all is healed every sweep ends with exactly the trials asked for.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { enact } from "../../coordinator/core/decide.js";
import { emptyState, partsOf, stateFrom } from "../../coordinator/core/state.js";
import { isFinal } from "../../coordinator/core/transitions.js";
import { millis } from "../../proto/contract.js";
import type { Step } from "./world.js";
import { World } from "./world.js";

const steps: fc.Arbitrary<Step[]> = fc.array(fc.record({ what: fc.nat(19), who: fc.nat(5), how: fc.nat(20_000) }), {
  minLength: 20,
  maxLength: 220,
  size: "max",
});

const SPECS = [
  { runCap: 6, name: "one" },
  {
    runCap: 4,
    name: "two",
    maxParallel: 2,
    recipeDigest: "d2",
    seed: 11,
    objective: { name: "val_accuracy", goal: "minimize", target: null },
  },
] as const;

describe("the core among unreliable workers", () => {
  const seen = new Map<string, number>();

  it("keeps its invariants and ends every sweep with exactly the trials asked for", { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(steps, fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }), (taken, lanes) => {
        const world = new World(SPECS, lanes);
        for (const step of taken) world.take(step);
        const took = world.heal();
        for (const sweep of world.rig.state.sweeps.values()) {
          const trials = [...world.rig.state.trials.values()].filter((trial) => trial.sweep === sweep.id);
          const asked = trials.filter((trial) => trial.origin.kind !== "rerun");
          expect(trials.every((trial) => isFinal(trial.state))).toBe(true);
          if (sweep.state === "cancelled") expect(asked.length).toBeLessThanOrEqual(sweep.spec.runCap);
          else expect(asked.length).toBe(sweep.spec.runCap);
          for (const trial of trials) expect(trial.losses).toBeLessThanOrEqual(sweep.spec.maxAttempts);
        }
        // Back-off of at most two losses, leases, and a second a round of work.
        expect(took).toBeLessThan(300_000);
        const once = new Set(world.rig.reports.map((report) => `${report.attempt} ${report.epoch}`));
        expect(once.size, "each report is recorded once").toBe(world.rig.reports.length);
        for (const [what, times] of world.seen) seen.set(what, (seen.get(what) ?? 0) + times);
        for (const { kind } of world.rig.events) seen.set(kind, (seen.get(kind) ?? 0) + 1);
      }),
      { numRuns: 250, seed: 20_261, interruptAfterTimeLimit: 100_000 },
    );
  });

  it.each([
    "stale refused",
    "delivered twice",
    "lease expired",
    "offered again",
    "revoked",
    "restarted",
    "attempt-lost",
    "attempt-released",
    "attempt-stopping",
    "trial-lost",
    "trial-failed",
    "trial-cancelled",
    "trial-verified",
    "worker-gone",
    "worker-away",
    "sweep-cancelled",
    "sweep-extended",
  ])("has met: %s", (what) => expect(seen.get(what) ?? 0).toBeGreaterThan(0));

  it("decides the same again, also from a snapshot that went through JSON", { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(steps, fc.nat(1_000_000), (taken, cut) => {
        const world = new World(SPECS, [2, 3]);
        for (const step of taken) world.take(step);
        const from = cut % world.log.length;
        let state = emptyState();
        for (const [index, { event, now, reports, mutations }] of world.log.entries()) {
          if (index >= from && index % 7 === 0) state = stateFrom(JSON.parse(JSON.stringify(partsOf(state))));
          const history = {
            attemptReports: (attempt: string) =>
              world.rig.reports.slice(0, reports).filter((report) => report.attempt === attempt),
          };
          // The bench applies what was decided; the runtime keeps the state that the decision left.
          const decision = enact(state, event, millis(now), history);
          if (mutations !== "restart") expect(JSON.stringify(decision.mutations)).toBe(mutations);
        }
        expect(JSON.stringify(partsOf(state))).toBe(JSON.stringify(partsOf(world.rig.state)));
      }),
      { numRuns: 60, seed: 77, interruptAfterTimeLimit: 100_000 },
    );
  });
});
