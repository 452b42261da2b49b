/**
 * Everything the coordinator knows, in memory: sweeps, trials, live attempts, workers, counters, and indexes over them.
 *
 * Guarantees: `stateFrom(partsOf(state))` is the same state, also after JSON in between; no decision depends on the order
 * in which a map was filled. Not here: changing it (apply.ts), deciding (decide.ts).
 */
import type { AttemptId, Incarnation, SweepId, Token, TrialId, WorkerId } from "../../proto/contract.js";
import { attemptId, sweepId, token, trialId } from "../../proto/contract.js";
import type { SweepIndex } from "./sweep-index.js";
import { countTrial, emptySweepIndex, improveBest, standing } from "./sweep-index.js";
import { isEnded, isLive } from "./transitions.js";
import type { Attempt, Sweep, Trial, Worker } from "./types.js";

/** What trains on one device of one life of a worker. */
export interface DeviceLoad {
  /** Lanes that hold a live attempt. */
  busy: number;
  /** Live attempts by cohort key; those that train alone are not in it. */
  readonly cohorts: Map<string, number>;
}

export interface State {
  readonly sweeps: Map<SweepId, Sweep>;
  readonly trials: Map<TrialId, Trial>;
  /** Live attempts only: offered or running. */
  readonly attempts: Map<AttemptId, Attempt>;
  readonly workers: Map<WorkerId, Worker>;
  lastToken: Token;
  lastSweep: SweepId;
  /** Derived from the above. */
  readonly indexes: {
    readonly sweeps: Map<SweepId, SweepIndex>;
    /** Sweeps that are not ended or have a trial that is not final. */
    readonly open: Set<SweepId>;
    readonly devices: Map<string, DeviceLoad>;
    /** Live attempts by worker, over all its lives. */
    readonly workers: Map<WorkerId, Set<AttemptId>>;
    /** Connected workers with a free lane. */
    readonly roomy: Set<WorkerId>;
    /** Live attempts of suspect trials. */
    readonly suspects: Set<AttemptId>;
    /** Live attempts whose lease has run out. */
    readonly lapsed: Set<AttemptId>;
  };
}

/** What a store keeps and gives back. */
export interface StateParts {
  readonly sweeps: readonly Sweep[];
  readonly trials: readonly Trial[];
  /** Ended attempts among them are left out. */
  readonly attempts: readonly Attempt[];
  readonly workers: readonly Worker[];
  readonly lastToken: Token;
  readonly lastSweep: SweepId;
}

export function emptyState(): State {
  return {
    sweeps: new Map(),
    trials: new Map(),
    attempts: new Map(),
    workers: new Map(),
    lastToken: token(0),
    lastSweep: sweepId(0),
    indexes: {
      sweeps: new Map(),
      open: new Set(),
      devices: new Map(),
      workers: new Map(),
      roomy: new Set(),
      suspects: new Set(),
      lapsed: new Set(),
    },
  };
}

export function stateFrom(parts: StateParts): State {
  const state = emptyState();
  state.lastToken = parts.lastToken;
  state.lastSweep = parts.lastSweep;
  for (const sweep of parts.sweeps) replaceSweep(state, sweep.id, sweep);
  for (const trial of parts.trials) replaceTrial(state, null, trial);
  for (const attempt of parts.attempts) if (isLive(attempt.state)) replaceAttempt(state, null, attempt);
  for (const worker of parts.workers) replaceWorker(state, worker.id, worker);
  return state;
}

/** Sorted, so that equal states have equal parts. */
export function partsOf(state: State): StateParts {
  return {
    sweeps: [...state.sweeps.values()].sort((a, b) => a.id - b.id),
    trials: [...state.trials.values()].sort((a, b) => a.sweep - b.sweep || a.number - b.number),
    attempts: [...state.attempts.values()].sort((a, b) => a.token - b.token),
    workers: [...state.workers.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    lastToken: state.lastToken,
    lastSweep: state.lastSweep,
  };
}

/** The live attempt of a trial; `null` when nothing holds it. */
export function liveAttempt(state: State, trial: Trial): Attempt | null {
  return state.attempts.get(attemptId(trial.id, trial.attempts)) ?? null;
}

export function indexOf(state: State, sweep: SweepId): SweepIndex {
  const index = state.indexes.sweeps.get(sweep);
  if (index === undefined) throw new Error(`sweep ${sweep} has no index`);
  return index;
}

/** The trials of a sweep in order of number. */
export function* trialsOf(state: State, sweep: Sweep): Generator<Trial> {
  for (let number = 0; number < sweep.nextTrial; number++) {
    const trial = state.trials.get(trialId(sweep.id, number));
    if (trial !== undefined) yield trial;
  }
}

export function deviceKey(worker: WorkerId, life: Incarnation, device: string): string {
  return `${worker}\n${life}\n${device}`;
}

/** It has been there when two lives of workers ended: it gets a worker to itself, to be found guilty or cleared. */
export function isSuspect(trial: Trial): boolean {
  return trial.killed.length >= 2;
}

/** Its lease ran out while nobody else could take the trial: its holder is waited for. */
export function isLapsed({ state, stopping, cause }: Attempt): boolean {
  return state === "running" && stopping === null && cause !== "";
}

export function trainsAlone(trial: Trial): boolean {
  return trial.origin.kind === "rerun" && trial.origin.verify;
}

/** Puts `next`, or takes the sweep out for `null`, and keeps the indexes. The goal and epochs of a sweep never change. */
export function replaceSweep(state: State, id: SweepId, next: Sweep | null): void {
  if (next === null) {
    state.sweeps.delete(id);
    state.indexes.sweeps.delete(id);
    state.indexes.open.delete(id);
    return;
  }
  state.sweeps.set(id, next);
  if (!state.indexes.sweeps.has(id)) state.indexes.sweeps.set(id, emptySweepIndex());
  keepOpen(state, next);
}

/** Puts `next` in the place of `old`; `null` for none. */
export function replaceTrial(state: State, old: Trial | null, next: Trial | null): void {
  const some = next ?? old;
  if (some === null) return;
  const sweep = state.sweeps.get(some.sweep);
  if (sweep === undefined) throw new Error(`trial ${some.id} has no sweep`);
  const index = indexOf(state, sweep.id);
  if (old !== null) countTrial(index, sweep, old, -1);
  if (next === null) state.trials.delete(some.id);
  else {
    state.trials.set(next.id, next);
    countTrial(index, sweep, next, 1);
  }
  keepOpen(state, sweep);
  const before = old === null ? null : standing(old);
  const now = next === null ? null : standing(next);
  if (now === before) return;
  const wasBest = index.best?.number === some.number;
  if (next !== null) improveBest(index, sweep, next);
  if (!wasBest || (index.best?.value === now?.value && index.best?.epoch === now?.epoch)) return;
  index.best = null;
  for (const trial of trialsOf(state, sweep)) improveBest(index, sweep, trial);
}

/** Puts a live attempt in the place of `old`; an ended `next` only takes the old one out. */
export function replaceAttempt(state: State, old: Attempt | null, next: Attempt | null): void {
  const live = next !== null && isLive(next.state) ? next : null;
  if (live !== null) state.attempts.set(live.id, live);
  else if (old !== null) state.attempts.delete(old.id);
  if (old !== null) state.indexes.lapsed.delete(old.id);
  if (live !== null && isLapsed(live)) state.indexes.lapsed.add(live.id);
  // Only an attempt that another life of its worker took over is counted elsewhere than before.
  if (old !== null && live?.incarnation === old.incarnation) return;
  if (old !== null) occupy(state, old, -1);
  if (live !== null) occupy(state, live, 1);
}

/** Puts `next`, or takes the worker out for `null`. */
export function replaceWorker(state: State, id: WorkerId, next: Worker | null): void {
  if (next === null) state.workers.delete(id);
  else state.workers.set(id, next);
  keepRoomy(state, id);
}

/** Lanes of a device that hold a live attempt of this life of the worker. */
export function busyLanes(state: State, worker: Worker, device: string): number {
  return state.indexes.devices.get(deviceKey(worker.id, worker.incarnation, device))?.busy ?? 0;
}

function keepRoomy(state: State, id: WorkerId): void {
  const worker = state.workers.get(id);
  const room =
    worker?.state === "connected" &&
    worker.devices.some((device) => busyLanes(state, worker, device.id) < device.lanes);
  if (room) state.indexes.roomy.add(id);
  else state.indexes.roomy.delete(id);
}

function keepOpen(state: State, sweep: Sweep): void {
  if (!isEnded(sweep.state) || indexOf(state, sweep.id).open > 0) state.indexes.open.add(sweep.id);
  else state.indexes.open.delete(sweep.id);
}

function occupy(state: State, attempt: Attempt, sign: 1 | -1): void {
  const { devices, workers } = state.indexes;
  const held = workers.get(attempt.worker) ?? new Set<AttemptId>();
  workers.set(attempt.worker, held);
  if (sign === 1) held.add(attempt.id);
  else held.delete(attempt.id);
  if (held.size === 0) workers.delete(attempt.worker);
  const key = deviceKey(attempt.worker, attempt.incarnation, attempt.device);
  const load = devices.get(key) ?? { busy: 0, cohorts: new Map<string, number>() };
  devices.set(key, load);
  load.busy += sign;
  if (load.busy === 0) devices.delete(key);
  keepRoomy(state, attempt.worker);
  const trial = state.trials.get(attempt.trial);
  if (trial === undefined) throw new Error(`attempt ${attempt.id} has no trial`);
  if (sign === -1) state.indexes.suspects.delete(attempt.id);
  else if (isSuspect(trial)) state.indexes.suspects.add(attempt.id);
  if (trainsAlone(trial)) return;
  const lanes = (load.cohorts.get(trial.cohortKey) ?? 0) + sign;
  if (lanes === 0) load.cohorts.delete(trial.cohortKey);
  else load.cohorts.set(trial.cohortKey, lanes);
}
