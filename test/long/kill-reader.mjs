/**
 * What an independent reader finds wrong with the record of sweeps that went through kill cycles: it knows the views and
 * what was asked for, and nothing of how the coordinator writes them. Tried with tampered records in test/fault/kill-reader.test.ts.
 */
import { METRICS, reportedValue } from "./reported-value.mjs";

/**
 * `db`: better-sqlite3's. `asked`: sweeps 1 to `sweeps`, each of `runCap` trials of `epochs`; `acked`: `attempt epoch` of every
 * report that a model worker saw acknowledged. Answers the problems, and trials and attempts counted by state.
 */
export function readRecord(db, { sweeps, runCap, epochs, acked }) {
  const problems = [];
  const rows = (sql) => db.prepare(sql).all();
  if (db.pragma("integrity_check", { simple: true }) !== "ok") problems.push("integrity_check is not ok");
  const trials = rows("SELECT sweep, number, state, cause FROM trials");
  for (let sweep = 1; sweep <= sweeps; sweep += 1) {
    const own = trials.filter((trial) => trial.sweep === sweep);
    if (own.length !== runCap) problems.push(`sweep ${sweep} has ${own.length} trials instead of ${runCap}`);
    const numbers = new Set(own.map(({ number }) => number));
    for (let number = 0; number < runCap; number += 1) {
      if (!numbers.has(number)) problems.push(`sweep ${sweep} lacks trial ${number}`);
    }
    if (numbers.size < own.length) problems.push(`sweep ${sweep} has a trial twice`);
    // Nothing in these sweeps diverges: an engine that cannot train them has tested nothing. A trial that saw three
    // workers die, the last time alone, is quarantined, and nobody can tell it from one that killed them.
    const other = own.filter(({ state, cause }) => state !== "completed" && !cause.startsWith("quarantined: "));
    if (other.length > 0) problems.push(`sweep ${sweep} has trials that are ${[...new Set(other.map(stateOf))]}`);
  }
  const twice = rows("SELECT attempt, epoch, metric FROM reports GROUP BY 1, 2, 3 HAVING count(*) > 1");
  if (twice.length > 0) problems.push(`${twice.length} reports are there twice`);
  // A trial's epochs are those of its completed attempt, and before where that went on from a checkpoint.
  const incomplete = METRICS.map(
    (metric) =>
      rows(
        `SELECT t.id FROM trials t LEFT JOIN reports r ON r.trial = t.id AND r.metric = '${metric}'
         WHERE t.state = 'completed' GROUP BY t.id HAVING count(DISTINCT r.epoch) <> ${epochs}`,
      ).length,
  );
  if (Math.max(...incomplete) > 0) problems.push(`${Math.max(...incomplete)} completed trials lack an epoch`);
  const values = new Map();
  for (const { attempt, epoch, metric, value } of rows("SELECT attempt, epoch, metric, value FROM reports")) {
    values.set(`${attempt} ${epoch} ${metric}`, value);
  }
  let missing = 0;
  for (const key of acked) {
    const [attempt, epoch] = key.split(" ");
    const right = METRICS.every((name) => values.get(`${key} ${name}`) === reportedValue(attempt, Number(epoch), name));
    if (!right) missing += 1;
  }
  if (missing > 0) problems.push(`${missing} acknowledged reports are missing or differ`);
  return { problems, trials: countBy(trials), attempts: countBy(rows("SELECT state FROM attempts")) };
}

const stateOf = ({ state }) => state;

function countBy(rows) {
  const counts = {};
  for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
