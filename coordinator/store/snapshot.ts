/**
 * Everything a start needs of a store, read in one transaction.
 *
 * Guarantees: what was committed, exactly; nothing is written. A hundred thousand ended trials are the most of it, so rows
 * are turned into records one by one, and what many have in common is one in memory. Not here: reports and events, which
 * stay where they are until somebody asks.
 */
import type { Database, Statement } from "better-sqlite3";
import { ConvsweepError, type SweepId, type Token } from "../../proto/contract.js";
import type { Trial } from "../core/types.js";
import { type AttemptCells, attemptFrom, type SweepRow, sweepFrom, type WorkerRow, workerFrom } from "./rows.js";
import { ATTEMPT_COLUMNS } from "./statements.js";
import type { Snapshot } from "./store.js";
import {
  COMMON_TRIAL_COLUMNS,
  type CommonTrialCells,
  OWN_TRIAL_COLUMNS,
  type OwnTrialCells,
  trialFrom,
} from "./trial-rows.js";

export interface Counters {
  readonly last_token: number;
  readonly last_sweep: number;
  readonly commit_seq: number;
}

/** Throws CORRUPT where there are none. */
export function readCounters(db: Database): Counters {
  const row = db
    .prepare<[], Counters>("SELECT last_token, last_sweep, commit_seq FROM base_counters WHERE id = 1")
    .get();
  if (row === undefined) throw new ConvsweepError("CORRUPT", "the store has lost its counters", { path: db.name });
  return row;
}

export function readSnapshot(db: Database): Snapshot {
  const read = <R>(sql: string): Statement<[], R> => db.prepare(sql) as Statement<[], R>;
  return db.transaction((): Snapshot => {
    const { last_token, last_sweep } = readCounters(db);
    const sweeps = read<SweepRow>(`
      SELECT s.*, p.spec FROM base_sweeps AS s JOIN base_specs AS p ON p.sweep = s.id ORDER BY s.id`);
    const attempts = read<AttemptCells>(`
      SELECT ${ATTEMPT_COLUMNS} FROM base_attempts WHERE ended_at IS NULL ORDER BY token`).raw();
    const workers = read<WorkerRow>("SELECT * FROM base_workers ORDER BY id");
    return {
      sweeps: sweeps.all().map(sweepFrom),
      trials: readTrials(db),
      attempts: attempts.all().map(attemptFrom),
      workers: workers.all().map(workerFrom),
      lastToken: last_token as Token,
      lastSweep: last_sweep as SweepId,
    };
  })();
}

type TrialRow = [...OwnTrialCells, common: string];

/** A cell costs more than what SQLite does for it: those in common come as one, and are taken apart once. */
function readTrials(db: Database): readonly Trial[] {
  const rows = db
    .prepare<[], TrialRow>(`
      SELECT ${OWN_TRIAL_COLUMNS}, json_array(${COMMON_TRIAL_COLUMNS}) FROM base_trials ORDER BY sweep, number`)
    .raw();
  const known = new Map<string, CommonTrialCells>();
  const trials: Trial[] = [];
  // Rows that wait for each other would be moved about by the garbage collector.
  for (const row of rows.iterate()) {
    const text = row.pop() as string;
    const common = known.get(text) ?? (JSON.parse(text) as CommonTrialCells);
    known.set(text, common);
    trials.push(trialFrom(row as unknown as OwnTrialCells, common));
  }
  return trials;
}
