/** The table of mutants: how soon each is caught, how often, by which invariant, and how small its failure shrinks. */
import { MUTANTS } from "./mutants.js";
import { planOf } from "./plan.js";
import { runPlan } from "./run.js";
import { shrink } from "./shrink.js";

export interface Catch {
  readonly mutant: string;
  readonly first: number | null;
  readonly caught: number;
  readonly seeds: number;
  /** Invariants that caught it, the most frequent first. */
  readonly invariants: readonly string[];
  readonly shrunk: string;
}

/** Runs a mutant on seeds `from` to `from + seeds - 1`; stops at the first catch if `untilFirst`. */
export function catchMutant(mutant: string, from: number, seeds: number, untilFirst: boolean): Catch {
  const byInvariant = new Map<string, number>();
  let first: number | null = null;
  let caught = 0;
  for (let seed = from; seed < from + seeds; seed += 1) {
    const { violation } = runPlan(planOf(seed), mutant);
    if (violation === null) continue;
    first ??= seed;
    caught += 1;
    byInvariant.set(violation.invariant, (byInvariant.get(violation.invariant) ?? 0) + 1);
    if (untilFirst) break;
  }
  const invariants = [...byInvariant].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const small = first === null || untilFirst ? null : shrink(planOf(first), mutant);
  const shrunk =
    small === null
      ? ""
      : `${count(small.plan.faults.length + small.plan.crashes.length, "fault")}, ${count(small.steps, "step")}`;
  return { mutant, first, caught, seeds, invariants, shrunk };
}

export function tableOf(seeds: number): string {
  const rows = Object.keys(MUTANTS).map((mutant) => catchMutant(mutant, 0, seeds, false));
  const lines = rows.map(
    ({ mutant, first, caught, invariants, shrunk }) =>
      `| \`${mutant}\` | ${MUTANTS[mutant]?.what ?? ""} | ${first ?? "never"} | ${caught} | ${invariants.join(", ")} | ${shrunk} |`,
  );
  return [
    `| mutant | what is wrong | first seed | of ${seeds} seeds | caught by | shrunk to |`,
    "|---|---|---|---|---|---|",
    ...lines,
  ].join("\n");
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
