/**
 * Makes a failing plan small: parts are taken out of it as long as the same invariant still fails. The plan is data, and
 * its streams of random numbers do not depend on each other, so what remains does what it did before.
 */
import type { MutantName } from "./mutants.js";
import type { Plan } from "./plan.js";
import { runPlan } from "./run.js";

export interface Shrunk {
  readonly plan: Plan;
  readonly invariant: string;
  /** Plans tried. */
  readonly tries: number;
  /** What happens in the smallest one. */
  readonly steps: number;
}

const TRIES = 400;

/** `null` if the plan does not fail. */
export function shrink(plan: Plan, mutant: MutantName | null = null): Shrunk | null {
  const first = runPlan(plan, mutant);
  if (first.violation === null) return null;
  const { invariant } = first.violation;
  let [smallest, steps, tries] = [plan, first.steps, 0];
  for (let progress = true; progress && tries < TRIES; ) {
    progress = false;
    for (const candidate of smallerThan(smallest)) {
      if (tries >= TRIES) break;
      tries += 1;
      const outcome = runPlan(candidate, mutant);
      if (outcome.violation?.invariant !== invariant) continue;
      [smallest, steps, progress] = [candidate, outcome.steps, true];
      break;
    }
  }
  return { plan: smallest, invariant, tries, steps };
}

/** One step smaller, the largest steps first. */
function* smallerThan(plan: Plan): Generator<Plan> {
  if (plan.faults.length > 1) yield { ...plan, faults: [] };
  for (const faults of withoutOne(plan.faults)) yield { ...plan, faults };
  for (const crashes of withoutOne(plan.crashes)) yield { ...plan, crashes };
  for (const actions of withoutOne(plan.actions)) yield { ...plan, actions };
  // The last worker or liar goes first: numbers of the others stay.
  for (const workers of [...withoutOne(plan.workers)].reverse()) {
    if (workers.some((worker) => !worker.lies)) yield { ...plan, workers };
  }
  for (const sweeps of [...withoutOne(plan.sweeps)].reverse()) if (sweeps.length > 0) yield { ...plan, sweeps };
  if (plan.drop + plan.duplicate + plan.reorder > 0) yield { ...plan, drop: 0, duplicate: 0, reorder: 0 };
  if (plan.latency.least !== 5 || plan.latency.most !== 5) yield { ...plan, latency: { least: 5, most: 5 } };
  if (plan.viewers > 0) yield { ...plan, viewers: 0 };
  if (plan.checkpoints > 0) yield { ...plan, checkpoints: 0, badFiles: 0 };
  if (plan.deep) yield { ...plan, deep: false };
  if (plan.turnMillis > 0) yield { ...plan, turnMillis: 0 };
  if (plan.batch === 1) yield { ...plan, batch: 1_024 };
  if (plan.window < 256) yield { ...plan, window: 256 };
  if (plan.outbox < 50_000) yield { ...plan, outbox: 50_000 };
  if (plan.diverging + plan.poisonous > 0) yield { ...plan, diverging: 0, poisonous: 0 };
  for (const [index, sweep] of plan.sweeps.entries()) {
    const simpler = { maxParallel: null, maxWallMillis: null, target: null, scheduler: "none", grid: false } as const;
    const changed = { ...sweep, ...simpler };
    if (JSON.stringify(changed) !== JSON.stringify(sweep)) yield { ...plan, sweeps: plan.sweeps.with(index, changed) };
    if (sweep.runCap > 1) yield { ...plan, sweeps: plan.sweeps.with(index, { ...sweep, runCap: sweep.runCap - 1 }) };
    if (sweep.epochs > 1) yield { ...plan, sweeps: plan.sweeps.with(index, { ...sweep, epochs: sweep.epochs - 1 }) };
  }
  for (const [index, worker] of plan.workers.entries()) {
    if (worker.drift !== 1) yield { ...plan, workers: plan.workers.with(index, { ...worker, drift: 1 }) };
    if (worker.lanes > 1) yield { ...plan, workers: plan.workers.with(index, { ...worker, lanes: 1 }) };
  }
  for (const [index, fault] of plan.faults.entries()) {
    if (Math.abs(fault.millis) < 100) continue;
    yield { ...plan, faults: plan.faults.with(index, { ...fault, millis: Math.trunc(fault.millis / 2) }) };
  }
}

function withoutOne<T>(values: readonly T[]): readonly T[][] {
  return values.map((_, index) => values.filter((_value, other) => other !== index));
}
