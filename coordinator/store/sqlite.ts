/**
 * The store in one SQLite file: what `convsweep up` keeps everything in.
 *
 * Guarantees those of store.ts; a batch is one transaction. SQLite writes it to its log, and the log is flushed here
 * (log-flush.ts), which can wait beside the main thread, and copied into the database in another (log-copy.ts); SQLite's
 * own flush and copying could not. One process at a time (lock.ts).
 * After a commit that failed with SYNC_FAILED the process must end: no later success proves that the data is safe.
 * Not here: queries by people (query.ts), checks of a batch (validate.ts).
 */
import { dirname } from "node:path";
import type { Database } from "better-sqlite3";
import { type AttemptId, ConvsweepError, type SweepId, type TrialId } from "../../proto/contract.js";
import type { Mutation } from "../core/events.js";
import type { MetricValue, Report, SweepSpec } from "../core/types.js";
import { backupTo } from "./backup.js";
import type { Ballast } from "./ballast.js";
import { lastPuts } from "./batch.js";
import { commitError, syncError } from "./commit-error.js";
import { Digests, reportDigest } from "./digests.js";
import { faultPoint } from "./fault-point.js";
import type { StoreLock } from "./lock.js";
import { LogCopy } from "./log-copy.js";
import { LogFlush } from "./log-flush.js";
import { kindOf, metricFrom, realOf, toJson } from "./number.js";
import { type Opened, Opening, type OpenOptions } from "./opening.js";
import { noteClosed, type StoreHistory } from "./reconcile.js";
import {
  artifactCells,
  artifactFrom,
  attemptCells,
  attemptFrom,
  type Cell,
  eventCells,
  eventFrom,
  sweepCells,
  workerCells,
} from "./rows.js";
import { readCounters, readSnapshot } from "./snapshot.js";
import { prepareStatements, type ReportRow, type Statements } from "./statements.js";
import type { KeptArtifact, Snapshot, Store, StoreInfo, StoreNote, StorePosition } from "./store.js";
import { progressCells, trialCells } from "./trial-rows.js";
import { checkReferences, checkShapes, type Known } from "./validate.js";
import { Written } from "./written.js";

/** Opens the store in a folder. Throws ConvsweepError, never a raw one. */
export function openSqliteStore(dir: string, options: OpenOptions): Store {
  const opening = new Opening(dir, options);
  try {
    opening.begin();
    opening.check();
    return new SqliteStore(opening.finish(), null);
  } catch (thrown) {
    throw opening.undo(thrown);
  }
}

/** The same for one with a long history: it is checked in a thread while it is read here for the first `load`. */
export async function openSqliteStoreBeside(dir: string, options: OpenOptions): Promise<Store> {
  const opening = new Opening(dir, options);
  try {
    opening.begin();
    const checked = opening.checkBeside();
    const ahead = opening.read(readSnapshot);
    await checked;
    return new SqliteStore(opening.finish(), ahead);
  } catch (thrown) {
    throw opening.undo(thrown);
  }
}

/** Metrics of a report that one statement adds. */
const REPORT_ROWS = 8;
const REPORT_CELLS = 7;
const CELLS_AT_ONCE = REPORT_ROWS * REPORT_CELLS;

class SqliteStore implements Store {
  readonly #db: Database;
  readonly #path: string;
  readonly #lock: StoreLock;
  readonly #history: StoreHistory;
  readonly #ballast: Ballast | null;
  readonly #flush: LogFlush;
  readonly #copy: LogCopy;
  readonly #uuid: string;
  readonly #version: number;
  readonly #sql: Statements;
  readonly #run: (batch: readonly Mutation[]) => void;
  readonly #known: Known;
  readonly #digests: Digests;
  readonly #written = new Written();
  /** The spec last written for each sweep, by identity: an unchanged spec is not written again. */
  #specs = new Map<SweepId, SweepSpec>();
  #metricIds: Map<string, number>;
  #commitSeq: number;
  /** Read before it was opened for writing, for the first `load` alone. */
  #ahead: Snapshot | null;

  /** `ahead`: what `load` would answer now. */
  constructor({ db, path, lock, history, ballast }: Opened, ahead: Snapshot | null) {
    this.#ahead = ahead;
    this.#history = history;
    this.#ballast = ballast;
    this.#db = db;
    this.#path = path;
    this.#lock = lock;
    this.#sql = prepareStatements(db);
    this.#uuid = db.prepare<[], string>("SELECT value FROM base_meta WHERE name = 'uuid'").pluck().get() ?? "";
    this.#version = Number(db.pragma("user_version", { simple: true }));
    this.#metricIds = this.#readMetricIds();
    this.#digests = new Digests(db);
    const write = db.transaction((batch: readonly Mutation[]) => this.#write(batch));
    this.#run = (batch) => write.immediate(batch);
    this.#commitSeq = readCounters(db).commit_seq;
    db.pragma("synchronous = NORMAL");
    this.#flush = new LogFlush(path);
    this.#copy = new LogCopy(db, path);
    const sql = this.#sql;
    const written = this.#written;
    this.#known = {
      sweep: (id) => this.#specs.has(id) || sql.hasSweep.get(id) !== undefined,
      trial: (id) => written.hasTrial(id) || sql.hasTrial.get(id) !== undefined,
      tokenOf: (id) => written.tokenOf(id) ?? sql.tokenOf.get(id) ?? null,
      holderOf: (token) => sql.holderOf.get(token) ?? null,
    };
  }

  info(): StoreInfo {
    return { uuid: this.#uuid, schemaVersion: this.#version, path: this.#path, commitSeq: this.#commitSeq };
  }

  openingNotes(): readonly StoreNote[] {
    return this.#history.notes;
  }

  onGrowing(tell: (why: string) => void): void {
    this.#copy.onFailure((why) => tell(`its log could not be copied into the database: ${why}`));
  }

  position(): StorePosition {
    const { generation, openings } = this.#history;
    return { uuid: this.#uuid, generation, commit: this.#commitSeq, openings };
  }

  load(): Snapshot {
    const ahead = this.#ahead;
    this.#ahead = null;
    return ahead ?? readSnapshot(this.#db);
  }

  commit(batch: readonly Mutation[]): void {
    this.#writeBatch(batch);
    try {
      this.#flush.now();
    } catch (thrown) {
      throw syncError(thrown as Error);
    }
    this.#durable();
    this.#copy.written();
  }

  commitLater(batch: readonly Mutation[], durable: (failed: ConvsweepError | null) => void): () => void {
    this.#writeBatch(batch);
    const hurry = this.#flush.later((failed) => {
      if (failed === null) this.#durable();
      durable(failed === null ? null : syncError(failed));
    });
    this.#copy.written();
    return hurry;
  }

  #durable(): void {
    faultPoint("afterCommit");
    this.#commitSeq += 1;
    this.#history.mark.note(this.#commitSeq);
  }

  /** One transaction, in the log but not yet flushed. */
  #writeBatch(batch: readonly Mutation[]): void {
    checkShapes(batch, this.#written);
    this.#ahead = null;
    faultPoint("beforeBegin");
    try {
      this.#run(batch);
    } catch (thrown) {
      // They remember what the transaction that was rolled back had written.
      this.#specs = new Map();
      this.#digests.forget();
      this.#written.forget();
      if (this.#db.open) this.#metricIds = this.#readMetricIds();
      throw commitError(thrown, dirname(this.#path));
    }
  }

  makeRoom(): void {
    this.#ballast?.release();
  }

  tryWriting(): void {
    this.#ballast?.demandRoom();
    this.commit([]);
    void this.#ballast?.keep();
  }

  reports(trial: TrialId): readonly Report[] {
    return gather(this.#sql.trialReports.all(trial));
  }

  attemptReports(attempt: AttemptId): readonly Report[] {
    return gather(this.#sql.attemptReports.all(attempt));
  }

  attempts(trial: TrialId) {
    return this.#sql.trialAttempts.all(trial).map(attemptFrom);
  }

  artifacts(trial: TrialId): readonly KeptArtifact[] {
    return this.#sql.trialArtifacts.all(trial).map(artifactFrom);
  }

  artifact(id: number): KeptArtifact | null {
    const row = this.#sql.artifact.get(id);
    return row === undefined ? null : artifactFrom(row);
  }

  events(filter: { readonly sweep: SweepId | null; readonly trial: TrialId | null; readonly limit: number }) {
    const { sweep, trial, limit } = filter;
    const rows =
      trial !== null
        ? this.#sql.trialEvents.all(trial, sweep, sweep, limit)
        : sweep !== null
          ? this.#sql.sweepEvents.all(sweep, limit)
          : this.#sql.allEvents.all(limit);
    return rows.reverse().map(eventFrom);
  }

  eventsOf(kinds: readonly string[], limit: number, among: number) {
    return this.#sql.kindEvents.all(among, JSON.stringify(kinds), limit).reverse().map(eventFrom);
  }

  backup(path: string): Promise<void> {
    return backupTo(this.#db, path);
  }

  close(): void {
    if (!this.#db.open) return;
    this.#copy.close();
    try {
      noteClosed(this.#db, this.#history);
    } catch {
      // A disk that takes no more: the next process finds it as after a crash, which only costs numbers.
    }
    this.#flush.close();
    this.#db.close();
    this.#history.mark.close();
    this.#ballast?.close();
    this.#lock.release();
  }

  #readMetricIds(): Map<string, number> {
    return new Map(this.#sql.metrics.all().map(({ id, name }) => [name, id]));
  }

  /** Runs inside the transaction: whatever it throws undoes everything. */
  #write(batch: readonly Mutation[]): void {
    const tokens = checkReferences(batch, this.#known);
    let written = 0;
    for (const mutation of lastPuts(batch)) {
      if (mutation.kind === "addReport") this.#addReport(mutation.report, tokens.get(mutation.report.attempt));
      else if (mutation.kind === "putArtifact") {
        this.#sql.putArtifact.run(...artifactCells(mutation.artifact, tokens.get(mutation.artifact.attempt) ?? null));
      } else this.#put(mutation);
      if (written++ === 0) faultPoint("afterInsert");
    }
    this.#digests.write();
    this.#sql.countCommit.run();
    faultPoint("beforeCommit");
  }

  #put(mutation: Exclude<Mutation, { readonly kind: "addReport" | "putArtifact" }>): void {
    const sql = this.#sql;
    switch (mutation.kind) {
      case "putSweep": {
        const { sweep } = mutation;
        sql.putSweep.run(...sweepCells(sweep));
        if (this.#specs.get(sweep.id) === sweep.spec) return;
        sql.putSpec.run(sweep.id, toJson(sweep.spec as unknown as Parameters<typeof toJson>[0]));
        this.#specs.set(sweep.id, sweep.spec);
        return;
      }
      case "putTrial": {
        const { trial } = mutation;
        if (this.#written.onlyProgressed(trial)) sql.moveTrial.run(...progressCells(trial), trial.id);
        else {
          const cells = trialCells(trial);
          sql.putTrial.run(...cells);
          if (trial.endedAt !== null) this.#digests.trialEnded(trial.id, cells);
        }
        this.#written.noteTrial(trial);
        return;
      }
      case "putAttempt": {
        const { attempt } = mutation;
        const { leaseUntil, lastEpoch, token } = attempt;
        if (this.#written.onlyRenewed(attempt)) sql.renewAttempt.run(leaseUntil, lastEpoch, token);
        else sql.putAttempt.run(...attemptCells(attempt));
        this.#written.noteAttempt(attempt);
        if (attempt.endedAt !== null) this.#digests.attemptEnded(token);
        return;
      }
      case "putWorker":
        sql.putWorker.run(...workerCells(mutation.worker));
        return;
      case "addEvent":
        sql.addEvent.run(...eventCells(mutation.event));
        return;
      case "setTokens":
        sql.setTokens.run(mutation.last);
        return;
      case "setSweeps":
        sql.setSweeps.run(mutation.last);
        return;
    }
  }

  #addReport(report: Report, token: number | undefined): void {
    if (token === undefined) throw new ConvsweepError("INTERNAL", `attempt ${report.attempt} has no token`);
    const digests = this.#digests;
    digests.begin(token);
    const { epoch, step, at, metrics } = report;
    let cells: Cell[] = [];
    let metricsGiven = 0;
    let added = 0;
    for (const name in metrics) {
      const given = metrics[name] as MetricValue;
      const [metric, kind, value] = [this.#metricId(name), kindOf(given), realOf(given)];
      metricsGiven += 1;
      cells.push(token, epoch, metric, step, at, kind, value);
      digests.add(token, reportDigest(epoch, metric, step, at, kind, value));
      if (cells.length < CELLS_AT_ONCE) continue;
      added += this.#sql.addReports(REPORT_ROWS).run(...cells).changes;
      cells = [];
    }
    if (cells.length > 0) added += this.#sql.addReports(cells.length / REPORT_CELLS).run(...cells).changes;
    if (added < metricsGiven) digests.recount(token);
  }

  #metricId(name: string): number {
    const known = this.#metricIds.get(name);
    if (known !== undefined) return known;
    const id = Number(this.#sql.addMetric.run(name).lastInsertRowid);
    this.#metricIds.set(name, id);
    return id;
  }
}

/** Rows come ordered by attempt and epoch. Step and time of a report are the newest of its metrics'. */
function gather(rows: readonly ReportRow[]): readonly Report[] {
  const reports: Report[] = [];
  let metrics: Record<string, MetricValue> = {};
  for (const row of rows) {
    const last = reports.at(-1);
    const value = metricFrom(row.kind, row.value);
    if (last !== undefined && last.attempt === row.attempt && last.epoch === row.epoch) {
      metrics[row.metric] = value;
      if (row.step > last.step || row.at > last.at) {
        const step = Math.max(row.step, last.step);
        reports[reports.length - 1] = { ...last, step, at: Math.max(row.at, last.at) as Report["at"] };
      }
    } else {
      metrics = { [row.metric]: value };
      reports.push({
        trial: row.trial as TrialId,
        attempt: row.attempt as AttemptId,
        epoch: row.epoch,
        step: row.step,
        metrics,
        at: row.at as Report["at"],
      });
    }
  }
  return reports;
}
