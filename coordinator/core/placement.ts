/**
 * Which trial goes to which lane.
 *
 * Guarantees: a device never gets more trials than it has lanes; no lane stays free while a trial that may go there waits;
 * a sweep gets no more than `maxParallel` lanes. The least loaded device is served first. Trials put in by hand go before
 * all others. Then sweeps that hold less than an equal share of all lanes go before those that hold more, so none starves;
 * among equals, trials that join a cohort on that device go before those that would open another. New trials are drawn
 * only here, when a lane is free, so that samplers have seen all there is to see.
 */
import { grant } from "./assign.js";
import type { Draft } from "./draft.js";
import { markExhausted, promotePaused } from "./endings.js";
import { openSweeps, sortedWorkers } from "./leases.js";
import { addSampled, cohortKeyOf, suggest } from "./sampling.js";
import { deviceKey, indexOf, trainsAlone } from "./state.js";
import type { Sweep, Trial, Worker, WorkerDevice } from "./types.js";

interface Place {
  readonly worker: Worker;
  readonly device: WorkerDevice;
}

/** A sweep that may have something for a lane. */
interface Candidate {
  readonly sweep: Sweep;
  /** A trial that waits; `null` where one would be drawn or resumed. */
  readonly trial: Trial | null;
  readonly joins: boolean;
  readonly live: number;
}

export function place(draft: Draft): void {
  const places = connectedPlaces(draft);
  const lanes = places.reduce((sum, { device }) => sum + device.lanes, 0);
  let open = places.filter((candidate) => busyOf(draft, candidate) < candidate.device.lanes);
  while (open.length > 0) {
    const next = leastLoaded(draft, open);
    const trial = trialFor(draft, next, lanes, places);
    if (trial !== null) grant(draft, trial, next.worker, next.device, reasonOf(draft, trial, next));
    if (trial === null || busyOf(draft, next) >= next.device.lanes) open = open.filter((other) => other !== next);
  }
  draft.placementDue = false;
}

function connectedPlaces(draft: Draft): readonly Place[] {
  return sortedWorkers(draft.state)
    .filter((worker) => worker.state === "connected")
    .flatMap((worker) => worker.devices.map((device) => ({ worker, device })));
}

function leastLoaded(draft: Draft, open: readonly Place[]): Place {
  const load = (candidate: Place): number => busyOf(draft, candidate) / candidate.device.lanes;
  return open.reduce((least, candidate) => (load(candidate) < load(least) ? candidate : least));
}

function busyOf(draft: Draft, { worker, device }: Place): number {
  return draft.state.indexes.devices.get(deviceKey(worker.id, worker.incarnation, device.id))?.busy ?? 0;
}

/** The best trial for a lane of this device, drawn if need be; `null` if there is none. */
function trialFor(draft: Draft, next: Place, lanes: number, places: readonly Place[]): Trial | null {
  // Whether a sweep has a trial to draw is known only by drawing; those that had none are not asked twice.
  const dry = new Set<Sweep["id"]>();
  for (;;) {
    const sweeps = openSweeps(draft.state).flatMap((id) => (dry.has(id) ? [] : [draft.sweep(id)]));
    const byHand = sweeps.flatMap((sweep) => manualFor(draft, sweep, next, places) ?? []);
    const first = byHand.sort((a, b) => a.createdAt - b.createdAt || a.sweep - b.sweep || a.number - b.number)[0];
    if (first !== undefined) return first;
    const candidates = sweeps.flatMap((sweep) => candidateOf(draft, sweep, next) ?? []);
    const best = candidates.sort(ranking(lanes / Math.max(1, candidates.length)))[0];
    if (best === undefined) return null;
    const trial = best.trial ?? nextOf(draft, best.sweep);
    if (trial !== null) return trial;
    dry.add(best.sweep.id);
  }
}

function ranking(share: number): (a: Candidate, b: Candidate) => number {
  const rank = (candidate: Candidate): number => (candidate.live < share ? 0 : 2) + (candidate.joins ? 0 : 1);
  return (a, b) => rank(a) - rank(b) || a.live - b.live || a.sweep.id - b.sweep.id;
}

function hasRoom(draft: Draft, sweep: Sweep): boolean {
  const { maxParallel } = sweep.spec;
  return sweep.state !== "paused" && (maxParallel === null || indexOf(draft.state, sweep.id).live < maxParallel);
}

function manualFor(draft: Draft, sweep: Sweep, next: Place, places: readonly Place[]): Trial | null {
  if (!hasRoom(draft, sweep)) return null;
  for (const number of indexOf(draft.state, sweep.id).manual) {
    const trial = draft.trialAt(sweep, number);
    if (trial.notBefore <= draft.now && suits(draft, trial, next, places)) return trial;
  }
  return null;
}

/** To be compared to the bit, a trial needs the kind of device that its original had, where there is one. */
function suits(draft: Draft, trial: Trial, next: Place, places: readonly Place[]): boolean {
  if (trial.origin.kind !== "rerun" || !trial.origin.verify) return true;
  const { fingerprint } = draft.trial(trial.origin.of);
  return next.device.fingerprint === fingerprint || !places.some(({ device }) => device.fingerprint === fingerprint);
}

function candidateOf(draft: Draft, sweep: Sweep, { worker, device }: Place): Candidate | null {
  if (!hasRoom(draft, sweep)) return null;
  const index = indexOf(draft.state, sweep.id);
  const cohorts = draft.state.indexes.devices.get(deviceKey(worker.id, worker.incarnation, device.id))?.cohorts;
  const { live } = index;
  let waiting: Trial | null = null;
  for (const number of index.sampled) {
    const trial = draft.trialAt(sweep, number);
    if (trial.notBefore > draft.now) continue;
    if (cohorts?.has(trial.cohortKey) === true) return { sweep, trial, joins: true, live };
    waiting ??= trial;
  }
  if (waiting !== null) return { sweep, trial: waiting, joins: false, live };
  const canResume = sweep.state === "running" && index.counts.paused > 0;
  if (!canDraw(draft, sweep) && !canResume) return null;
  // What will be drawn is known to join only where nothing that is drawn separates cohorts.
  const joins = sweep.spec.structural.length === 0 && cohorts?.has(cohortKeyOf(sweep.spec, {})) === true;
  return { sweep, trial: null, joins, live };
}

/** A paused trial that the scheduler sends on, or a new one; `null` if there is neither after all. */
function nextOf(draft: Draft, sweep: Sweep): Trial | null {
  const { counts } = indexOf(draft.state, sweep.id);
  if (counts.paused > 0) {
    const promoted = promotePaused(draft, sweep);
    if (promoted !== null) return promoted;
  }
  const current = draft.sweep(sweep.id);
  return canDraw(draft, current) ? drawNext(draft, current) : null;
}

function canDraw(draft: Draft, sweep: Sweep): boolean {
  return sweep.state === "running" && sweep.cause === "" && indexOf(draft.state, sweep.id).total < sweep.spec.runCap;
}

function drawNext(draft: Draft, sweep: Sweep): Trial | null {
  const suggestion = suggest(draft, sweep);
  if (suggestion.kind === "params") return addSampled(draft, sweep, suggestion.parameters, suggestion.state);
  markExhausted(draft, sweep);
  return null;
}

function reasonOf(draft: Draft, trial: Trial, { worker, device }: Place): string {
  const load = draft.state.indexes.devices.get(deviceKey(worker.id, worker.incarnation, device.id));
  const lane = `lane ${(load?.busy ?? 0) + 1} of ${device.lanes} on ${worker.id} ${device.id}`;
  if (trainsAlone(trial)) return `${lane}, alone`;
  const others = load?.cohorts.get(trial.cohortKey) ?? 0;
  return others > 0 ? `${lane}, joins a cohort of ${others}` : `${lane}, opens a cohort`;
}
