/** A feed's hub over a state that tests change, and viewers whose sockets they hold. */
import { apply } from "../../coordinator/core/apply.js";
import type { Mutation } from "../../coordinator/core/events.js";
import { emptyState } from "../../coordinator/core/state.js";
import type { DeviceUse, Trial, Worker } from "../../coordinator/core/types.js";
import { FeedHub, type FeedSink } from "../../coordinator/shell/feed-hub.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { incarnation, millis, sweepId, trialId, workerId } from "../../proto/contract.js";
import type { FeedMessage, TrialRow } from "../../proto/feed.js";
import { manualClock, SPEC } from "./fixture.js";

type Snapshot = Extract<FeedMessage, { readonly kind: "snapshot" }>;
type Delta = Extract<FeedMessage, { readonly kind: "delta" }>;

export const trialOf = (sweep: number, number: number, more: Partial<Trial> = {}): Mutation => ({
  kind: "putTrial",
  trial: {
    id: trialId(sweepId(sweep), number),
    sweep: sweepId(sweep),
    number,
    parameters: { learning_rate: 0.1 },
    seed: "00000000000000ff",
    cohortKey: "key",
    origin: { kind: "sampled" },
    state: "queued",
    cause: "",
    attempts: 0,
    losses: 0,
    notBefore: millis(0),
    epoch: 0,
    best: null,
    last: null,
    metrics: {},
    lineage: [],
    createdAt: millis(1_000),
    startedAt: null,
    endedAt: null,
    weightsHash: null,
    fingerprint: null,
    worker: null,
    device: null,
    verified: null,
    killed: [],
    checkpoints: [],
    ...more,
  },
});

const GPU = { id: "cuda:0", name: "g", backend: "cuda", fingerprint: "f", memoryBytes: 1, lanes: 1 };

export const workerOf = (lastSeen: number, state: Worker["state"] = "connected", use?: DeviceUse): Mutation => ({
  kind: "putWorker",
  worker: {
    id: workerId("w"),
    incarnation: incarnation("incarnation-1"),
    host: "h",
    pid: 1,
    version: "1",
    devices: use === undefined ? [GPU] : [{ ...GPU, use }],
    state,
    connectedAt: millis(0),
    lastSeen: millis(lastSeen),
  },
});

interface Bounds {
  readonly ringBytes?: number;
  readonly rowsAPart?: number;
  readonly sweeps?: number;
}

export function world({ sweeps = 2, ...bounds }: Bounds = {}) {
  const clock = manualClock();
  const state = emptyState();
  const hub = new FeedHub({ state, clock, version: "1.2.3", log: silentLog, ...bounds });
  const change = (...mutations: Mutation[]): void => {
    for (const mutation of mutations) apply(state, mutation);
    hub.note(mutations);
  };
  for (let id = 1; id <= sweeps; id += 1) {
    change(
      { kind: "setSweeps", last: sweepId(id) },
      {
        kind: "putSweep",
        sweep: {
          id: sweepId(id),
          spec: SPEC,
          state: "running",
          cause: "",
          createdAt: millis(0),
          endedAt: null,
          nextTrial: 5_000,
          samplerState: null,
          schedulerState: null,
        },
      },
    );
  }
  clock.advance(50);
  const tick = (...mutations: Mutation[]): void => {
    change(...mutations);
    clock.advance(50);
  };
  return { clock, state, hub, change, tick };
}

/** A viewer whose socket takes what it is given, until told to hold. */
export function viewer() {
  const messages: FeedMessage[] = [];
  const held: (() => void)[] = [];
  const seen = { messages, backlog: 0, hold: false, closed: null as string | null, arrived: () => {} };
  const sink: FeedSink = {
    backlog: () => seen.backlog,
    send(text, flushed) {
      messages.push(JSON.parse(text) as FeedMessage);
      if (seen.hold) {
        seen.backlog += text.length;
        held.push(() => {
          seen.backlog -= text.length;
          flushed();
        });
      } else setImmediate(flushed);
      seen.arrived();
    },
    close(reason) {
      seen.closed = reason;
    },
  };
  const release = (): void => {
    seen.hold = false;
    for (const one of held.splice(0)) one();
  };
  const count = (n: number): Promise<void> =>
    new Promise((resolve) => {
      seen.arrived = () => {
        if (messages.length >= n) resolve();
      };
      seen.arrived();
    });
  return { sink, seen, messages, release, count };
}

export const ANEW = { resume: null, sweep: null, parts: false };
export const snapshots = (messages: readonly FeedMessage[]): Snapshot[] =>
  messages.filter((one) => one.kind === "snapshot");
export const deltas = (messages: readonly FeedMessage[]): Delta[] => messages.filter((one) => one.kind === "delta");

/** What a page would show. */
export function rowsAfter(messages: readonly FeedMessage[]): Map<string, TrialRow> {
  const rows = new Map<string, TrialRow>();
  for (const message of messages) {
    if (message.kind === "snapshot") {
      rows.clear();
      for (const row of message.trials) rows.set(row.id, row);
    } else if (message.kind === "rows") for (const row of message.trials) rows.set(row.id, row);
    else for (const change of message.changes) if (change.kind === "trial") rows.set(change.row.id, change.row);
  }
  return rows;
}

/** Where a page goes on that has had these messages: nowhere, while its last snapshot is not whole. */
export function resumeAfter(messages: readonly FeedMessage[], feed: string): { feed: string; seq: number } | null {
  let rest = 0;
  for (const message of messages) {
    if (message.kind === "snapshot") rest = message.rest;
    if (message.kind === "rows") rest -= message.trials.length;
  }
  const last = messages.at(-1);
  return last === undefined || rest > 0 ? null : { feed, seq: last.seq };
}
