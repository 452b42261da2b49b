/** J3: the reader of the kill cycles names what is wrong with a tampered record, and nothing else. */
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { attemptId, millis, sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleReport, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { readRecord } from "../long/kill-reader.mjs";
import { METRICS, reportedValue } from "../long/reported-value.mjs";
import { scratchFolder } from "../store/scratch.js";

const SWEEPS = 2;
const RUN_CAP = 4;
const EPOCHS = 3;
const acked = new Set<string>();

let folder: ReturnType<typeof scratchFolder>;
/** The views of a store as tables without constraints, so that they can hold what no store would take. */
let db: Database.Database;

beforeEach(() => {
  folder = scratchFolder();
  const dir = join(folder.path, "store");
  const store = openSqliteStore(dir, { create: true });
  for (let sweep = 1; sweep <= SWEEPS; sweep += 1) {
    store.commit([sampleSweep(sweep)]);
    for (let number = 0; number < RUN_CAP; number += 1) {
      const trial = trialId(sweepId(sweep), number);
      const attempt = attemptId(trial, 1);
      const reports = Array.from({ length: EPOCHS }, (_, i) => {
        acked.add(`${attempt} ${i + 1}`);
        return sampleReport(
          attempt,
          i + 1,
          Object.fromEntries(METRICS.map((name) => [name, reportedValue(attempt, i + 1, name)])),
        );
      });
      store.commit([
        sampleTrial(sweep, number, { state: "completed", epoch: EPOCHS, endedAt: millis(9_000) }),
        sampleAttempt(trial, 1, sweep * RUN_CAP + number, { state: "finished", endedAt: millis(9_000) }),
        ...reports,
      ]);
    }
  }
  store.close();
  db = new Database(join(folder.path, "copy.db"));
  db.exec(`ATTACH '${join(dir, "convsweep.db")}' AS store`);
  for (const view of ["trials", "attempts", "reports"]) db.exec(`CREATE TABLE ${view} AS SELECT * FROM store.${view}`);
  db.exec("DETACH store");
});
afterEach(() => {
  db.close();
  folder.remove();
});

const read = () => readRecord(db, { sweeps: SWEEPS, runCap: RUN_CAP, epochs: EPOCHS, acked });
const OF_ONE = "WHERE attempt = '2/1#1' AND epoch = 2 AND metric = 'val_accuracy'";

it("finds nothing wrong with the record as it was written", () => {
  const all = SWEEPS * RUN_CAP;
  expect(read()).toEqual({ problems: [], trials: { completed: all }, attempts: { finished: all } });
});

it.each([
  [
    "a report is gone",
    "DELETE FROM reports WHERE attempt = '2/1#1' AND epoch = 2",
    ["1 completed trials lack an epoch", "1 acknowledged reports are missing or differ"],
  ],
  [
    "one metric of a report is gone",
    `DELETE FROM reports ${OF_ONE}`,
    ["1 completed trials lack an epoch", "1 acknowledged reports are missing or differ"],
  ],
  [
    "a value is another in its last bit",
    `UPDATE reports SET value = value + 1.2e-16 ${OF_ONE}`,
    ["1 acknowledged reports are missing or differ"],
  ],
  ["a report is there twice", `INSERT INTO reports SELECT * FROM reports ${OF_ONE}`, ["1 reports are there twice"]],
  [
    "a trial is there twice",
    "INSERT INTO trials SELECT * FROM trials WHERE id = '1/3'",
    ["sweep 1 has 5 trials instead of 4", "sweep 1 has a trial twice"],
  ],
  [
    "a trial is gone",
    "DELETE FROM trials WHERE id = '2/0'",
    ["sweep 2 has 3 trials instead of 4", "sweep 2 lacks trial 0"],
  ],
  [
    "a trial has another's number",
    "UPDATE trials SET number = 2 WHERE id = '1/3'",
    ["sweep 1 lacks trial 3", "sweep 1 has a trial twice"],
  ],
  [
    "a trial did not end",
    "UPDATE trials SET state = 'running' WHERE id = '1/2'",
    ["sweep 1 has trials that are running"],
  ],
])("%s", (_what, tampering, problems) => {
  expect(db.exec(tampering) && read().problems).toEqual(problems);
});
