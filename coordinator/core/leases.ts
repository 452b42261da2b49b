/**
 * What time alone does: leases run out, silent workers are away, wall times end, back-offs pass. And what a restart does.
 *
 * Guarantees: after every Tick the next one is asked for, at the earliest moment at which anything here can change; a
 * restart gives every live lease a full fresh time, because the outage was not the worker's fault. Only the coordinator's
 * clock counts.
 */
import { type Millis, millis, TIMES, token } from "../../proto/contract.js";
import { backOff, loseWithWorker, renew, sendRevoke } from "./attempts.js";
import { changedAttempt, changedTrial, changedWorker } from "./changed.js";
import type { Draft } from "./draft.js";
import { aboutAttempt } from "./draft.js";
import { CAUSES } from "./endings.js";
import type { Event } from "./events.js";
import type { State } from "./state.js";
import { indexOf, isLapsed } from "./state.js";
import { windUp } from "./stopping.js";
import { isEnded } from "./transitions.js";
import type { Attempt, DeviceUse, Sweep, Worker, WorkerDevice } from "./types.js";

export function tick(draft: Draft, { judgesFrom = draft.now }: Extract<Event, { readonly kind: "Tick" }>): void {
  if (judgesFrom <= draft.now) judgeSilence(draft);
  for (const id of openSweeps(draft.state)) {
    const sweep = draft.sweep(id);
    const deadline = wallDeadline(sweep);
    if (deadline !== null && deadline <= draft.now) windUp(draft, sweep, CAUSES.wallTime);
  }
  draft.placementDue = true;
  askForTick(draft, judgesFrom);
}

function judgeSilence(draft: Draft): void {
  const expired: Attempt[] = [];
  for (const attempt of draft.state.attempts.values()) {
    if (attempt.leaseUntil <= draft.now && !isLapsed(attempt)) expired.push(attempt);
  }
  for (const attempt of byToken(expired)) {
    if (isWaitedFor(draft, attempt)) lapse(draft, attempt);
    else expire(draft, attempt);
  }
  // After the leases, because a worker that drains is gone with its last one.
  const silent: Worker[] = [];
  for (const worker of draft.state.workers.values()) {
    if (silenceDeadline(draft.state, worker) <= draft.now) silent.push(worker);
  }
  for (const worker of byName(silent)) unlink(draft, worker, "silent for the length of a lease");
}

/** To take the trial from its holder would help nobody: no other worker has a lane free. */
function isWaitedFor(draft: Draft, { state, stopping, worker: id, incarnation }: Attempt): boolean {
  if (state !== "running" || stopping !== null) return false;
  const worker = draft.state.workers.get(id);
  if (worker?.incarnation !== incarnation || worker.state === "draining") return false;
  return [...draft.state.indexes.roomy].every((other) => other === id);
}

function lapse(draft: Draft, attempt: Attempt): void {
  const cause = `lease expired on ${attempt.worker}`;
  draft.putAttempt(changedAttempt(attempt, { cause }));
  const detail = `${cause}; nobody else has a lane free, so it may come back to it`;
  draft.record("lease-lapsed", aboutAttempt(draft.trial(attempt.trial), attempt), detail);
}

export function expire(draft: Draft, attempt: Attempt): void {
  loseWithWorker(draft, attempt, `lease expired on ${attempt.worker}`);
  // Its Assign may still be on the way. What goes to this worker next must find the lane empty.
  sendRevoke(draft, attempt);
}

export function booted(draft: Draft, { tokens = 0, notes = [] }: Extract<Event, { readonly kind: "Booted" }>): void {
  for (const { kind, detail } of notes) draft.record(kind, {}, detail);
  if (tokens > draft.state.lastToken) draft.add({ kind: "setTokens", last: token(tokens) });
  draft.record("coordinator-started", {}, `${draft.state.attempts.size} live leases renewed`);
  for (const attempt of byToken(draft.state.attempts.values())) {
    renew(draft, attempt);
  }
  for (const worker of byName(draft.state.workers.values())) unlink(draft, worker, "coordinator restarted");
  for (const id of openSweeps(draft.state)) shortenWaits(draft, draft.sweep(id));
  askForTick(draft, draft.now);
}

/** The machine's clock may have been set back between two lives: nobody waits longer than a back-off from now. */
function shortenWaits(draft: Draft, sweep: Sweep): void {
  const { manual, sampled } = indexOf(draft.state, sweep.id);
  for (const number of [...manual, ...sampled]) {
    const trial = draft.trialAt(sweep, number);
    const latest = millis(draft.now + backOff(Math.max(1, trial.losses)));
    if (trial.notBefore > latest) draft.putTrial(changedTrial(trial, { notBefore: latest }));
  }
}

/** The link of a worker is gone, or as good as gone: away while leases run, else gone. Draining stays draining. */
export function unlink(draft: Draft, worker: Worker, why: string): void {
  const held = draft.state.indexes.workers.has(worker.id);
  if (worker.state === "gone" || (held && worker.state !== "connected")) return;
  const state = held ? "away" : "gone";
  draft.putWorker(changedWorker(worker, { devices: withUse(worker.devices, {}), state }));
  draft.record(`worker-${state}`, { worker: worker.id }, why);
}

/** What the devices say of themselves now; what one said before is forgotten. */
export function withUse(
  devices: readonly WorkerDevice[],
  use: Readonly<Record<string, DeviceUse>>,
): readonly WorkerDevice[] {
  return devices.map((device) => {
    const now = Object.hasOwn(use, device.id) ? use[device.id] : undefined;
    if (now === undefined && device.use === undefined) return device;
    const { use: _, ...silent } = device;
    return now === undefined ? silent : { ...silent, use: now };
  });
}

export function byToken(attempts: Iterable<Attempt>): readonly Attempt[] {
  return [...attempts].sort((a, b) => a.token - b.token);
}

/** Ids of sweeps with something to do, the oldest first. */
export function openSweeps(state: State): readonly Sweep["id"][] {
  return [...state.indexes.open].sort((a, b) => a - b);
}

export function byName(workers: Iterable<Worker>): readonly Worker[] {
  return [...workers].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** An open link on which nothing came for the length of a lease is as good as none. */
function silenceDeadline(state: State, worker: Worker): number {
  const waits = worker.state === "connected" || (worker.state === "draining" && !state.indexes.workers.has(worker.id));
  return waits ? worker.lastSeen + TIMES.lease : Number.POSITIVE_INFINITY;
}

function wallDeadline({ state, cause, spec, createdAt }: Sweep): number | null {
  if (isEnded(state) || spec.maxWallMillis === null) return null;
  return cause === "" || cause === CAUSES.exhausted ? createdAt + spec.maxWallMillis : null;
}

function askForTick(draft: Draft, judgesFrom: Millis): void {
  const { state } = draft;
  for (const attempt of state.attempts.values()) {
    if (!isLapsed(attempt)) draft.wakeAt(Math.max(attempt.leaseUntil, judgesFrom));
  }
  for (const worker of state.workers.values()) {
    draft.wakeAt(Math.max(silenceDeadline(state, worker), judgesFrom));
    for (const { refused } of worker.devices) {
      if (refused === undefined) continue;
      for (const until of Object.values(refused)) if (until > draft.now) draft.wakeAt(until);
    }
  }
  for (const id of state.indexes.open) {
    const sweep = draft.sweep(id);
    draft.wakeAt(wallDeadline(sweep) ?? Number.POSITIVE_INFINITY);
    const index = indexOf(state, id);
    for (const queue of [index.manual, index.sampled]) {
      for (const number of queue) {
        const notBefore = draft.trialAt(sweep, number).notBefore;
        if (notBefore > draft.now) draft.wakeAt(notBefore);
      }
    }
  }
}
