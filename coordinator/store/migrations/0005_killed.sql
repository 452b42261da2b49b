-- Lives of workers that ended while they held the trial: a JSON list of incarnations.
ALTER TABLE base_trials ADD COLUMN killed TEXT NOT NULL DEFAULT '[]';
