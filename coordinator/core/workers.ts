/**
 * Workers: they say hello, send heartbeats, drain, lose their link.
 *
 * Guarantees: what a worker holds and what the coordinator believes are reconciled at every hello, in the open: keep, drop,
 * offered again, asked to stop again. Another life of the same name takes over only what a dead one left to it; else the
 * old one's leases run out. A lost link proves nothing, so it ends no lease. Not here: what attempts report (ingest.ts).
 */
import { type Incarnation, TIMES, token } from "../../proto/contract.js";
import { offerAgain } from "./assign.js";
import { heldBy, loseAttempt, loseWithWorker, renew, renewed, sendRevoke } from "./attempts.js";
import { changedAttempt, changedWorker } from "./changed.js";
import type { Draft } from "./draft.js";
import type { Event, HeldAttempt } from "./events.js";
import { byToken, unlink, withUse } from "./leases.js";
import { isLapsed } from "./state.js";
import { sendStop } from "./stopping.js";
import type { Attempt, Worker } from "./types.js";

/** No worker can use up the numbers that are left. */
const HIGHEST_FOREIGN_TOKEN = 2 ** 52;

type Of<K extends Event["kind"]> = Extract<Event, { readonly kind: K }>;

export function workerHello(draft: Draft, event: Of<"WorkerHello">): void {
  const { worker: id, incarnation, host, pid, version, devices } = event;
  const known = draft.state.workers.get(id);
  const sameLife = known?.incarnation === incarnation;
  // A link that comes back does not end a drain.
  const state = sameLife && known.state === "draining" ? "draining" : "connected";
  const times = { connectedAt: draft.now, lastSeen: draft.now };
  draft.putWorker({ id, incarnation, host, pid, version, devices, state, ...times });
  draft.record("worker-connected", { worker: id }, connectedDetail(event, known));
  draft.wakeAt(draft.now + TIMES.lease);
  draft.placementDue = true;
  if (known !== undefined && !sameLife && known.state === "connected") warnOfNamesake(draft, known, event);

  raiseTokens(draft, event);
  if (event.commitsAhead) noteRollback(draft, event, event.commitsAhead);
  for (const previous of event.previous ?? []) takeOver(draft, event, previous);
  const keep: HeldAttempt[] = [];
  const drop: HeldAttempt[] = [];
  for (const { attempt: attemptId, token } of event.running) {
    const attempt = heldBy(draft, { worker: id, incarnation, attempt: attemptId, token });
    (attempt === null ? drop : keep).push({ attempt: attemptId, token });
    if (attempt !== null) renew(draft, attempt);
  }
  draft.send(id, incarnation, { kind: "Welcome", keep, drop });
  const listed = new Set(keep.map((held) => held.attempt));
  for (const attempt of attemptsOf(draft, event)) remind(draft, attempt, listed.has(attempt.id), devices);
}

/** Two processes of one name take turns: the one that said hello last gets the trials. Both keep what they hold. */
function warnOfNamesake(draft: Draft, known: Worker, { worker, host, pid }: Of<"WorkerHello">): void {
  const detail = `${host} pid ${pid} took the name from ${known.host} pid ${known.pid}, whose link is open: give each a --name of its own`;
  draft.record("worker-name-taken", { worker }, detail);
  draft.log("warn", "worker-name-taken", "two workers have one name; the older one gets no more trials", {
    worker,
    detail,
  });
}

/** What the worker still keeps of the lost commits it says again: repeats change nothing, the rest heals the record. */
function noteRollback(draft: Draft, { worker }: Of<"WorkerHello">, commitsAhead: number): void {
  const detail = `${worker} has heard of ${commitsAhead} commits that this store does not have: it is an older copy`;
  draft.record("rollback-detected", { worker }, detail);
  draft.log("warn", "rollback-detected", "the store is an older copy than a worker knows", {
    worker,
    commits: commitsAhead,
  });
}

/** A process before it is dead: what that left reports of goes over to its successor, the rest is lost now, not later. */
function takeOver(draft: Draft, { worker, incarnation, running }: Of<"WorkerHello">, previous: Incarnation): void {
  const left = new Set(running.map(({ token }) => token));
  for (const attempt of attemptsOf(draft, { worker, incarnation: previous })) {
    if (left.has(attempt.token)) draft.putAttempt(changedAttempt(renewed(draft, attempt), { incarnation }));
    else loseWithWorker(draft, attempt, `the process of ${worker} ended`);
  }
}

/**
 * A worker that holds a token this store has never given has it from another store, or this one is an older copy put
 * back in place. Were the same token given again, what the worker still has to say would count for the wrong attempt.
 */
function raiseTokens(draft: Draft, { worker, running }: Of<"WorkerHello">): void {
  const { lastToken } = draft.state;
  const highest = running.reduce((most, held) => Math.max(most, held.token), 0);
  if (highest <= lastToken || highest > HIGHEST_FOREIGN_TOKEN) return;
  draft.add({ kind: "setTokens", last: token(highest) });
  const detail = `${worker} holds token ${highest}, the newest of this store is ${lastToken}: it is an older copy, or another`;
  draft.record("tokens-raised", { worker }, detail);
  draft.log("warn", "tokens-raised", "a worker holds a token that this store never gave", {
    worker,
    token: highest,
    newest: lastToken,
  });
}

/**
 * Orders may have gone down with the old link. A running attempt that is not listed may have ended, with its messages
 * still to come on the new link: the next heartbeat, which follows them, or the lease decides.
 */
function remind(draft: Draft, attempt: Attempt, listed: boolean, devices: Worker["devices"]): void {
  if (attempt.state === "offered" && !listed) offerAgain(draft, attempt, devices);
  if (attempt.stopping !== null && listed) sendStop(draft, attempt);
}

/** What it lists is renewed or revoked; what it should hold, and does not list for the length of an offer or a lease, is lost. */
export function heartbeat(draft: Draft, event: Of<"Heartbeat">): void {
  const { worker: id, incarnation, running } = event;
  noteSeen(draft, event);
  const listed = new Set<Attempt["id"]>();
  for (const { attempt: attemptId, token } of running) {
    const attempt = heldBy(draft, { worker: id, incarnation, attempt: attemptId, token });
    if (attempt === null) draft.send(id, incarnation, { kind: "Revoke", attempt: attemptId, token });
    else listed.add(renew(draft, attempt).id);
  }
  for (const attempt of attemptsOf(draft, event)) {
    if (listed.has(attempt.id) || (!isLapsed(attempt) && attempt.offeredAt + TIMES.offer > draft.now)) continue;
    loseAttempt(draft, attempt, `no longer held by ${id}`);
    sendRevoke(draft, attempt);
  }
}

export function workerDraining(draft: Draft, event: Of<"WorkerDraining">): void {
  const worker = lifeOf(draft, event);
  if (worker === null || worker.state === "draining" || worker.state === "gone") return;
  draft.putWorker(changedWorker(worker, { state: "draining", lastSeen: draft.now }));
  draft.record("worker-draining", { worker: worker.id }, "takes no more trials");
}

export function workerLinkLost(draft: Draft, event: Of<"WorkerLinkLost">): void {
  const worker = lifeOf(draft, event);
  if (worker === null) return;
  unlink(draft, worker, "link lost; leases go on");
}

/** A heartbeat on a link that was silent brings the worker back. */
function noteSeen(draft: Draft, event: Of<"Heartbeat">): void {
  const worker = lifeOf(draft, event);
  if (worker === null) return;
  const back = worker.state === "away" || worker.state === "gone";
  const devices = withUse(worker.devices, event.use ?? {});
  draft.putWorker(changedWorker(worker, { devices, state: back ? "connected" : worker.state, lastSeen: draft.now }));
  if (!back) return;
  draft.record("worker-connected", { worker: worker.id }, "heard again");
  draft.wakeAt(draft.now + TIMES.lease);
  draft.placementDue = true;
}

type Life = Pick<Worker, "incarnation"> & { readonly worker: Worker["id"] };

function lifeOf(draft: Draft, { worker: id, incarnation }: Life): Worker | null {
  const worker = draft.state.workers.get(id);
  return worker?.incarnation === incarnation ? worker : null;
}

/** Live attempts of this life, in order of token. */
function attemptsOf(draft: Draft, { worker: id, incarnation }: Life): readonly Attempt[] {
  const ids = draft.state.indexes.workers.get(id) ?? [];
  const attempts = [...ids].flatMap((attemptId) => draft.attempt(attemptId) ?? []);
  return byToken(attempts.filter((attempt) => attempt.incarnation === incarnation));
}

function connectedDetail(event: Of<"WorkerHello">, known: Worker | undefined): string {
  const { host, pid, devices, running } = event;
  const lanes = devices.map((device) => `${device.id} (${device.lanes} lanes)`).join(", ") || "no devices";
  const life = known === undefined ? "first time" : known.incarnation === event.incarnation ? "back" : "new process";
  return `${life}, ${host} pid ${pid}, ${lanes}, ${running.length} attempts held`;
}
