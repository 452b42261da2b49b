CREATE INDEX base_events_by_sweep ON base_events (sweep, seq) WHERE sweep IS NOT NULL;

CREATE INDEX base_events_by_trial ON base_events (trial, seq) WHERE trial IS NOT NULL;

CREATE TABLE base_artifacts (
  id INTEGER PRIMARY KEY,
  attempt INTEGER NOT NULL REFERENCES base_attempts (token) DEFERRABLE INITIALLY DEFERRED,
  name TEXT NOT NULL CHECK (name <> ''),
  epoch INTEGER NOT NULL CHECK (epoch >= 0),
  media_type TEXT NOT NULL,
  bytes INTEGER NOT NULL CHECK (bytes >= 1),
  digest TEXT NOT NULL CHECK (length(digest) = 64),
  at INTEGER NOT NULL,
  UNIQUE (attempt, name, epoch)
) STRICT;

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
  stopping TEXT CHECK (stopping IN ('stopped', 'cancelled', 'paused')), from_epoch INTEGER NOT NULL DEFAULT 0 CHECK (from_epoch >= 0),
  UNIQUE (trial, n)
) STRICT;

CREATE TABLE base_counters (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  last_token INTEGER NOT NULL CHECK (last_token >= 0),
  last_sweep INTEGER NOT NULL CHECK (last_sweep >= 0),
  commit_seq INTEGER NOT NULL CHECK (commit_seq >= 0),
  openings INTEGER NOT NULL CHECK (openings >= 0)
) STRICT;

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

CREATE TABLE base_meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE base_metrics (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (name <> '')
) STRICT;

CREATE TABLE base_report_digests (
  attempt INTEGER PRIMARY KEY REFERENCES base_attempts (token) DEFERRABLE INITIALLY DEFERRED,
  count INTEGER NOT NULL CHECK (count >= 0),
  digest INTEGER NOT NULL
) STRICT;

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

CREATE TABLE base_specs (
  sweep INTEGER PRIMARY KEY REFERENCES base_sweeps (id) DEFERRABLE INITIALLY DEFERRED,
  spec TEXT NOT NULL CHECK (json_valid(spec))
) STRICT;

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

CREATE TABLE base_trial_digests (
  trial TEXT PRIMARY KEY REFERENCES base_trials (id) DEFERRABLE INITIALLY DEFERRED,
  digest INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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
  verified_detail TEXT CHECK ((verified IS NULL) = (verified_detail IS NULL)), checkpoints TEXT NOT NULL DEFAULT '[]', killed TEXT NOT NULL DEFAULT '[]', lineage TEXT NOT NULL DEFAULT '[]',
  UNIQUE (sweep, number)
) STRICT;

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

CREATE VIEW artifacts AS
SELECT
  f.id AS id,
  t.sweep AS sweep,
  a.trial AS trial,
  a.id AS attempt,
  f.name AS name,
  f.media_type AS media_type,
  f.epoch AS epoch,
  f.bytes AS bytes,
  f.digest AS digest,
  strftime('%Y-%m-%dT%H:%M:%fZ', f.at / 1000.0, 'unixepoch') AS at
FROM base_artifacts AS f
JOIN base_attempts AS a ON a.token = f.attempt
JOIN base_trials AS t ON t.id = a.trial;

CREATE VIEW attempts AS
SELECT
  a.id AS id,
  t.sweep AS sweep,
  a.trial AS trial,
  a.n AS n,
  a.token AS token,
  a.state AS state,
  a.cause AS cause,
  a.worker AS worker,
  a.incarnation AS incarnation,
  a.device AS device,
  a.fingerprint AS fingerprint,
  a.last_epoch AS epochs,
  (a.ended_at - a.started_at) / 1000.0 AS wall_seconds,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.offered_at / 1000.0, 'unixepoch') AS offered_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.ended_at / 1000.0, 'unixepoch') AS ended_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.lease_until / 1000.0, 'unixepoch') AS lease_until,
  a.from_epoch AS from_epoch
FROM base_attempts AS a
JOIN base_trials AS t ON t.id = a.trial;

CREATE VIEW events AS
SELECT
  e.seq AS seq,
  strftime('%Y-%m-%dT%H:%M:%fZ', e.at / 1000.0, 'unixepoch') AS at,
  e.kind AS kind,
  e.sweep AS sweep,
  e.trial AS trial,
  e.attempt AS attempt,
  e.worker AS worker,
  e.detail AS detail
FROM base_events AS e;

CREATE VIEW reports AS
SELECT
  t.sweep AS sweep,
  a.trial AS trial,
  a.id AS attempt,
  r.epoch AS epoch,
  r.step AS step,
  m.name AS metric,
  CASE r.kind WHEN 1 THEN 'nan' ELSE r.value END AS value,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.at / 1000.0, 'unixepoch') AS at
FROM base_reports AS r
JOIN base_attempts AS a ON a.token = r.attempt
JOIN base_trials AS t ON t.id = a.trial
JOIN base_metrics AS m ON m.id = r.metric;

CREATE VIEW sweeps AS
SELECT
  s.id AS id,
  p.spec ->> '$.name' AS name,
  p.spec ->> '$.description' AS description,
  s.state AS state,
  s.cause AS cause,
  p.spec ->> '$.sampler.name' AS method,
  coalesce(p.spec ->> '$.recipe.network.name', 'custom') AS network,
  p.spec ->> '$.recipe.dataset.name' AS dataset,
  p.spec ->> '$.objective.name' AS metric,
  p.spec ->> '$.objective.goal' AS goal,
  p.spec ->> '$.objective.target' AS target,
  p.spec ->> '$.seed' AS seed,
  p.spec ->> '$.runCap' AS run_cap,
  p.spec ->> '$.maxParallel' AS max_parallel,
  p.spec ->> '$.epochs' AS epochs,
  s.next_trial AS trials,
  (SELECT count(*) FROM base_trials AS t WHERE t.sweep = s.id AND t.state = 'completed') AS completed,
  (SELECT count(*) FROM base_trials AS t WHERE t.sweep = s.id AND t.state = 'failed') AS failed,
  CASE p.spec ->> '$.objective.goal'
    WHEN 'minimize' THEN (SELECT min(t.best_value) FROM base_trials AS t WHERE t.sweep = s.id AND t.origin <> 'rerun')
    ELSE (SELECT max(t.best_value) FROM base_trials AS t WHERE t.sweep = s.id AND t.origin <> 'rerun')
  END AS best_value,
  p.spec -> '$.space' AS space,
  p.spec -> '$.recipe' AS recipe,
  p.spec ->> '$.recipeDigest' AS recipe_digest,
  p.spec ->> '$.source' AS source,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.created_at / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.ended_at / 1000.0, 'unixepoch') AS ended_at,
  (s.ended_at - s.created_at) / 1000.0 AS wall_seconds
FROM base_sweeps AS s
JOIN base_specs AS p ON p.sweep = s.id;

CREATE VIEW trials AS
SELECT
  t.id AS id,
  t.sweep AS sweep,
  t.number AS number,
  t.state AS state,
  t.cause AS cause,
  t.origin AS origin,
  t.rerun_of AS rerun_of,
  t.parameters AS params,
  t.best_value AS best_value,
  t.best_epoch AS best_epoch,
  CASE t.last_kind WHEN 1 THEN 'nan' ELSE t.last_value END AS last_value,
  t.metrics AS metrics,
  t.epoch AS epochs,
  t.attempts AS attempts,
  (t.ended_at - t.started_at) / 1000.0 AS wall_seconds,
  t.device AS device,
  t.worker AS worker,
  t.seed AS seed,
  t.weights_hash AS weights_hash,
  t.fingerprint AS fingerprint,
  t.verified AS verified,
  t.verified_detail AS verified_detail,
  strftime('%Y-%m-%dT%H:%M:%fZ', t.created_at / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', t.started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', t.ended_at / 1000.0, 'unixepoch') AS ended_at
FROM base_trials AS t;

CREATE VIEW workers AS
SELECT
  w.id AS id,
  w.incarnation AS incarnation,
  w.host AS host,
  w.pid AS pid,
  w.version AS version,
  w.state AS state,
  w.devices AS devices,
  strftime('%Y-%m-%dT%H:%M:%fZ', w.connected_at / 1000.0, 'unixepoch') AS connected_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', w.last_seen / 1000.0, 'unixepoch') AS last_seen
FROM base_workers AS w;
