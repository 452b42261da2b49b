-- Files that attempts made beside their metrics. The bytes lie beside the database, in artifacts/, by their digest.
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
