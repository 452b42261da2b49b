/** The order of `convsweep trials` is the page's. */
import Database from "better-sqlite3";
import fc from "fast-check";
import { expect, it } from "vitest";
import { trialsSql } from "../../coordinator/cli/trials-sql.js";
import { compareTrials } from "../../proto/leaderboard.js";

const row = fc.record({
  state: fc.constantFrom("queued", "running", "completed", "stopped", "failed", "lost", "cancelled"),
  best: fc.option(fc.constantFrom(0.1, 0.5, 0.9), { nil: null }),
  bestEpoch: fc.integer({ min: 1, max: 3 }),
});

it.each(["maximize", "minimize"] as const)("puts trials in the order of the leaderboard (%s)", (goal) => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 20 }), (drawn) => {
      const rows = drawn.map((one, number) => ({
        ...one,
        number,
        bestEpoch: one.best === null ? null : one.bestEpoch,
      }));
      const db = new Database(":memory:");
      db.exec(
        "CREATE TABLE trials (id, sweep, number, state, best_value, best_epoch, epochs, wall_seconds, origin, worker, cause, params, metrics)",
      );
      const put = db.prepare(
        "INSERT INTO trials (id, sweep, number, state, best_value, best_epoch) VALUES (?, 1, ?, ?, ?, ?)",
      );
      for (const { number, state, best, bestEpoch } of rows) put.run(`1/${number}`, number, state, best, bestEpoch);
      const question = { sweep: 1, parameters: [], metrics: [], where: null, sort: null, limit: 100 };
      const { sql, parameters } = trialsSql({ ...question, goal });
      const found = db.prepare<unknown[], { id: string }>(sql).all(...parameters);
      db.close();
      const expected = [...rows].sort((a, b) => compareTrials(a, b, goal));
      expect(found.map(({ id }) => id)).toEqual(expected.map(({ number }) => `1/${number}`));
    }),
    { numRuns: 100 },
  );
});
