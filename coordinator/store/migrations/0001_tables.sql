-- Everything the coordinator keeps. Tables are called base_*: queries reach them only through the views of 0002.
-- Times are integer milliseconds since 1970. Kinds of a number: 0 finite, 1 nan (value NULL), 2 inf, 3 -inf, 4 minus zero
-- (SQLite stores -0.0 as 0.0 and NaN as NULL, so both need a mark of their own).

CREATE TABLE base_meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE base_counters (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  last_token INTEGER NOT NULL CHECK (last_token >= 0),
  last_sweep INTEGER NOT NULL CHECK (last_sweep >= 0),
  commit_seq INTEGER NOT NULL CHECK (commit_seq >= 0),
  openings INTEGER NOT NULL CHECK (openings >= 0)
) STRICT;
INSERT INTO base_counters VALUES (1, 0, 0, 0, 0);

CREATE TABLE base_sweeps (
  id INTEGER PRIMARY KEY CHECK (id >= 1),
  state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'completed', 'cancelled', 'failed')),
  cause TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  next_trial INTEGER NOT NULL CHECK (next_trial >= 0),
  sampler_state TEXT NOT NULL,
  scheduler_state TEXT NOT NULL
) STRICT;

-- Apart from base_sweeps, because a sweep's row changes with every trial drawn and a spec can be a megabyte.
CREATE TABLE base_specs (
  sweep INTEGER PRIMARY KEY REFERENCES base_sweeps (id) DEFERRABLE INITIALLY DEFERRED,
  spec TEXT NOT NULL CHECK (json_valid(spec))
) STRICT;

CREATE TABLE base_trials (
  id TEXT NOT NULL UNIQUE CHECK (id = sweep || '/' || number),
  sweep INTEGER NOT NULL REFERENCES base_sweeps (id) DEFERRABLE INITIALLY DEFERRED,
  number INTEGER NOT NULL CHECK (number >= 0),
  state TEXT NOT NULL CHECK (
    state IN ('queued', 'leased', 'running', 'paused', 'completed', 'stopped', 'failed', 'lost', 'cancelled')
  ),
  cause TEXT NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('sampled', 'enqueued', 'rerun')),
  rerun_of TEXT CHECK ((origin = 'rerun') = (rerun_of IS NOT NULL)),
  rerun_verify INTEGER CHECK (rerun_verify IN (0, 1) AND (origin = 'rerun') = (rerun_verify IS NOT NULL)),
  parameters TEXT NOT NULL,
  seed TEXT NOT NULL,
  cohort_key TEXT NOT NULL,
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  losses INTEGER NOT NULL CHECK (losses >= 0),
  not_before INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  best_kind INTEGER CHECK (best_kind IN (0, 4)),
  best_value REAL CHECK ((best_kind IS NULL) = (best_value IS NULL)),
  best_epoch INTEGER CHECK ((best_kind IS NULL) = (best_epoch IS NULL)),
  last_kind INTEGER CHECK (last_kind BETWEEN 0 AND 4),
  last_value REAL CHECK ((last_value IS NULL) = (last_kind IS NULL OR last_kind = 1)),
  metrics TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  weights_hash TEXT,
  fingerprint TEXT,
  worker TEXT,
  device TEXT,
  verified INTEGER CHECK (verified IN (0, 1)),
  verified_detail TEXT CHECK ((verified IS NULL) = (verified_detail IS NULL)),
  UNIQUE (sweep, number)
) STRICT;

-- The token is the key: a store never holds one fencing token twice.
CREATE TABLE base_attempts (
  token INTEGER PRIMARY KEY CHECK (token >= 0),
  id TEXT NOT NULL UNIQUE CHECK (id = trial || '#' || n),
  trial TEXT NOT NULL REFERENCES base_trials (id) DEFERRABLE INITIALLY DEFERRED,
  n INTEGER NOT NULL CHECK (n >= 1),
  worker TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  device TEXT NOT NULL,
  state TEXT NOT NULL CHECK (
    state IN ('offered', 'running', 'finished', 'stopped', 'paused', 'failed', 'lost', 'revoked')
  ),
  lease_until INTEGER NOT NULL,
  last_epoch INTEGER NOT NULL,
  offered_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  cause TEXT NOT NULL,
  fingerprint TEXT,
  stopping TEXT CHECK (stopping IN ('stopped', 'cancelled', 'paused')),
  UNIQUE (trial, n)
) STRICT;

CREATE TABLE base_metrics (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (name <> '')
) STRICT;

-- The key makes a repeated report change nothing.
CREATE TABLE base_reports (
  attempt INTEGER NOT NULL REFERENCES base_attempts (token) DEFERRABLE INITIALLY DEFERRED,
  epoch INTEGER NOT NULL,
  metric INTEGER NOT NULL REFERENCES base_metrics (id) DEFERRABLE INITIALLY DEFERRED,
  step INTEGER NOT NULL,
  at INTEGER NOT NULL,
  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4),
  value REAL CHECK ((kind = 1) = (value IS NULL)),
  PRIMARY KEY (attempt, epoch, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE base_workers (
  id TEXT PRIMARY KEY,
  incarnation TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  version TEXT NOT NULL,
  devices TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('connected', 'draining', 'away', 'gone')),
  connected_at INTEGER NOT NULL,
  last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE base_events (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  sweep INTEGER,
  trial TEXT,
  attempt TEXT,
  worker TEXT,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX base_events_by_sweep ON base_events (sweep, seq) WHERE sweep IS NOT NULL;
CREATE INDEX base_events_by_trial ON base_events (trial, seq) WHERE trial IS NOT NULL;
