/**
 * One feed for all viewers: pages over WebSocket, `run` and other clients over gRPC, the owner in the same process.
 *
 * Guarantees: `seq` numbers deltas without gaps within one feed id (one life of the coordinator); a viewer gets a
 * snapshot or the deltas after its last number, then every delta in order. What changes within 50 ms is one delta with
 * the newest row of each thing. A viewer is served at its own pace from a shared ring, with nothing queued for it beyond
 * its socket's bound; one that falls out of the ring gets a new snapshot; one whose socket takes nothing for 30 s is
 * closed. A worker's heartbeats alone change its row at most every 10 s. While nobody has looked for a minute nothing is kept
 * of what changes but its number: whoever comes then gets a snapshot.
 *
 * Not here: sockets (feed-socket.ts, admin-server.ts), rows (core/views.ts).
 */
import { randomUUID } from "node:crypto";
import { type Millis, millis, type SweepId } from "../../proto/contract.js";
import type { FeedChange, WorkerRow } from "../../proto/feed.js";
import type { Mutation } from "../core/events.js";
import type { State } from "../core/state.js";
import { changesOf } from "../core/views.js";
import type { Clock } from "./clock.js";
import { FeedRing } from "./feed-ring.js";
import { Snapshot } from "./feed-snapshot.js";
import type { Log } from "./log.js";

/** A viewer's socket as the hub sees it. */
export interface FeedSink {
  /** Bytes it was given and has not passed on; at or above the bound nothing more is sent. */
  backlog(): number;
  /** `flushed` is called once it has passed the text on. */
  send(text: string, flushed: () => void): void;
  /** No more will come. */
  close(reason: "slow" | "closing"): void;
}

export interface FeedRequest {
  readonly resume: { readonly feed: string; readonly seq: number } | null;
  /** Only this sweep; `null` for all. */
  readonly sweep: SweepId | null;
  /** It takes a snapshot in parts. */
  readonly parts: boolean;
}

export const BACKLOG_BYTES = 1 << 20;
const TICK_MILLIS = 50;
const STALLED_MILLIS = 30_000;
const WORKER_SEEN_MILLIS = 10_000;
const UNWATCHED_MILLIS = 60_000;
const RING_DELTAS = 4_096;
const RING_BYTES = 16 << 20;

interface Viewer {
  readonly sink: FeedSink;
  readonly sweep: SweepId | null;
  /** Number of the last message it was given; `null` when it needs a snapshot. */
  seq: number | null;
  readonly parts: boolean;
  /** The snapshot it is being given, and the next part of it. */
  snapshot: { readonly from: Snapshot; next: number } | null;
  /** Since when its backlog has not shrunk. */
  stalled: { since: Millis; backlog: number } | null;
}

export interface FeedHubOptions {
  readonly state: State;
  readonly clock: Clock;
  readonly version: string;
  readonly log: Log;
  readonly ringBytes?: number;
  /** Trials in a part of a snapshot. */
  readonly rowsAPart?: number;
  /** Runs `action` when the state holds nothing that is not durable. Default: it never does. */
  readonly whenDurable?: (action: () => void) => void;
}

export class FeedHub {
  readonly feed = randomUUID();
  readonly #options: FeedHubOptions;
  readonly #ring: FeedRing;
  readonly #viewers = new Set<Viewer>();
  readonly #workers = new Map<string, WorkerRow>();
  readonly #snapshots = new Map<SweepId | null, Snapshot>();
  #mutations: Mutation[] = [];
  /** Since when nobody looks; `null` while somebody does. */
  #unwatchedSince: Millis | null;
  #cancelTick: (() => void) | null = null;
  #closed = false;

  constructor(options: FeedHubOptions) {
    this.#options = options;
    this.#ring = new FeedRing(RING_DELTAS, options.ringBytes ?? RING_BYTES);
    this.#unwatchedSince = options.clock.now();
  }

  /** Number of the newest delta. */
  get seq(): number {
    return this.#ring.last;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** What viewers' sockets were given and have not passed on. */
  get bufferedBytes(): number {
    let bytes = 0;
    for (const viewer of this.#viewers) bytes += viewer.sink.backlog();
    return bytes;
  }

  /** What a turn changed; durable and applied. */
  note(mutations: readonly Mutation[]): void {
    if (this.#closed || mutations.length === 0) return;
    if (this.#isUnwatched()) return this.#passOver();
    for (const mutation of mutations) this.#mutations.push(mutation);
    this.#armTick();
  }

  /** Begins to serve a viewer; the answer ends it. */
  open(sink: FeedSink, request: FeedRequest): () => void {
    const { resume } = request;
    const known = resume !== null && resume.feed === this.feed && this.#follows(resume.seq);
    const viewer: Viewer = {
      sink,
      sweep: request.sweep,
      seq: known ? resume.seq : null,
      parts: request.parts,
      snapshot: null,
      stalled: null,
    };
    this.#viewers.add(viewer);
    this.#unwatchedSince = null;
    this.#pump(viewer);
    return () => void this.#viewers.delete(viewer);
  }

  close(): void {
    if (this.#closed) return;
    this.#tick();
    this.#closed = true;
    this.#cancelTick?.();
    for (const viewer of this.#viewers) viewer.sink.close("closing");
    this.#viewers.clear();
  }

  #isUnwatched(): boolean {
    if (this.#viewers.size > 0) {
      this.#unwatchedSince = null;
      return false;
    }
    const now = this.#options.clock.now();
    this.#unwatchedSince ??= now;
    return now - this.#unwatchedSince >= UNWATCHED_MILLIS;
  }

  /** A change that nobody sees. */
  #passOver(): void {
    this.#mutations = [];
    this.#ring.skip();
    this.#workers.clear();
  }

  /** Everything after `seq` can still be sent. */
  #follows(seq: number): boolean {
    return seq === this.#ring.last || this.#ring.at(seq + 1) !== null;
  }

  #armTick(): void {
    if (this.#cancelTick) return;
    const { clock } = this.#options;
    this.#cancelTick = clock.schedule(millis(clock.now() + TICK_MILLIS), () => {
      this.#cancelTick = null;
      this.#whenDurable(() => this.#tick());
    });
  }

  #whenDurable(action: () => void): void {
    (this.#options.whenDurable ?? ((now) => now()))(action);
  }

  #tick(): void {
    if (this.#closed) return;
    const mutations = this.#mutations;
    if (mutations.length === 0) return;
    this.#mutations = [];
    const now = this.#options.clock.now();
    const changes = changesOf(this.#options.state, mutations, now).filter((change) => this.#isNews(change));
    if (changes.length > 0) this.#ring.push(changes);
    for (const viewer of this.#viewers) this.#pump(viewer);
  }

  /** False for a worker's row that says nothing new, or only that it was seen a moment later. */
  #isNews(change: FeedChange): boolean {
    if (change.kind !== "worker") return true;
    const { row } = change;
    const before = this.#workers.get(row.id);
    if (before && row.lastSeen - before.lastSeen < WORKER_SEEN_MILLIS) {
      if (besidesHeartbeats(row) === besidesHeartbeats(before)) return false;
    }
    this.#workers.set(row.id, row);
    return true;
  }

  #pump(viewer: Viewer): void {
    if (!this.#viewers.has(viewer)) return;
    while (viewer.sink.backlog() < BACKLOG_BYTES) {
      viewer.stalled = null;
      const text = this.#next(viewer);
      if (text === null) return;
      this.#send(viewer, text);
      if (!this.#viewers.has(viewer)) return;
    }
    this.#watchStall(viewer);
  }

  /** What the viewer gets next; `null` while there is nothing. */
  #next(viewer: Viewer): string | null {
    if (viewer.snapshot === null && (viewer.seq === null || !this.#follows(viewer.seq))) {
      viewer.snapshot = { from: this.#snapshot(viewer.sweep), next: 0 };
    }
    if (viewer.snapshot !== null) {
      const { from, next } = viewer.snapshot;
      const text = viewer.parts ? from.part(next) : from.whole();
      if (text === null) return null;
      viewer.snapshot.next += 1;
      if (from.done && (!viewer.parts || from.part(next + 1) === null)) {
        viewer.seq = from.seq;
        viewer.snapshot = null;
      }
      return text;
    }
    const delta = viewer.seq === null ? null : this.#ring.at(viewer.seq + 1);
    if (delta === null) return null;
    viewer.seq = delta.seq;
    return viewer.sweep === null ? delta.text : filtered(delta.seq, delta.changes, viewer.sweep);
  }

  #send(viewer: Viewer, text: string): void {
    viewer.sink.send(text, () => this.#pump(viewer));
  }

  #watchStall(viewer: Viewer): void {
    const backlog = viewer.sink.backlog();
    const now = this.#options.clock.now();
    if (viewer.stalled === null || backlog < viewer.stalled.backlog) {
      viewer.stalled = { since: now, backlog };
      return;
    }
    if (now - viewer.stalled.since < STALLED_MILLIS) return;
    this.#viewers.delete(viewer);
    viewer.sink.close("slow");
  }

  /** Viewers that ask while one is being written share it. */
  #snapshot(sweep: SweepId | null): Snapshot {
    const running = this.#snapshots.get(sweep);
    if (running !== undefined) return running;
    const { state, clock, version, log, rowsAPart } = this.#options;
    const snapshot = new Snapshot({ feed: this.feed, seq: this.#ring.last, version }, rowsAPart);
    this.#snapshots.set(sweep, snapshot);
    const takers = (): Viewer[] => [...this.#viewers].filter((viewer) => viewer.snapshot?.from === snapshot);
    const durable = () => new Promise<void>((resolve) => this.#whenDurable(resolve));
    snapshot
      .write(state, durable, clock, sweep, () => {
        if (snapshot.done) this.#snapshots.delete(sweep);
        for (const viewer of takers()) this.#pump(viewer);
      })
      .catch((error: unknown) => {
        this.#snapshots.delete(sweep);
        log("error", "snapshot-failed", `a snapshot could not be written: ${String(error)}`);
        for (const viewer of takers()) {
          this.#viewers.delete(viewer);
          viewer.sink.close("closing");
        }
      });
    return snapshot;
  }
}

/** A delta for a viewer of one sweep: the same number, workers and that sweep's rows only. */
function filtered(seq: number, changes: readonly FeedChange[], sweep: SweepId): string {
  return JSON.stringify({ kind: "delta", seq, changes: changes.filter((change) => concerns(change, sweep)) });
}

function concerns(change: FeedChange, sweep: SweepId): boolean {
  switch (change.kind) {
    case "sweep":
      return change.row.id === sweep;
    case "trial":
      return change.row.sweep === sweep;
    case "report":
      return change.row.trial.startsWith(`${sweep}/`);
    case "worker":
      return true;
  }
}

/** What of a worker does not change with each of its heartbeats, to be compared. */
function besidesHeartbeats({ devices, ...row }: WorkerRow): string {
  return JSON.stringify({
    ...row,
    lastSeen: 0,
    devices: devices.map(({ use, ...device }) => ({ ...device, told: use !== null })),
  });
}
