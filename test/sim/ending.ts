/**
 * What is checked when a run rests, when a process comes back, and, in a run that is checked in full, after every turn.
 *
 * I10 everything ends · I14 a restart finds what was there · I15 the same events give the same state · I20 nothing is
 * kept of what is over.
 */
import { canonicalJson } from "../../coordinator/core/canonical.js";
import { checkInvariants } from "../../coordinator/core/invariants.js";
import type { State } from "../../coordinator/core/state.js";
import { indexOf, isLapsed, partsOf, stateFrom } from "../../coordinator/core/state.js";
import type { Attempt, Json, Trial } from "../../coordinator/core/types.js";
import type { AttemptId } from "../../proto/contract.js";
import { isFinal, isLive } from "./record.js";
import type { Life, World } from "./surroundings.js";

export function stateText(state: State): string {
  return canonicalJson(partsOf(state) as unknown as Json);
}

export function checkEnding(world: World, rests: boolean): void {
  const { oracle } = world;
  const life = world.coordinator;
  if (!rests || life === null) {
    const open = [...oracle.record.trials.values()].filter(({ state }) => !isFinal(state));
    const trials = open.map(({ id, state }) => `${id} ${state}`).join(", ");
    return oracle.fail("I10", `no rest: ${trials === "" ? "every trial has ended" : trials}`);
  }
  oracle.finish((attempt) => world.disk.reports(attempt as AttemptId));
  for (const trial of oracle.record.trials.values()) {
    if (!isFinal(trial.state)) oracle.fail("I10", `${trial.id} is ${trial.state} at the end`);
  }
  for (const sweep of oracle.record.sweeps.values()) {
    const trials = [...oracle.record.trials.values()].filter((trial) => trial.sweep === sweep.id);
    if (trials.length !== sweep.nextTrial)
      oracle.fail("I7", `sweep ${sweep.id} has ${trials.length} of ${sweep.nextTrial}`);
    const full = sweep.cause === "run_cap" || sweep.cause === "every trial failed";
    const asked = trials.filter((trial) => trial.origin.kind !== "rerun").length;
    if (full && sweep.cause === "run_cap" && asked !== sweep.spec.runCap) {
      oracle.fail("I7", `sweep ${sweep.id} ended with ${asked} of ${sweep.spec.runCap} trials`);
    }
  }
  const { state } = life;
  const { attempts, indexes } = state;
  if (attempts.size + indexes.devices.size + indexes.workers.size > 0) {
    oracle.fail(
      "I20",
      `${attempts.size} attempts, ${indexes.devices.size} devices, ${indexes.workers.size} workers are kept`,
    );
  }
  checkRecovery(world, life);
  for (const viewer of world.viewers) viewer.check(life);
  if (world.plan.deep) for (const fault of checkInvariants(state)) oracle.fail("CORE", fault);
}

/** I14: what the disk holds makes the state that the process has. */
export function checkRecovery(world: World, life: Life): void {
  const found = world.disk.load();
  // Records are never changed in place, so what is the same object is equal; the text decides where it is not.
  const same =
    found.lastToken === life.state.lastToken &&
    found.lastSweep === life.state.lastSweep &&
    sameRecords(found.sweeps, life.state.sweeps) &&
    sameRecords(found.trials, life.state.trials) &&
    sameRecords(found.attempts, life.state.attempts) &&
    sameRecords(found.workers, life.state.workers);
  if (same || stateText(stateFrom(found)) === stateText(life.state)) return;
  world.oracle.fail("I14", "the state in memory is not the one that a restart would find");
}

function sameRecords<K, T extends { readonly id: K }>(found: readonly T[], known: ReadonlyMap<K, T>): boolean {
  return found.length === known.size && found.every((record) => known.get(record.id) === record);
}

/** After every turn of a run that is checked in full. */
export function checkTurn(world: World, life: Life): void {
  const { oracle } = world;
  for (const fault of checkInvariants(life.state)) oracle.fail("CORE", fault);
  checkStarving(world, life);
  checkRecovery(world, life);
}

/** To be compared to the bit, a trial waits for the kind of device that its original had, while one is connected. */
function waitsForItsKind({ trials, workers, attempts }: State, { origin }: Trial): boolean {
  if (origin.kind !== "rerun" || !origin.verify) return false;
  const fingerprint = trials.get(origin.of)?.fingerprint;
  const ofItsKind = [...workers.values()]
    .filter(({ state }) => state === "connected")
    .flatMap((worker) => worker.devices.map((device) => ({ worker, device })))
    .filter(({ device }) => device.fingerprint === fingerprint);
  const hasFreeLane = ({ worker, device }: (typeof ofItsKind)[number]): boolean => {
    const isOn = (attempt: Attempt): boolean =>
      isLive(attempt) && attempt.incarnation === worker.incarnation && attempt.device === device.id;
    return [...attempts.values()].filter(isOn).length < device.lanes;
  };
  return ofItsKind.length > 0 && !ofItsKind.some(hasFreeLane);
}

/** I10b: no lane that is free while a trial waits that may go there. */
function checkStarving(world: World, life: Life): void {
  const { state } = life;
  if (state.indexes.roomy.size === 0) return;
  // A coordinator that stood still judges nothing for a while.
  if (world.plan.faults.some(({ kind }) => kind === "stop-coordinator" || kind === "slow-disk")) return;
  for (const attempt of state.attempts.values()) {
    if (!isLapsed(attempt)) continue;
    const other = [...state.indexes.roomy].find((id) => state.workers.get(id)?.incarnation !== attempt.incarnation);
    if (other !== undefined) world.oracle.fail("I10", `${attempt.id}, whose lease ran out, waits beside ${other}`);
  }
  for (const id of state.indexes.open) {
    const sweep = state.sweeps.get(id);
    if (sweep === undefined || sweep.state !== "running") continue;
    const { sampled, manual, live } = indexOf(state, id);
    if (sweep.spec.maxParallel !== null && live >= sweep.spec.maxParallel) continue;
    for (const number of [...sampled, ...manual]) {
      const trial = state.trials.get(`${id}/${number}` as never);
      // A due trial is placed with the next decision: the Tick that it asked for.
      if (trial === undefined || trial.notBefore + 100 > life.now()) continue;
      // A suspect trains alone, and waits for that.
      if (trial.killed.length > 0) continue;
      if (waitsForItsKind(state, trial)) continue;
      const refusing = [...state.workers.values()].some((worker) => worker.devices.some(({ refused }) => refused));
      if (!refusing) world.oracle.fail("I10", `${trial.id} waits beside a free lane`);
    }
  }
}
