/**
 * What training does, as far as anybody outside of a thread can see: a function of the trial's seed and the plan. The
 * oracle and the workers compute the same values.
 */
import type { Plan, SweepPlan } from "./plan.js";
import { mix } from "./random.js";

export type Fate = "completes" | "diverges" | "fails" | "kills";

/** `SWEEP/NUMBER#N`, taken apart. */
export function parts(attempt: string): { readonly sweep: number; readonly number: number } {
  const slash = attempt.indexOf("/");
  return { sweep: Number(attempt.slice(0, slash)), number: Number.parseInt(attempt.slice(slash + 1), 10) };
}

export function fateOf(plan: Plan, seed: string): Fate {
  const lot = mix(Number.parseInt(seed.slice(0, 8), 16) ^ 0x51ed);
  if (plan.poisonous > 0 && lot % plan.poisonous === 0) return "kills";
  if (plan.diverging > 0 && lot % plan.diverging === 1) return lot % 2 === 0 ? "diverges" : "fails";
  return "completes";
}

/** In [0, 1), one in sixteen not finite. */
export function accuracyOf(seed: string, epoch: number, device: number): number {
  const lot = mix(Number.parseInt(seed.slice(8, 16), 16) + epoch * 7919 + device * 104_729);
  return lot % 16 === 0 ? Number.NaN : (lot % 1000) / 1000;
}

export function hashOf(seed: string, device: number): string {
  return device === 0 ? seed.repeat(4) : mix(device).toString(16).padStart(8, "0").repeat(8);
}

/** Sweeps are numbered in the order of submission; one submitted twice has a number beyond the plan's. */
export function sweepOf(plan: Plan, sweep: number): SweepPlan {
  const found = plan.sweeps[sweep - 1] ?? plan.sweeps[plan.sweeps.length - 1];
  if (found === undefined) throw new Error("a plan without sweeps");
  return found;
}
