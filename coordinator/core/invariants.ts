/**
 * What is true of the state after every decision, whatever happened before. Tests and simulations check it; each line it
 * answers names one thing that is not.
 *
 * Guarantees: reads everything, changes nothing; costs the size of the state. Not here: what must hold between states
 * (apply.ts asserts that final states stay, tokens grow and attempts keep their token).
 */
import { canonicalJson } from "./canonical.js";
import type { State } from "./state.js";
import { busyLanes, indexOf, liveAttempt, partsOf, stateFrom, trialsOf } from "./state.js";
import { isEnded, isFinal, isLive } from "./transitions.js";
import type { Attempt, Json, Sweep, Trial, Worker } from "./types.js";

/** Nothing when all is well. */
export function checkInvariants(state: State): readonly string[] {
  return [
    ...[...state.sweeps.values()].flatMap((sweep) => sweepFaults(state, sweep)),
    ...[...state.trials.values()].flatMap((trial) => trialFaults(state, trial)),
    ...attemptFaults(state),
    ...[...state.workers.values()].flatMap((worker) => workerFaults(state, worker)),
    ...indexFaults(state),
  ];
}

function sweepFaults(state: State, sweep: Sweep): readonly string[] {
  const trials = [...trialsOf(state, sweep)];
  const asked = trials.filter((trial) => trial.origin.kind !== "rerun");
  const open = asked.filter((trial) => !isFinal(trial.state));
  const live = trials.filter((trial) => trial.state === "leased" || trial.state === "running");
  const { maxParallel, runCap } = sweep.spec;
  const name = `sweep ${sweep.id}`;
  return faults(name, [
    [sweep.id <= state.lastSweep, "is numbered above the counter"],
    [trials.length === sweep.nextTrial, `has ${trials.length} trials, numbers up to ${sweep.nextTrial}`],
    [asked.length <= runCap, `has ${asked.length} trials, cap ${runCap}`],
    [maxParallel === null || live.length <= maxParallel, `trains ${live.length} at once, at most ${maxParallel}`],
    [isEnded(sweep.state) === (sweep.endedAt !== null), `is ${sweep.state} with endedAt ${sweep.endedAt}`],
    [!isEnded(sweep.state) || open.length === 0, `is ${sweep.state} with ${open.length} trials not final`],
    [!isEnded(sweep.state) || sweep.cause !== "", `is ${sweep.state} without a cause`],
    [sweep.cause !== "run_cap" || asked.length === runCap, `ended by run_cap with ${asked.length} of ${runCap}`],
    [
      open.length > 0 || isEnded(sweep.state) || sweep.cause === "" || sweep.state === "paused",
      "winds up but has nothing left",
    ],
  ]);
}

function trialFaults(state: State, trial: Trial): readonly string[] {
  const attempt = liveAttempt(state, trial);
  const held = trial.state === "leased" || trial.state === "running";
  const sweep = state.sweeps.get(trial.sweep);
  const most = sweep?.spec.maxAttempts ?? 0;
  return faults(`trial ${trial.id}`, [
    [sweep !== undefined, "has no sweep"],
    [held === (attempt !== null), `is ${trial.state} ${attempt === null ? "without" : "with"} a live attempt`],
    [trial.state !== "leased" || attempt?.state === "offered", `is leased, its attempt ${attempt?.state}`],
    [trial.state !== "running" || attempt?.state === "running", `is running, its attempt ${attempt?.state}`],
    [isFinal(trial.state) === (trial.endedAt !== null), `is ${trial.state} with endedAt ${trial.endedAt}`],
    [
      trial.losses <= trial.attempts && trial.losses <= most,
      `lost ${trial.losses} of ${trial.attempts}, at most ${most}`,
    ],
    [trial.killed.length <= 3, `ended ${trial.killed.length} workers`],
    [isFinal(trial.state) || trial.killed.length < 3, "is not quarantined"],
    [
      trial.state !== "lost" || trial.losses === most || trial.killed.length === 3,
      `is lost after ${trial.losses} of ${most}`,
    ],
    [isFinal(trial.state) || trial.losses < most, `goes on after ${trial.losses} losses of ${most}`],
    [trial.best === null || Number.isFinite(trial.best.value), "has a best value that is not finite"],
    [trial.best === null || trial.best.epoch <= trial.epoch, "has its best in an epoch to come"],
    [attempt === null || attempt.lastEpoch === trial.epoch, "is not where its attempt is"],
    [!isFinal(trial.state) || trial.checkpoints.length === 0, "is final and keeps checkpoints"],
    [
      trial.checkpoints.length <= 2 && trial.checkpoints.every(({ progress }) => progress.epoch >= 1),
      "keeps checkpoints that it should not",
    ],
    [
      (trial.checkpoints[0]?.progress.epoch ?? 0) >= (trial.checkpoints[1]?.progress.epoch ?? 0),
      "has an older checkpoint before a newer one",
    ],
  ]);
}

function attemptFaults(state: State): readonly string[] {
  const attempts = [...state.attempts.values()];
  const tokens = new Set(attempts.map((attempt) => attempt.token));
  const trials = new Set(attempts.map((attempt) => attempt.trial));
  return [
    ...faults("attempts", [
      [tokens.size === attempts.length, "share a token"],
      [trials.size === attempts.length, "share a trial"],
    ]),
    ...attempts.flatMap((attempt) => oneAttemptFaults(state, attempt)),
  ];
}

function oneAttemptFaults(state: State, attempt: Attempt): readonly string[] {
  const trial = state.trials.get(attempt.trial);
  return faults(`attempt ${attempt.id}`, [
    [isLive(attempt.state), `is ${attempt.state} among the live`],
    [attempt.token > 0 && attempt.token <= state.lastToken, `has token ${attempt.token}, last ${state.lastToken}`],
    [trial?.attempts === attempt.n, `is number ${attempt.n} of ${trial?.attempts}`],
    [trial?.worker === attempt.worker && trial.device === attempt.device, "is elsewhere than its trial says"],
    [state.workers.has(attempt.worker), "is held by nobody known"],
  ]);
}

function workerFaults(state: State, worker: Worker): readonly string[] {
  const held = state.indexes.workers.get(worker.id)?.size ?? 0;
  return [
    ...faults(`worker ${worker.id}`, [[worker.state !== "gone" || held === 0, `is gone and holds ${held}`]]),
    ...worker.devices.flatMap(({ id, lanes }) => {
      const busy = busyLanes(state, worker, id);
      return faults(`worker ${worker.id} ${id}`, [[busy <= lanes, `has ${busy} trials on ${lanes} lanes`]]);
    }),
  ];
}

/** Indexes kept step by step are those of a state built anew. */
function indexFaults(state: State): readonly string[] {
  const anew = stateFrom(partsOf(state));
  const sweeps = [...state.sweeps.keys()].flatMap((id) =>
    differing(`index of sweep ${id}`, indexOf(state, id), indexOf(anew, id)),
  );
  const derived = ({ indexes }: State): unknown => ({
    open: [...indexes.open].sort((a, b) => a - b),
    devices: [...indexes.devices].map(([key, { busy, cohorts }]) => [key, busy, [...cohorts].sort()]).sort(),
    roomy: [...indexes.roomy].sort(),
    suspects: [...indexes.suspects].sort(),
    lapsed: [...indexes.lapsed].sort(),
    workers: [...indexes.workers].map(([id, held]) => [id, [...held].sort()]).sort(),
  });
  return [...sweeps, ...differing("indexes", derived(state), derived(anew))];
}

function differing(name: string, kept: unknown, anew: unknown): readonly string[] {
  const [found, expected] = [canonicalJson(kept as Json), canonicalJson(anew as Json)];
  return found === expected ? [] : [`${name} are ${found}, should be ${expected}`];
}

function faults(name: string, checks: readonly (readonly [boolean, string])[]): readonly string[] {
  return checks.flatMap(([holds, message]) => (holds ? [] : [`${name} ${message}`]));
}
