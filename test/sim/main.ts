/**
 * The simulator's command line, run by run.mjs. Exit code 1 if any schedule violates anything.
 *
 * --schedules N   how many (1000)          --seed N     the first one (0)
 * --jobs N        processes (1)            --mutant M   a mistake planted
 * --show          what happens, a line an event          --shrink     the smallest plan that fails, as JSON
 * --plan FILE     that plan, not seeds     --table      the table of mutants over --schedules seeds
 */
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Plan } from "./plan.js";
import { planOf } from "./plan.js";
import { runPlan } from "./run.js";
import { shrink } from "./shrink.js";
import { tableOf } from "./table.js";

interface Tally {
  schedules: number;
  failed: number;
  steps: number;
  decided: number;
  commits: number;
  cpuSeconds: number;
  readonly counts: Record<string, number>;
  readonly failures: string[];
}

const { values } = parseArgs({
  options: {
    schedules: { type: "string", default: "1000" },
    seed: { type: "string", default: "0" },
    jobs: { type: "string", default: "1" },
    mutant: { type: "string" },
    plan: { type: "string" },
    show: { type: "boolean", default: false },
    shrink: { type: "boolean", default: false },
    table: { type: "boolean", default: false },
    tally: { type: "boolean", default: false },
  },
});
const mutant = values.mutant ?? null;
const first = Number(values.seed);
const schedules = Number(values.schedules);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

function runSeeds(from: number, count: number): Tally {
  // Traces cost more than the schedules; a failure is run again with them.
  Error.stackTraceLimit = 0;
  const tally: Tally = {
    schedules: count,
    failed: 0,
    steps: 0,
    decided: 0,
    commits: 0,
    cpuSeconds: 0,
    counts: {},
    failures: [],
  };
  for (let seed = from; seed < from + count; seed += 1) {
    const { violation, steps, decided, commits, counts } = runPlan(planOf(seed), mutant);
    tally.steps += steps;
    tally.decided += decided;
    tally.commits += commits;
    for (const [what, times] of counts) tally.counts[what] = (tally.counts[what] ?? 0) + times;
    if (violation === null) continue;
    tally.failed += 1;
    if (tally.failures.length < 20) {
      tally.failures.push(`seed ${seed}: ${violation.invariant} at ${violation.at} ms: ${violation.what}`);
    }
  }
  const { user, system } = process.cpuUsage();
  tally.cpuSeconds = (user + system) / 1e6;
  return tally;
}

function inProcesses(jobs: number): Promise<readonly Tally[]> {
  const share = Math.ceil(schedules / jobs);
  const shares = Array.from({ length: jobs }, (_, job) => ({
    from: first + job * share,
    count: Math.max(0, Math.min(share, schedules - job * share)),
  }));
  return Promise.all(
    shares.map(
      ({ from, count }) =>
        new Promise<Tally>((resolve, reject) => {
          const options = ["--tally", "--seed", String(from), "--schedules", String(count)];
          const child = fork(
            fileURLToPath(import.meta.url),
            mutant === null ? options : [...options, "--mutant", mutant],
          );
          let tally: Tally | null = null;
          child.on("message", (message) => {
            tally = message as Tally;
          });
          child.on("exit", (code) =>
            tally === null ? reject(new Error(`a process ended with ${code}`)) : resolve(tally),
          );
        }),
    ),
  );
}

function report(tallies: readonly Tally[], seconds: number): void {
  const sum = (member: "schedules" | "failed" | "steps" | "decided" | "commits" | "cpuSeconds"): number =>
    tallies.reduce((total, tally) => total + tally[member], 0);
  const counts: Record<string, number> = {};
  for (const tally of tallies) {
    for (const line of tally.failures) say(line);
    for (const [what, times] of Object.entries(tally.counts)) counts[what] = (counts[what] ?? 0) + times;
  }
  for (const what of Object.keys(counts).sort()) say(`${String(counts[what]).padStart(10)}  ${what}`);
  const each = (member: "steps" | "decided" | "commits"): string => (sum(member) / sum("schedules")).toFixed(0);
  say(
    `${sum("schedules")} schedules from seed ${first}, ${sum("failed")} failed; ${seconds.toFixed(1)} s, ` +
      `${(sum("schedules") / seconds).toFixed(0)} a second in ${tallies.length} process(es), ` +
      `${(sum("schedules") / sum("cpuSeconds")).toFixed(0)} a CPU second; ` +
      `a schedule: ${each("steps")} steps, ${each("decided")} events decided, ${each("commits")} commits`,
  );
  if (sum("failed") > 0) process.exitCode = 1;
}

/** One plan in the open. */
function look(plan: Plan): void {
  const small = values.shrink ? shrink(plan, mutant) : null;
  const { violation, notes } = runPlan(small?.plan ?? plan, mutant, true);
  const lines = notes ?? [];
  for (const line of values.show ? lines : lines.slice(-30)) say(line);
  if (violation === null) return say("no violation");
  say(`${violation.invariant} at ${violation.at} ms: ${violation.what}`);
  if (small !== null) say(JSON.stringify({ invariant: small.invariant, mutant, plan: small.plan }));
  process.exitCode = 1;
}

if (values.table) say(tableOf(schedules));
else if (values.plan !== undefined)
  look((JSON.parse(readFileSync(values.plan, "utf8")) as { readonly plan: Plan }).plan);
else if (values.show || values.shrink) look(planOf(first));
else if (values.tally) process.send?.(runSeeds(first, schedules));
else {
  const started = performance.now();
  const jobs = Number(values.jobs);
  const tallies = jobs > 1 ? await inProcesses(jobs) : [runSeeds(first, schedules)];
  report(tallies, (performance.now() - started) / 1000);
}
