/** Runs a plan once and says what came of it. */
import type { Mutation } from "../../coordinator/core/events.js";
import { stateFrom } from "../../coordinator/core/state.js";
import { stateText } from "./ending.js";
import type { MutantName } from "./mutants.js";
import type { Violation } from "./oracle.js";
import type { Plan } from "./plan.js";
import { SimulatedWorld } from "./world.js";

export interface Outcome {
  readonly violation: Violation | null;
  /** What happened in virtual time: messages, timers, turns. */
  readonly steps: number;
  /** Events that the core decided. */
  readonly decided: number;
  readonly commits: number;
  /** Every batch that became durable. */
  readonly log: readonly (readonly Mutation[])[];
  /** What a restart would find at the end, as text. */
  readonly onDisk: () => string;
  readonly counts: ReadonlyMap<string, number>;
  /** What happened, a line each; `null` unless asked for. */
  readonly notes: readonly string[] | null;
}

export function runPlan(plan: Plan, mutant: MutantName | null = null, noting = false): Outcome {
  const world = new SimulatedWorld(plan, mutant, noting);
  try {
    world.run();
  } catch (thrown) {
    world.oracle.fail("CORE", thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  }
  const { oracle, steps, counts, notes, disk } = world;
  return {
    violation: oracle.violation,
    steps,
    decided: oracle.decided,
    commits: disk.log.length,
    log: disk.log,
    onDisk: () => stateText(stateFrom(disk.load())),
    counts,
    notes,
  };
}
