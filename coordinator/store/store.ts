/**
 * The store's interface: what the coordinator keeps, and the guarantees every implementation passes in
 * test/conformance/store.ts.
 *
 * - `commit` is atomic and durable when it returns: all mutations of the batch or none. If it throws, none.
 * - `load` gives back exactly what was committed: sweeps, trials, live attempts, workers, counters.
 * - Reports are idempotent by (attempt, epoch, metric): a repeat changes nothing.
 * - NaN and the infinities come back as what they were.
 * - Synchronous by design: one writer, one thread. Only the wait for the disk may be left to the system (`commitLater`).
 *
 * Not here: SQL, files, decisions.
 */
import type { AttemptId, ConvsweepError, SweepId, Token, TrialId } from "../../proto/contract.js";
import type { Mutation } from "../core/events.js";
import type { Artifact, Attempt, EventRecord, Report, Sweep, Trial, Worker } from "../core/types.js";

export interface Snapshot {
  readonly sweeps: readonly Sweep[];
  readonly trials: readonly Trial[];
  /** Those that have not ended. */
  readonly attempts: readonly Attempt[];
  readonly workers: readonly Worker[];
  readonly lastToken: Token;
  readonly lastSweep: SweepId;
}

export interface StoreInfo {
  /** Random, made with the store. */
  readonly uuid: string;
  readonly schemaVersion: number;
  readonly path: string;
  /** Grows by one a commit. */
  readonly commitSeq: number;
}

/** A process that had the store open. */
export interface Opening {
  readonly id: string;
  /** How many commits there were when it began. */
  readonly commit: number;
  /** It gives only tokens above this one: those up to it may have been given, also in commits that were lost. */
  readonly tokens: number;
}

/** Where a store stands in its history. Cheap: asked for with every message. */
export interface StorePosition {
  readonly uuid: string;
  /** Raised whenever an older copy takes the store's place. */
  readonly generation: number;
  readonly commit: number;
  /** Oldest first, the last is this process's. Numbers of commits that were lost are given again: these tell them apart. */
  readonly openings: readonly Opening[];
}

/** Something that happened to the store itself, to be put on record. */
export interface StoreNote {
  readonly kind: string;
  readonly detail: string;
}

/** An artifact with the number it is asked for by. */
export interface KeptArtifact extends Artifact {
  readonly id: number;
}

export interface Store {
  info(): StoreInfo;
  /** What was noticed when it was opened. */
  openingNotes(): readonly StoreNote[];
  /**
   * Calls `tell` when what commits wrote cannot be put where it takes less space, with why: nothing is lost, but the store
   * grows. Once until it can be. A store without it has no such place.
   */
  onGrowing?(tell: (why: string) => void): void;
  position(): StorePosition;
  load(): Snapshot;
  commit(batch: readonly Mutation[]): void;
  /**
   * As `commit`, but returns when the batch is written, before the disk has it. `durable` is called once, later, with
   * `null` or why nobody knows whether the disk has it; no other commit may come before. The answer waits for the disk and
   * calls `durable` there and then. A store without it has nothing to wait for.
   */
  commitLater?(batch: readonly Mutation[], durable: (failed: ConvsweepError | null) => void): () => void;
  /** After a commit failed for want of space: gives back what was set aside for that. */
  makeRoom(): void;
  /** Writes something, durably. Throws as `commit` does, or because there is too little room to go on. */
  tryWriting(): void;
  /** Reports of a trial, in order of attempt, then epoch. */
  reports(trial: TrialId): readonly Report[];
  /** Reports of one attempt, in order of epoch. */
  attemptReports(attempt: AttemptId): readonly Report[];
  attempts(trial: TrialId): readonly Attempt[];
  /** Newest last. */
  /** Of each name and epoch the newest attempt's, by name, then epoch. */
  artifacts(trial: TrialId): readonly KeptArtifact[];
  artifact(id: number): KeptArtifact | null;
  events(filter: {
    readonly sweep: SweepId | null;
    readonly trial: TrialId | null;
    readonly limit: number;
  }): readonly EventRecord[];
  /** The newest of these kinds among the newest `among` events, at most `limit`; oldest first. */
  eventsOf(kinds: readonly string[], limit: number, among: number): readonly EventRecord[];
  /** A consistent copy while running. */
  backup(path: string): Promise<void>;
  close(): void;
}
