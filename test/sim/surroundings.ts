/**
 * The world as its parts see it: what a connection, a disk, a worker or a page may ask of the rest. world.ts puts it
 * together. Types alone.
 */
import type { Mutation } from "../../coordinator/core/events.js";
import type { State } from "../../coordinator/core/state.js";
import type { Report } from "../../coordinator/core/types.js";
import type { SessionParts } from "../../coordinator/shell/link-session.js";
import type { Links } from "../../coordinator/shell/links.js";
import type { Runtime } from "../../coordinator/shell/runtime.js";
import type { Snapshot, Store, StorePosition } from "../../coordinator/store/store.js";
import type { AttemptId, ConvsweepError, Millis } from "../../proto/contract.js";
import type { CheckpointRef } from "../../worker/messages.js";
import type { Mutant } from "./mutants.js";
import type { Oracle } from "./oracle.js";
import type { CrashPoint, Plan } from "./plan.js";
import type { Standstill } from "./process.js";
import type { Stream } from "./random.js";
import type { Timeline } from "./timeline.js";

/** One life of the coordinator's process. */
export interface Life {
  readonly state: State;
  readonly runtime: Runtime;
  readonly links: Links;
  readonly process: Standstill;
  dead: boolean;
  now(): Millis;
  /** Runs `action` as soon as the process runs; drops it when the process is dead. */
  enter(action: () => void): void;
  sessionParts(): SessionParts;
  /** A message is about to leave; true if the process is dead before it does. */
  sent(): boolean;
  /** Lets so many more messages leave, then dies. */
  dieAfter(sends: number): void;
  endIfDying(): void;
}

export interface Wire {
  readonly index: number;
  readonly open: boolean;
  readonly life: Life | null;
  cut(peerMillis: number, coordinatorMillis: number): void;
  flush(): void;
  peerGivesUp(): void;
  coordinatorGivesUp(): void;
  coordinatorDied(): void;
}

export interface World {
  readonly plan: Plan;
  readonly timeline: Timeline;
  readonly now: number;
  /** When a message of the coordinator leaves: a turn that waited for its disk ends late. */
  readonly departure: number;
  readonly random: { readonly network: Stream; readonly disk: Stream };
  readonly oracle: Oracle;
  readonly mutant: Mutant;
  readonly disk: {
    readonly log: readonly (readonly Mutation[])[];
    store(later: (millis: number, action: () => void) => void): Store;
    reports(attempt: AttemptId): readonly Report[];
    load(): Snapshot;
    position(): StorePosition;
    opened(): void;
    told(): StorePosition;
  };
  readonly files: {
    upload(worker: number, attempt: string, epoch: number): CheckpointRef | null;
    download(worker: number, digest: string): boolean;
    keep(trial: string, digests: readonly string[]): void;
  };
  readonly connections: Set<Wire>;
  readonly viewers: readonly { check(life: Life): void }[];
  readonly coordinator: Life | null;
  readonly wallStep: number;
  readonly diskFull: boolean;
  readonly slowDisk: boolean;
  readonly healed: boolean;
  /** Messages are lost, repeated and swapped on a connection that stands. */
  readonly hostile: boolean;
  count(what: string): void;
  trace(line: () => string): void;
  /** The end of something that is to last `millis`: no fault outlasts the healing. */
  until(millis: number): number;
  partitioned(worker: number, way: "up" | "down"): boolean;
  crashAt(commit: number): CrashPoint | null;
  /** Ends the coordinator's process; the answer is thrown so that nothing of it goes on. */
  crash(point: CrashPoint, where: string): Error;
  crashAfterSends(point: CrashPoint): void;
  coordinatorBusy(millis: number): void;
  coordinatorStopped(life: Life, error: ConvsweepError): void;
  coordinatorDied(life: Life): void;
  turnEnded(mutations: readonly Mutation[]): void;
  batchKept(): void;
}
