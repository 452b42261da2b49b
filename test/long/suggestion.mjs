/**
 * What drawing the next trial costs after many finished ones, for every sampler there is.
 *
 * usage: node test/long/suggestion.mjs [--finished 10000] [--draws 2000]
 *
 * The core alone, in this process: a state with --finished trials on record and one worker of one lane; each draw is the
 * decision on the end of the trial before (drawing, granting and placing the next), timed whole, and the sampler's part by
 * itself. Prints one JSON line a sampler, milliseconds.
 */
import { parseArgs } from "node:util";
import { enact } from "../../dist/coordinator/core/decide.js";
import { ALGORITHMS } from "../../dist/coordinator/core/environment.js";
import { emptyState, stateFrom } from "../../dist/coordinator/core/state.js";
import { finishedTrial, sweepRecord } from "./filled-store.mjs";
import { Histogram } from "./histogram.mjs";
import { machineLoad } from "./processes.mjs";

const { values: flags } = parseArgs({
  options: { finished: { type: "string", default: "10000" }, draws: { type: "string", default: "2000" } },
});
const finished = Number(flags.finished);
const draws = Number(flags.draws);

/** What every sampler takes; a grid needs values to count. */
const CONTINUOUS = {
  learning_rate: { distribution: "log_uniform_values", min: 1e-5, max: 0.1 },
  l2: { distribution: "log_uniform_values", min: 1e-7, max: 0.1 },
  momentum: { distribution: "uniform", min: 0, max: 0.99 },
};
const COUNTED = {
  learning_rate: { values: Array.from({ length: 40 }, (_, i) => 10 ** (-5 + i / 10)) },
  l2: { values: Array.from({ length: 40 }, (_, i) => 10 ** (-7 + i / 10)) },
  momentum: { values: Array.from({ length: 40 }, (_, i) => i / 41) },
};

const history = { attemptReports: () => [] };

function measure(method) {
  const parameters = method === "grid" ? COUNTED : CONTINUOUS;
  const file = {
    name: "suggestion",
    network: "logit",
    dataset: "synthetic-digits",
    epochs: 1,
    optimizer: "momentum",
    method,
    run_cap: finished + draws + 10,
    parameters,
  };
  const drawn = (number) =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, { min, max, values }], i) => {
        const share = ((number * (i + 3) * 7919) % 104_729) / 104_729;
        return [name, values ? values[Math.floor(share * values.length)] : min + share * (max - min)];
      }),
    );
  const trials = Array.from({ length: finished }, (_, number) => finishedTrial(number, 1, drawn(number)));
  const state = stateFrom({
    ...emptyState(),
    sweeps: [sweepRecord(file, finished, "running")],
    trials,
    attempts: [],
    workers: [],
    lastToken: finished,
    lastSweep: 1,
  });
  const own = new Histogram();
  const whole = new Histogram();
  let drawing = false;
  const sampler = ALGORITHMS.samplers.get(method);
  const timed = {
    check: (space, options) => sampler.check(space, options),
    suggest(context) {
      const began = performance.now();
      const suggestion = sampler.suggest(context);
      if (drawing) own.add(performance.now() - began);
      return suggestion;
    },
  };
  const algorithms = { ...ALGORITHMS, samplers: new Map([...ALGORITHMS.samplers, [method, timed]]) };
  let now = 10_000;
  const decide = (event) => {
    now += 5;
    return enact(state, event, now, history, algorithms);
  };
  const who = { worker: "w", incarnation: "life-of-w" };
  const device = { id: "cpu", name: "cpu", backend: "cpu", fingerprint: "model", memoryBytes: 1, lanes: 1 };
  const hello = { host: "h", pid: 1, version: "0", devices: [device], running: [], previous: [], commitsAhead: 0 };
  let { effects } = decide({ kind: "WorkerHello", ...who, ...hello });
  for (let draw = 0; draw < draws; draw += 1) {
    const assign = effects.find(({ message }) => message?.kind === "Assign")?.message;
    if (assign === undefined) throw new Error(`${method}: nothing was assigned after ${draw} draws`);
    const claim = { ...who, attempt: assign.attempt, token: assign.token };
    const metrics = { val_accuracy: ((draw * 7919) % 1000) / 1000 };
    decide({ kind: "Reported", ...claim, epoch: 1, step: 1, metrics });
    // The first draws warm the program up.
    drawing = draw >= draws / 10;
    const began = performance.now();
    const outcome = { kind: "completed", weightsHash: "ab".repeat(32) };
    ({ effects } = decide({ kind: "AttemptEnded", ...claim, outcome }));
    if (drawing) whole.add(performance.now() - began);
  }
  const line = { sampler: method, finished, suggestion_ms: own.summary(), decision_ms: whole.summary() };
  process.stdout.write(`${JSON.stringify({ ...line, machine_load: machineLoad() })}\n`);
}

for (const method of ALGORITHMS.samplers.keys()) measure(method);
