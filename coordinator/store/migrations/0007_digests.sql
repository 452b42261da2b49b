-- What SQLite cannot see: a bit of a value that has changed on the disk. Of an attempt that has ended its reports, of a
-- trial that has ended its row (digests.ts says how). Attempts and trials that ended before have none.
CREATE TABLE base_report_digests (
  attempt INTEGER PRIMARY KEY REFERENCES base_attempts (token) DEFERRABLE INITIALLY DEFERRED,
  count INTEGER NOT NULL CHECK (count >= 0),
  digest INTEGER NOT NULL
) STRICT;

CREATE TABLE base_trial_digests (
  trial TEXT PRIMARY KEY REFERENCES base_trials (id) DEFERRABLE INITIALLY DEFERRED,
  digest INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
