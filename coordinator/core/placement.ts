/**
 * Which trial goes to which lane.
 *
 * Guarantees: a device never gets more trials than it has lanes; no lane stays free while a trial that may go there waits;
 * a sweep gets no more than `maxParallel` lanes. The least loaded device is served first. Trials put in by hand go before
 * all others. Then sweeps that hold less than an equal share of all lanes go before those that hold more, so none starves;
 * among equals, trials that join a cohort on that device go before those that would open another. New trials are drawn
 * only here, when a lane is free, so that samplers have seen all there is to see. A suspect trial gets a worker to itself:
 * lanes beside it stay free, and it waits for a worker that trains nothing.
 */
import { grant } from "./assign.js";
import type { Draft } from "./draft.js";
import { markExhausted, promotePaused } from "./endings.js";
import { byName, byToken, expire, openSweeps } from "./leases.js";
import { addSampled, cohortKeyOf, suggest } from "./sampling.js";
import { busyLanes, deviceKey, indexOf, isSuspect, trainsAlone } from "./state.js";
import type { Sweep, Trial, Worker, WorkerDevice } from "./types.js";

interface Place {
  readonly worker: Worker;
  readonly device: WorkerDevice;
  busy: number;
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
  takeLapsed(draft);
  let open = somethingWaits(draft) ? openPlaces(draft) : [];
  while (open.length > 0) {
    const next = leastLoaded(open);
    const trial = trialFor(draft, next);
    // Only trials put in by hand and suspects may refuse one device and take another, and devices that gave a recipe back.
    if (trial === null && next.device.refused === undefined && !somethingWaits(draft, "choosy")) break;
    if (trial !== null) {
      grant(draft, trial, next.worker, next.device, reasonOf(draft, trial, next));
      next.busy++;
    }
    if (trial === null || next.busy >= next.device.lanes) open = open.filter((other) => other !== next);
    if (trial !== null && isSuspect(trial)) open = open.filter((other) => other.worker !== next.worker);
  }
  draft.placementDue = false;
}

/** A holder whose lease has run out is waited for until another worker has a lane free. */
function takeLapsed(draft: Draft): void {
  const { lapsed } = draft.state.indexes;
  if (lapsed.size === 0) return;
  const open = openPlaces(draft);
  for (const attempt of byToken([...lapsed].flatMap((id) => draft.attempt(id) ?? []))) {
    const free = open.find(
      ({ worker, device, busy }) => busy < device.lanes && worker.incarnation !== attempt.incarnation,
    );
    if (free === undefined) continue;
    free.busy++;
    expire(draft, attempt);
  }
}

/** A look at the counts alone: most events find nothing to place. */
function somethingWaits(draft: Draft, which: "any" | "choosy" = "any"): boolean {
  for (const id of draft.state.indexes.open) {
    const sweep = draft.sweep(id);
    if (!hasRoom(draft, sweep)) continue;
    const { manual, sampled } = indexOf(draft.state, id);
    if (manual.length > 0) return true;
    if (which === "choosy" && sampled.some((number) => isSuspect(draft.trialAt(sweep, number)))) return true;
    if (which === "any" && (sampled.length > 0 || canDraw(draft, sweep) || canResume(draft, sweep))) return true;
  }
  return false;
}

/** Devices with a free lane, in an order that has no history. */
function openPlaces(draft: Draft): readonly Place[] {
  const { suspects, roomy } = draft.state.indexes;
  const taken = new Set<Worker["id"] | undefined>();
  for (const id of suspects) taken.add(draft.attempt(id)?.worker);
  const workers: Worker[] = [];
  for (const id of roomy) {
    const worker = taken.has(id) ? undefined : draft.state.workers.get(id);
    if (worker !== undefined) workers.push(worker);
  }
  const places: Place[] = [];
  for (const worker of byName(workers)) {
    for (const device of worker.devices) {
      const busy = busyLanes(draft.state, worker, device.id);
      if (busy < device.lanes) places.push({ worker, device, busy });
    }
  }
  return places;
}

function leastLoaded(open: readonly Place[]): Place {
  const load = ({ busy, device }: Place): number => busy / device.lanes;
  return open.reduce((least, candidate) => (load(candidate) < load(least) ? candidate : least));
}

/** The best trial for a lane of this device, drawn if need be; `null` if there is none. */
function trialFor(draft: Draft, next: Place): Trial | null {
  // Whether a sweep has a trial to draw is known only by drawing; those that had none are not asked twice.
  const dry = new Set<Sweep["id"]>();
  for (;;) {
    const candidates: Candidate[] = [];
    let first: Trial | null = null;
    for (const id of openSweeps(draft.state)) {
      if (dry.has(id)) continue;
      const sweep = draft.sweep(id);
      const byHand = manualFor(draft, sweep, next);
      if (byHand !== null && (first === null || isOlder(byHand, first))) first = byHand;
      // Nothing goes before what was put in by hand.
      const candidate = first === null ? candidateOf(draft, sweep, next) : null;
      if (candidate !== null) candidates.push(candidate);
    }
    if (first !== null) return first;
    const best = candidates.length > 1 ? candidates.sort(ranking(shareOf(draft, candidates.length)))[0] : candidates[0];
    if (best === undefined) return null;
    const trial = best.trial ?? nextOf(draft, best.sweep);
    if (trial !== null) return trial;
    dry.add(best.sweep.id);
  }
}

function isOlder(a: Trial, b: Trial): boolean {
  return (a.createdAt - b.createdAt || a.sweep - b.sweep || a.number - b.number) < 0;
}

/** Lanes for each of `sweeps` if all were equal. */
function shareOf(draft: Draft, sweeps: number): number {
  return connectedDevices(draft).reduce((sum, device) => sum + device.lanes, 0) / sweeps;
}

function connectedDevices(draft: Draft): readonly WorkerDevice[] {
  return [...draft.state.workers.values()].flatMap((worker) => (worker.state === "connected" ? worker.devices : []));
}

function ranking(share: number): (a: Candidate, b: Candidate) => number {
  const rank = (candidate: Candidate): number => (candidate.live < share ? 0 : 2) + (candidate.joins ? 0 : 1);
  return (a, b) => rank(a) - rank(b) || a.live - b.live || a.sweep.id - b.sweep.id;
}

function hasRoom(draft: Draft, sweep: Sweep): boolean {
  const { maxParallel } = sweep.spec;
  return sweep.state !== "paused" && (maxParallel === null || indexOf(draft.state, sweep.id).live < maxParallel);
}

function manualFor(draft: Draft, sweep: Sweep, next: Place): Trial | null {
  if (!hasRoom(draft, sweep) || isPassedOver(draft, sweep, next)) return null;
  for (const number of indexOf(draft.state, sweep.id).manual) {
    const trial = draft.trialAt(sweep, number);
    if (trial.notBefore <= draft.now && suits(draft, trial, next)) return trial;
  }
  return null;
}

/** The device gave this recipe back, and another one has not. */
function isPassedOver(draft: Draft, { spec }: Sweep, { device }: Place): boolean {
  const refuses = ({ refused }: WorkerDevice): boolean => (refused?.[spec.recipeDigest] ?? 0) > draft.now;
  return refuses(device) && connectedDevices(draft).some((other) => !refuses(other));
}

/** A suspect needs a worker that trains nothing else. To be compared to the bit, a trial needs the kind of device that its original had, where there is one. */
function suits(draft: Draft, trial: Trial, next: Place): boolean {
  if (isSuspect(trial) && draft.state.indexes.workers.has(next.worker.id)) return false;
  if (trial.origin.kind !== "rerun" || !trial.origin.verify) return true;
  const { fingerprint } = draft.trial(trial.origin.of);
  return (
    next.device.fingerprint === fingerprint ||
    !connectedDevices(draft).some((device) => device.fingerprint === fingerprint)
  );
}

function candidateOf(draft: Draft, sweep: Sweep, next: Place): Candidate | null {
  if (!hasRoom(draft, sweep) || isPassedOver(draft, sweep, next)) return null;
  const { worker, device } = next;
  const index = indexOf(draft.state, sweep.id);
  const cohorts = draft.state.indexes.devices.get(deviceKey(worker.id, worker.incarnation, device.id))?.cohorts;
  const { live } = index;
  let waiting: Trial | null = null;
  for (const number of index.sampled) {
    const trial = draft.trialAt(sweep, number);
    if (trial.notBefore > draft.now || !suits(draft, trial, next)) continue;
    if (cohorts?.has(trial.cohortKey) === true) return { sweep, trial, joins: true, live };
    waiting ??= trial;
  }
  if (waiting !== null) return { sweep, trial: waiting, joins: false, live };
  if (!canDraw(draft, sweep) && !canResume(draft, sweep)) return null;
  // What will be drawn is known to join only where nothing that is drawn separates cohorts.
  const joins = sweep.spec.structural.length === 0 && cohorts?.has(cohortKeyOf(sweep.spec, {})) === true;
  return { sweep, trial: null, joins, live };
}

/** A paused trial that the scheduler sends on, or a new one; `null` if there is neither after all. */
function nextOf(draft: Draft, sweep: Sweep): Trial | null {
  const promoted = canResume(draft, sweep) ? promotePaused(draft, sweep) : null;
  if (promoted !== null) return promoted;
  const current = draft.sweep(sweep.id);
  return canDraw(draft, current) ? drawNext(draft, current) : null;
}

function canDraw(draft: Draft, sweep: Sweep): boolean {
  return sweep.state === "running" && sweep.cause === "" && indexOf(draft.state, sweep.id).total < sweep.spec.runCap;
}

function canResume(draft: Draft, sweep: Sweep): boolean {
  return sweep.state === "running" && indexOf(draft.state, sweep.id).counts.paused > 0;
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
