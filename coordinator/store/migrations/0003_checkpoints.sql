-- Where an attempt can go on from: JSON, newest first, at most two; none for a trial that is final.
ALTER TABLE base_trials ADD COLUMN checkpoints TEXT NOT NULL DEFAULT '[]';
-- Epoch of the checkpoint that the attempt began with; 0 for the start.
ALTER TABLE base_attempts ADD COLUMN from_epoch INTEGER NOT NULL DEFAULT 0 CHECK (from_epoch >= 0);

DROP VIEW attempts;
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
