-- What people query (docs/views.md). Columns are only ever added. Times are ISO 8601 text in UTC; NaN is the text 'nan',
-- the infinities are REAL infinities.

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
  strftime('%Y-%m-%dT%H:%M:%fZ', a.lease_until / 1000.0, 'unixepoch') AS lease_until
FROM base_attempts AS a
JOIN base_trials AS t ON t.id = a.trial;

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
