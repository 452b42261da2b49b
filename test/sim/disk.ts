/**
 * The coordinator's disk: a log of batches, each whole or not there, and what a new process finds on it.
 *
 * Guarantees: what `commit` returned from is found by `load`, in whatever way the process ended; a batch during which it
 * ended is there or is not; one that is still being flushed when the process ends is there or is not. Faults: counted crash points, a failing fsync (nobody knows whether the batch is there), no
 * space, slow commits. Not here: SQL (sqlite.test.ts runs the same schedules through the real store).
 */
import type { Mutation } from "../../coordinator/core/events.js";
import type { Attempt, EventRecord, Report, Sweep, Trial, Worker } from "../../coordinator/core/types.js";
import type { Opening, Snapshot, Store, StorePosition } from "../../coordinator/store/store.js";
import {
  type AttemptId,
  ConvsweepError,
  type SweepId,
  sweepId,
  TOKENS_A_CRASH,
  TOKENS_A_GENERATION,
  type TrialId,
  token,
} from "../../proto/contract.js";
import type { CrashPoint } from "./plan.js";
import type { World } from "./surroundings.js";

export const STORE_ID = "simulated-store";

export class Disk {
  readonly #world: World;
  /** Durable batches, the oldest first. */
  readonly log: (readonly Mutation[])[] = [];
  #generation = 0;
  /** The newest commit ever made, also if an older copy took its place. */
  #newest = 0;
  /** Commits tried so far, over all lives: crash points count them. */
  #commits = 0;
  #reports = new Map<AttemptId, Report[]>();
  #openings: readonly Opening[] = [];
  #processes = 0;
  /** An older copy is in place, made at a clean end. */
  #copied = false;
  failNextSync = false;
  /** Written and not flushed. */
  #flushing: { readonly batch: readonly Mutation[] } | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  /** A commit is being flushed. */
  get busy(): boolean {
    return this.#flushing !== null;
  }

  /** `later` does something in so many milliseconds, unless the process is dead by then. */
  store(later: (millis: number, action: () => void) => void): Store {
    const most = this.#world.plan.flushMillis ?? 0;
    const none = (): never => {
      throw new Error("not used in simulations");
    };
    return {
      openingNotes: () => [],
      position: () => this.position(),
      makeRoom: () => undefined,
      tryWriting: () => {
        if (this.#world.diskFull) throw new ConvsweepError("DISK_FULL", "database or disk is full");
      },
      artifacts: none,
      artifact: none,
      info: () => ({ uuid: STORE_ID, schemaVersion: 0, path: "", commitSeq: this.log.length }),
      load: () => this.load(),
      commit: (batch) => this.#commit(batch),
      ...(most === 0
        ? null
        : {
            commitLater: (batch, durable) => {
              const { says, flush } = this.#write(batch, durable);
              if (says !== null) later(0, says);
              later(this.#world.random.disk.between(1, most), flush);
              return says ?? flush;
            },
          }),
      attemptReports: (attempt) => this.reports(attempt),
      reports: none,
      attempts: none,
      events: (): readonly EventRecord[] => none(),
      eventsOf: none,
      backup: none,
      close: () => undefined,
    };
  }

  reports(attempt: AttemptId): readonly Report[] {
    return this.#reports.get(attempt) ?? [];
  }

  position(): StorePosition {
    return { uuid: STORE_ID, generation: this.#generation, commit: this.log.length, openings: this.#openings };
  }

  /** What workers are told. */
  told(): StorePosition {
    const { hidesRollback, hidesOpenings } = this.#world.mutant;
    const position = this.position();
    const openings = hidesRollback || hidesOpenings ? [] : position.openings;
    return hidesRollback ? { ...position, openings, generation: 0, commit: this.#newest } : { ...position, openings };
  }

  /** A process begins with what is there; what was being flushed is, or is not. */
  opened(): void {
    if (this.#flushing !== null) {
      this.#world.count("crash during a flush");
      if (this.#world.random.disk.chance(0.5)) this.#keep(this.#flushing.batch);
    }
    this.#flushing = null;
    this.#processes += 1;
    const before = this.#openings.at(-1);
    const given = Math.max(this.#lastToken(), before?.tokens ?? 0, this.#generation * TOKENS_A_GENERATION);
    const tokens = before === undefined || this.#copied ? given : given + TOKENS_A_CRASH;
    this.#copied = false;
    const opening = { id: `opening-${this.#processes}`, commit: this.log.length, tokens };
    this.#openings = [...this.#openings, opening];
  }

  /** Somebody puts a copy in place that lacks the newest `count` commits, and accepts that. */
  restore(count: number): void {
    this.loseNewest(count);
    this.#copied = true;
    if (!this.#world.mutant.keepsGeneration) this.#generation += 1;
  }

  #commit(batch: readonly Mutation[]): void {
    const point = this.#begin();
    const failed = this.#flush(batch);
    if (failed) throw failed;
    const crash = this.#crashesAt(point);
    if (crash) throw crash;
  }

  /** `flush` makes durable what is written, if that has not happened yet; `says` is a mutant's, which does not wait. */
  #write(batch: readonly Mutation[], durable: (failed: ConvsweepError | null) => void) {
    const point = this.#begin();
    if (this.#flushing !== null) this.#flush(this.#flushing.batch);
    const mine = { batch };
    this.#flushing = mine;
    const hasty = this.#world.mutant.saysDurableEarly;
    let said = false;
    const says = (): void => {
      if (!said) durable(null);
      said = true;
    };
    const flush = (): void => {
      if (this.#flushing !== mine) return;
      this.#flushing = null;
      this.#world.count("flushed later");
      const failed = this.#flush(batch);
      if (failed === null && this.#crashesAt(point)) return;
      if (!hasty) durable(failed);
    };
    return { says: hasty ? says : null, flush };
  }

  /** The batch is kept, and the process may be about to die. */
  #crashesAt(point: CrashPoint | null): Error | null {
    if (point === null) return null;
    this.#world.count("crash between commit and ack");
    if (point.when === "after") return this.#world.crash(point, "after a commit");
    this.#world.crashAfterSends(point);
    return null;
  }

  #begin(): CrashPoint | null {
    const world = this.#world;
    this.#commits += 1;
    const point = world.crashAt(this.#commits);
    if (point?.when === "before") throw world.crash(point, "before a commit");
    if (world.diskFull) {
      world.count("disk full");
      throw new ConvsweepError("DISK_FULL", "database or disk is full");
    }
    return point;
  }

  /** What went wrong, or `null`: the batch is kept. */
  #flush(batch: readonly Mutation[]): ConvsweepError | null {
    const world = this.#world;
    if (world.slowDisk) world.coordinatorBusy(world.random.disk.between(10, 500));
    if (this.failNextSync) {
      this.failNextSync = false;
      world.count("fsync failed");
      if (world.random.disk.chance(0.5)) this.#keep(batch);
      return new ConvsweepError("INTERNAL", "disk I/O error");
    }
    this.#keep(batch);
    return null;
  }

  #keep(batch: readonly Mutation[]): void {
    const kept = this.#world.mutant.stores(batch);
    this.log.push(kept);
    this.#newest = Math.max(this.#newest, this.log.length);
    for (const mutation of kept) {
      if (mutation.kind !== "addReport") continue;
      const { attempt } = mutation.report;
      const known = this.#reports.get(attempt);
      if (known) known.push(mutation.report);
      else this.#reports.set(attempt, [mutation.report]);
    }
    this.#world.oracle.committed(batch);
    this.#world.batchKept();
  }

  /** A crash loses the newest commits, those of the last process alone: the mark knows how many it began with. */
  loseTail(count: number): void {
    this.loseNewest(Math.min(count, this.log.length - (this.#openings.at(-1)?.commit ?? 0)));
  }

  /** Forgets the newest `count` batches, as a disk does that lied about its flush. */
  loseNewest(count: number): void {
    // What was not even flushed is gone with them.
    this.#flushing = null;
    this.log.length = Math.max(0, this.log.length - count);
    this.#openings = this.#openings.filter(({ commit }) => commit <= this.log.length);
    this.#reports = new Map();
    for (const batch of this.log) {
      for (const mutation of batch) {
        if (mutation.kind !== "addReport") continue;
        const { attempt } = mutation.report;
        this.#reports.set(attempt, [...(this.#reports.get(attempt) ?? []), mutation.report]);
      }
    }
  }

  /** As `load` gives it, without the rest. */
  #lastToken(): number {
    for (let batch = this.log.length - 1; batch >= 0; batch -= 1) {
      const set = this.log[batch]?.findLast(({ kind }) => kind === "setTokens");
      if (set?.kind === "setTokens") return set.last;
    }
    return 0;
  }

  load(): Snapshot {
    const sweeps = new Map<SweepId, Sweep>();
    const trials = new Map<TrialId, Trial>();
    const attempts = new Map<AttemptId, Attempt>();
    const workers = new Map<string, Worker>();
    let lastToken = token(0);
    let lastSweep = sweepId(0);
    for (const batch of this.log) {
      for (const mutation of batch) {
        if (mutation.kind === "putSweep") sweeps.set(mutation.sweep.id, mutation.sweep);
        else if (mutation.kind === "putTrial") trials.set(mutation.trial.id, mutation.trial);
        else if (mutation.kind === "putAttempt") attempts.set(mutation.attempt.id, mutation.attempt);
        else if (mutation.kind === "putWorker") workers.set(mutation.worker.id, mutation.worker);
        else if (mutation.kind === "setTokens") lastToken = mutation.last;
        else if (mutation.kind === "setSweeps") lastSweep = mutation.last;
      }
    }
    return {
      sweeps: [...sweeps.values()],
      trials: [...trials.values()],
      attempts: [...attempts.values()].filter((attempt) => attempt.endedAt === null),
      workers: [...workers.values()],
      lastToken,
      lastSweep,
    };
  }
}
