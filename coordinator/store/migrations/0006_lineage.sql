-- Earlier attempts whose reports are the trial's: a JSON list of {n, epoch}, oldest first (core/types.ts, Progress).
ALTER TABLE base_trials ADD COLUMN lineage TEXT NOT NULL DEFAULT '[]';

-- What was not written down then: before an attempt that began at a checkpoint comes the newest one that reported so far.
UPDATE base_trials SET lineage = (
  WITH RECURSIVE forebears (n, epoch) AS (
    SELECT
      (SELECT max(b.n) FROM base_attempts AS b WHERE b.trial = a.trial AND b.n < a.n AND b.last_epoch >= a.from_epoch),
      a.from_epoch
    FROM base_attempts AS a
    WHERE a.trial = base_trials.id AND a.n = base_trials.attempts AND a.from_epoch > 0
    UNION ALL
    SELECT
      (SELECT max(b.n) FROM base_attempts AS b WHERE b.trial = a.trial AND b.n < a.n AND b.last_epoch >= a.from_epoch),
      a.from_epoch
    FROM forebears AS f
    JOIN base_attempts AS a ON a.trial = base_trials.id AND a.n = f.n AND a.from_epoch > 0
  )
  SELECT json_group_array(json_object('n', n, 'epoch', epoch) ORDER BY epoch) FROM forebears WHERE n IS NOT NULL
)
WHERE epoch > 0;

-- A checkpoint that was kept before goes on from the start, as far as anybody knows.
UPDATE base_trials SET checkpoints = (
  SELECT json_group_array(json_set(c.value, '$.progress.lineage', json('[]'))) FROM json_each(base_trials.checkpoints) AS c
)
WHERE checkpoints <> '[]';
