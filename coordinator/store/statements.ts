/**
 * Every statement the SQLite store runs while it is open, prepared once. Values are bound by position, in the order of
 * rows.ts. Not here: transactions, when what runs, reading all there is (snapshot.ts).
 */
import type { Database, Statement } from "better-sqlite3";
import type { ArtifactRow, AttemptCells, Cell, EventRow } from "./rows.js";

export interface ReportRow {
  readonly trial: string;
  readonly attempt: string;
  readonly epoch: number;
  readonly step: number;
  readonly metric: string;
  readonly kind: number;
  readonly value: number | null;
  readonly at: number;
}

/** In the order of `attemptCells`. */
export const ATTEMPT_COLUMNS = `
  token, id, trial, n, worker, incarnation, device, state, lease_until, last_epoch, offered_at, started_at, ended_at,
  cause, fingerprint, stopping, from_epoch`;

/** In the order of `trialCells`. */
export const TRIAL_COLUMNS = `
  id, sweep, number, state, cause, origin, rerun_of, rerun_verify, parameters, seed, cohort_key, attempts, losses,
  not_before, epoch, best_kind, best_value, best_epoch, last_kind, last_value, metrics, created_at, started_at,
  ended_at, weights_hash, fingerprint, worker, device, verified, verified_detail, checkpoints, killed, lineage`;

const REPORTS = `
  SELECT a.trial AS trial, a.id AS attempt, r.epoch, r.step, m.name AS metric, r.kind, r.value, r.at
  FROM base_attempts AS a
  JOIN base_reports AS r ON r.attempt = a.token
  JOIN base_metrics AS m ON m.id = r.metric`;

const ARTIFACTS = `
  SELECT f.id, a.trial, a.id AS attempt, f.name, f.media_type, f.epoch, f.digest, f.bytes, f.at
  FROM base_artifacts AS f JOIN base_attempts AS a ON a.token = f.attempt`;

const EVENTS = "SELECT at, kind, sweep, trial, attempt, worker, detail FROM base_events";

export interface Statements {
  readonly putSweep: Statement<Cell[]>;
  readonly putSpec: Statement<Cell[]>;
  readonly putTrial: Statement<Cell[]>;
  /** Where a trial that is there stands: epoch, best, last, metrics; its id last. */
  readonly moveTrial: Statement<Cell[]>;
  readonly putAttempt: Statement<Cell[]>;
  /** Lease and last epoch of an attempt that is there; its token last. */
  readonly renewAttempt: Statement<Cell[]>;
  readonly addMetric: Statement<Cell[]>;
  /** Adds so many metrics of reports at once: a call into SQLite costs more than a row. */
  addReports(rows: number): Statement<Cell[]>;
  readonly putArtifact: Statement<Cell[]>;
  readonly putWorker: Statement<Cell[]>;
  readonly addEvent: Statement<Cell[]>;
  readonly setTokens: Statement<Cell[]>;
  readonly setSweeps: Statement<Cell[]>;
  readonly countCommit: Statement<Cell[]>;
  readonly metrics: Statement<[], { readonly id: number; readonly name: string }>;
  readonly hasTrial: Statement<[string], number>;
  readonly hasSweep: Statement<[number], number>;
  readonly tokenOf: Statement<[string], number>;
  readonly holderOf: Statement<[number], string>;
  readonly trialReports: Statement<[string], ReportRow>;
  readonly attemptReports: Statement<[string], ReportRow>;
  readonly trialAttempts: Statement<[string], AttemptCells>;
  /** By name and epoch, of each the newest attempt's. */
  readonly trialArtifacts: Statement<[string], ArtifactRow>;
  readonly artifact: Statement<[number], ArtifactRow>;
  readonly allEvents: Statement<[number], EventRow>;
  readonly kindEvents: Statement<[number, string, number], EventRow>;
  readonly sweepEvents: Statement<[number, number], EventRow>;
  readonly trialEvents: Statement<[string, number | null, number | null, number], EventRow>;
}

export function prepareStatements(db: Database): Statements {
  const write = (sql: string): Statement<Cell[]> => db.prepare<Cell[]>(sql);
  const read = <B extends unknown[], R>(sql: string): Statement<B, R> => db.prepare(sql) as Statement<B, R>;
  const reports = new Map<number, Statement<Cell[]>>();
  return {
    putSweep: write(`
      INSERT INTO base_sweeps (id, state, cause, created_at, ended_at, next_trial, sampler_state, scheduler_state)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, cause = excluded.cause, created_at = excluded.created_at,
        ended_at = excluded.ended_at, next_trial = excluded.next_trial,
        sampler_state = excluded.sampler_state, scheduler_state = excluded.scheduler_state`),
    putSpec: write(`
      INSERT INTO base_specs (sweep, spec) VALUES (?, ?) ON CONFLICT (sweep) DO UPDATE SET spec = excluded.spec`),
    putTrial: write(`
      INSERT INTO base_trials (${TRIAL_COLUMNS}
      ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, cause = excluded.cause, origin = excluded.origin, rerun_of = excluded.rerun_of,
        rerun_verify = excluded.rerun_verify, parameters = excluded.parameters, seed = excluded.seed,
        cohort_key = excluded.cohort_key, attempts = excluded.attempts, losses = excluded.losses,
        not_before = excluded.not_before, epoch = excluded.epoch, best_kind = excluded.best_kind,
        best_value = excluded.best_value, best_epoch = excluded.best_epoch, last_kind = excluded.last_kind,
        last_value = excluded.last_value, metrics = excluded.metrics, created_at = excluded.created_at,
        started_at = excluded.started_at, ended_at = excluded.ended_at, weights_hash = excluded.weights_hash,
        fingerprint = excluded.fingerprint, worker = excluded.worker, device = excluded.device,
        verified = excluded.verified, verified_detail = excluded.verified_detail,
        checkpoints = excluded.checkpoints, killed = excluded.killed, lineage = excluded.lineage`),
    moveTrial: write(`
      UPDATE base_trials SET
        epoch = ?, best_kind = ?, best_value = ?, best_epoch = ?, last_kind = ?, last_value = ?, metrics = ?
      WHERE id = ?`),
    renewAttempt: write("UPDATE base_attempts SET lease_until = ?, last_epoch = ? WHERE token = ?"),
    putAttempt: write(`
      INSERT INTO base_attempts (${ATTEMPT_COLUMNS})
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (token) DO UPDATE SET
        worker = excluded.worker, incarnation = excluded.incarnation, device = excluded.device, state = excluded.state,
        lease_until = excluded.lease_until, last_epoch = excluded.last_epoch, offered_at = excluded.offered_at,
        started_at = excluded.started_at, ended_at = excluded.ended_at, cause = excluded.cause,
        fingerprint = excluded.fingerprint, stopping = excluded.stopping, from_epoch = excluded.from_epoch`),
    addMetric: write("INSERT INTO base_metrics (name) VALUES (?) ON CONFLICT (name) DO NOTHING"),
    addReports(rows) {
      const known = reports.get(rows);
      if (known) return known;
      const values = Array.from({ length: rows }, () => "(?, ?, ?, ?, ?, ?, ?)").join(", ");
      const statement = write(`
        INSERT INTO base_reports (attempt, epoch, metric, step, at, kind, value) VALUES ${values}
        ON CONFLICT (attempt, epoch, metric) DO NOTHING`);
      reports.set(rows, statement);
      return statement;
    },
    putArtifact: write(`
      INSERT INTO base_artifacts (attempt, name, epoch, media_type, bytes, digest, at) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (attempt, name, epoch) DO UPDATE SET
        media_type = excluded.media_type, bytes = excluded.bytes, digest = excluded.digest, at = excluded.at`),
    putWorker: write(`
      INSERT INTO base_workers (id, incarnation, host, pid, version, devices, state, connected_at, last_seen)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET
        incarnation = excluded.incarnation, host = excluded.host, pid = excluded.pid, version = excluded.version,
        devices = excluded.devices, state = excluded.state, connected_at = excluded.connected_at,
        last_seen = excluded.last_seen`),
    addEvent: write(
      "INSERT INTO base_events (at, kind, sweep, trial, attempt, worker, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
    ),
    setTokens: write("UPDATE base_counters SET last_token = ? WHERE id = 1"),
    setSweeps: write("UPDATE base_counters SET last_sweep = ? WHERE id = 1"),
    countCommit: write("UPDATE base_counters SET commit_seq = commit_seq + 1 WHERE id = 1"),

    metrics: read<[], { readonly id: number; readonly name: string }>("SELECT id, name FROM base_metrics"),
    hasTrial: read<[string], number>("SELECT 1 FROM base_trials WHERE id = ?").pluck(),
    hasSweep: read<[number], number>("SELECT 1 FROM base_sweeps WHERE id = ?").pluck(),
    tokenOf: read<[string], number>("SELECT token FROM base_attempts WHERE id = ?").pluck(),
    holderOf: read<[number], string>("SELECT id FROM base_attempts WHERE token = ?").pluck(),
    trialReports: read<[string], ReportRow>(`${REPORTS} WHERE a.trial = ? ORDER BY a.n, r.epoch, m.name`),
    attemptReports: read<[string], ReportRow>(`${REPORTS} WHERE a.id = ? ORDER BY r.epoch, m.name`),
    trialAttempts: read<[string], AttemptCells>(
      `SELECT ${ATTEMPT_COLUMNS} FROM base_attempts WHERE trial = ? ORDER BY n`,
    ).raw(),
    trialArtifacts: read<[string], ArtifactRow>(`${ARTIFACTS}
      WHERE a.trial = ? AND NOT EXISTS (
        SELECT 1 FROM base_artifacts AS g JOIN base_attempts AS b ON b.token = g.attempt
        WHERE b.trial = a.trial AND g.name = f.name AND g.epoch = f.epoch AND b.n > a.n)
      ORDER BY f.name, f.epoch`),
    artifact: read<[number], ArtifactRow>(`${ARTIFACTS} WHERE f.id = ?`),
    allEvents: read<[number], EventRow>(`${EVENTS} ORDER BY seq DESC LIMIT ?`),
    // The numbers of events have no gaps: from the newest so many back.
    kindEvents: read<[number, string, number], EventRow>(
      `${EVENTS} WHERE seq > (SELECT coalesce(max(seq), 0) FROM base_events) - ?
        AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq DESC LIMIT ?`,
    ),
    sweepEvents: read<[number, number], EventRow>(`${EVENTS} WHERE sweep = ? ORDER BY seq DESC LIMIT ?`),
    trialEvents: read<[string, number | null, number | null, number], EventRow>(
      `${EVENTS} WHERE trial = ? AND (? IS NULL OR sweep = ?) ORDER BY seq DESC LIMIT ?`,
    ),
  };
}
