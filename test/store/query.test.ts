/** Queries by people: what the gate refuses, what the child gives back, limits, messages; with and without a coordinator. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gateQuery } from "../../coordinator/store/gate.js";
import { runQuery } from "../../coordinator/store/query.js";
import { sqlTokens } from "../../coordinator/store/sql-tokens.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import type { Store } from "../../coordinator/store/store.js";
import { attemptId, ConvsweepError, millis, sweepId, trialId, workerId } from "../../proto/contract.js";
import {
  sampleAttempt,
  sampleEvent,
  sampleReport,
  sampleSweep,
  sampleTrial,
  sampleWorker,
} from "../conformance/store-model.js";
import { scratchFolder } from "./scratch.js";

/** The sources run the built child; a stale or absent one is made from its source here. */
function buildChild(): void {
  const source = fileURLToPath(new URL("../../coordinator/store/query-child.ts", import.meta.url));
  const built = fileURLToPath(new URL("../../dist/coordinator/store/query-child.js", import.meta.url));
  if (existsSync(built) && statSync(built).mtimeMs >= statSync(source).mtimeMs) return;
  const options = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
  mkdirSync(dirname(built), { recursive: true });
  writeFileSync(built, ts.transpileModule(readFileSync(source, "utf8"), { compilerOptions: options }).outputText);
}

const folder = scratchFolder();
const dir = join(folder.path, "store");
const trial = trialId(sweepId(1), 0);
const other = trialId(sweepId(1), 1);
let store: Store | null = null;

beforeAll(() => {
  buildChild();
  store = openSqliteStore(dir, { create: true });
  store.commit([
    sampleSweep(1, { state: "completed", endedAt: millis(61_000) }),
    sampleTrial(1, 0, {
      parameters: { learning_rate: 0.01, l2: 1e-5 },
      state: "completed",
      best: { value: 0.98, epoch: 2 },
      last: 0.97,
      metrics: { val_accuracy: 0.97, val_loss: "nan" },
      epoch: 3,
      startedAt: millis(2_000),
      endedAt: millis(14_500),
      weightsHash: "ab",
      fingerprint: "cpu f32",
      worker: workerId("w"),
      device: "cpu",
    }),
    sampleTrial(1, 1, {
      state: "failed",
      cause: "diverged in epoch 2, step 7",
      last: "nan",
      origin: { kind: "rerun", of: trial, verify: true },
      best: { value: 0.99, epoch: 1 },
      verified: { equal: false, detail: "val_loss differs at epoch 1" },
    }),
    sampleAttempt(trial, 1, 1, { lastEpoch: 3, startedAt: millis(2_000), endedAt: millis(14_500), state: "finished" }),
    sampleAttempt(other, 1, 2),
    sampleReport(attemptId(trial, 1), 1, { val_loss: 0.5, train_loss: "inf" }, { at: millis(1_795_000_000_123) }),
    sampleReport(attemptId(other, 1), 1, { val_loss: "nan", train_loss: "-inf", odd: -0 }),
    sampleWorker("w"),
    sampleEvent({ kind: "trial-added", trial, sweep: sweepId(1), detail: "sampled" }),
  ]);
});
afterAll(() => {
  store?.close();
  folder.remove();
});

const rows = async (sql: string, params: readonly (string | number | null)[] = []) =>
  (await runQuery(dir, sql, params)).rows;

async function refusal(sql: string, limits = {}): Promise<ConvsweepError> {
  try {
    await runQuery(dir, sql, [], limits);
  } catch (thrown) {
    if (thrown instanceof ConvsweepError) return thrown;
    throw thrown;
  }
  throw new Error(`it ran: ${sql}`);
}

describe("views", () => {
  it("trials has one row a trial with everything known about it", async () => {
    const { columns, rows: all } = await runQuery(dir, "SELECT * FROM trials ORDER BY number", []);
    const [first, second] = all.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
    expect(first).toEqual({
      id: "1/0",
      sweep: 1,
      number: 0,
      state: "completed",
      cause: "",
      origin: "sampled",
      rerun_of: null,
      params: '{"learning_rate":0.01,"l2":0.00001}',
      best_value: 0.98,
      best_epoch: 2,
      last_value: 0.97,
      metrics: '{"val_accuracy":0.97,"val_loss":"nan"}',
      epochs: 3,
      attempts: 1,
      wall_seconds: 12.5,
      device: "cpu",
      worker: "w",
      seed: "00000000000000ff",
      weights_hash: "ab",
      fingerprint: "cpu f32",
      verified: null,
      verified_detail: null,
      created_at: "1970-01-01T00:00:01.000Z",
      started_at: "1970-01-01T00:00:02.000Z",
      ended_at: "1970-01-01T00:00:14.500Z",
    });
    expect(second).toMatchObject({
      origin: "rerun",
      rerun_of: "1/0",
      last_value: "nan",
      wall_seconds: null,
      verified: 0,
      verified_detail: "val_loss differs at epoch 1",
    });
  });

  it("sweeps counts trials and finds the best, reruns aside", async () => {
    const { columns, rows: all } = await runQuery(dir, "SELECT * FROM sweeps", []);
    expect(Object.fromEntries(columns.map((name, i) => [name, all[0]?.[i]]))).toMatchObject({
      id: 1,
      name: "a sweep",
      state: "completed",
      method: "random",
      network: "lenet",
      dataset: "mnist",
      metric: "val_accuracy",
      goal: "maximize",
      target: null,
      run_cap: 16,
      completed: 1,
      failed: 1,
      best_value: 0.98,
      wall_seconds: 60,
    });
  });

  it("reports gives numbers as REAL, NaN and the infinities as text in answers", async () => {
    expect(await rows("SELECT trial, metric, value FROM reports ORDER BY trial, metric")).toEqual([
      ["1/0", "train_loss", "inf"],
      ["1/0", "val_loss", 0.5],
      ["1/1", "odd", 0],
      ["1/1", "train_loss", "-inf"],
      ["1/1", "val_loss", "nan"],
    ]);
    expect(await rows("SELECT count(*) FROM reports WHERE value > 1e308 AND typeof(value) = 'real'")).toEqual([[1]]);
    expect(await rows("SELECT typeof(value) FROM reports WHERE value = 'nan'")).toEqual([["text"]]);
    expect(
      await rows("SELECT attempt, epoch, step, at FROM reports WHERE trial = ? AND metric = ?", ["1/0", "val_loss"]),
    ).toEqual([["1/0#1", 1, 100, "2026-11-18T11:06:40.123Z"]]);
  });

  it("attempts, workers and events are there", async () => {
    expect(
      await rows(
        "SELECT id, sweep, trial, n, token, state, epochs, wall_seconds FROM attempts WHERE n = 1 ORDER BY id",
      ),
    ).toEqual([
      ["1/0#1", 1, "1/0", 1, 1, "finished", 3, 12.5],
      ["1/1#1", 1, "1/1", 1, 2, "running", -1, null],
    ]);
    expect(await rows("SELECT id, host, devices ->> '$[0].id' FROM workers")).toEqual([["w", "here", "cpu"]]);
    expect(await rows("SELECT seq, kind, trial, detail FROM events")).toEqual([[1, "trial-added", "1/0", "sampled"]]);
  });

  it("are documented column for column", async () => {
    const text = readFileSync(new URL("../../docs/views.md", import.meta.url), "utf8");
    for (const view of ["sweeps", "trials", "reports", "attempts", "workers", "events"]) {
      const { columns } = await runQuery(dir, `SELECT * FROM ${view} LIMIT 0`, []);
      const section = new RegExp(`## \`${view}\`\n([^]*?)(\n## |$)`).exec(text)?.[1] ?? "";
      const named = [...section.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(
        (row) => (row[1] ?? "").match(/\w+/g) ?? [],
      );
      expect(named, view).toEqual(columns);
    }
  });

  it("find one trial's reports and one sweep's trials by index", async () => {
    const plan = async (sql: string) => (await rows(`EXPLAIN QUERY PLAN ${sql}`)).map((row) => row[3]).join("; ");
    expect(await plan("SELECT * FROM reports WHERE trial = '1/0'")).not.toMatch(/SCAN (?!m\b)/);
    expect(await plan("SELECT * FROM trials WHERE sweep = 1")).toMatch(/SEARCH t USING INDEX/);
    expect(await plan("SELECT * FROM trials WHERE id = '1/0'")).toMatch(/SEARCH t USING INDEX/);
  });
});

describe("answers", () => {
  it("come while no coordinator runs, too", async () => {
    const quiet = join(folder.path, "quiet");
    const closed = openSqliteStore(quiet, { create: true });
    closed.commit([sampleSweep(1), sampleTrial(1, 0)]);
    closed.close();
    expect(readdirSync(quiet).sort()).toEqual(["convsweep.db", "hwm", "lock.db", "store.json"]);
    expect((await runQuery(quiet, "SELECT id FROM trials", [])).rows).toEqual([["1/0"]]);
    const again = openSqliteStore(quiet, { create: false });
    again.commit([sampleTrial(1, 1)]);
    again.close();
    expect((await runQuery(quiet, "SELECT count(*) FROM trials", [])).rows).toEqual([[2]]);
  });

  it("see what was committed a moment ago", async () => {
    store?.commit([sampleTrial(1, 2, { cause: "just now" })]);
    expect(await rows("SELECT cause FROM trials WHERE number = 2")).toEqual([["just now"]]);
  });

  it("keep two columns of one name, bind values, and give big integers and blobs as text", async () => {
    expect(
      await runQuery(dir, "SELECT 1 AS a, 2 AS a, ? AS p, 9007199254740993 AS big, x'0aff' AS b", ["it's"]),
    ).toEqual({
      columns: ["a", "a", "p", "big", "b"],
      rows: [[1, 2, "it's", "9007199254740993", "x'0aff'"]],
      truncated: false,
    });
  });

  it("stop at the row limit and say so", async () => {
    const sql = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    const answer = await runQuery(dir, sql, [], { rows: 3 });
    expect(answer).toEqual({ columns: ["i"], rows: [[1], [2], [3]], truncated: true });
    expect((await runQuery(dir, `${sql} LIMIT 3`, [], { rows: 3 })).truncated).toBe(false);
    const wide = await runQuery(
      dir,
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT printf('%1000d', i) FROM n",
      [],
      { bytes: 10_000 },
    );
    expect(wide.truncated).toBe(true);
    expect(wide.rows.length).toBe(10);
  });

  it("that never come are killed when their time is up", async () => {
    const started = performance.now();
    const error = await refusal(
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
      { millis: 700 },
    );
    expect(error.code).toBe("TIMEOUT");
    expect(error.message).toMatch(/stopped after 0\.7 s; ask for less/);
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it("name the store that is not there", async () => {
    await expect(runQuery(join(folder.path, "none"), "SELECT 1", [])).rejects.toThrow(/there is no store in/);
  });
});

describe("messages", () => {
  it.each([
    ["SELECT lr FROM trials", /no such column: lr.*trials has id, sweep, number.*params ->> 'lr'/],
    ["SELECT stat FROM trials", /no such column: stat; did you mean state\?/],
    ["SELECT t.metrc FROM reports t", /no such column: t\.metrc; did you mean metric\?/],
    ["SELECT * FROM trial", /no such table: trial; did you mean trials\?/],
    ["SELECT * FROM runs_of_mine", /no such table: runs_of_mine; the views are sweeps, trials, reports/],
    ["SELECT FROM", /the query failed: .*syntax error/],
  ])("%s", async (sql, message) => {
    const error = await refusal(sql);
    expect(error.code).toBe("BAD_INPUT");
    expect(error.message).toMatch(message);
  });
});

describe("the gate", () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["", /it is empty/],
    [" -- nothing\n /* at all */ ", /it is empty/],
    ["SELECT 1; SELECT 2", /more than one statement \(the second begins with SELECT\)/],
    ["SELECT 1;; DROP TABLE base_trials", /more than one statement/],
    ["DELETE FROM trials", /must begin with SELECT, WITH or VALUES, not DELETE/],
    ["UPDATE trials SET state = 'x'", /must begin with/],
    ["INSERT INTO trials VALUES (1)", /must begin with/],
    ["PRAGMA locking_mode=EXCLUSIVE", /must begin with/],
    ["ATTACH '/tmp/x' AS x", /must begin with/],
    ["VACUUM INTO '/tmp/x'", /must begin with/],
    ["EXPLAIN SELECT 1", /only EXPLAIN QUERY PLAN/],
    ["EXPLAIN QUERY PLAN PRAGMA user_version", /must begin with SELECT, WITH or VALUES, not PRAGMA/],
    ["WITH x AS (SELECT 1) DELETE FROM trials", /DELETE is not allowed; a query only reads/],
    ["SELECT * FROM base_trials", /base_trials is not there to be queried; the views are sweeps/],
    ['SELECT * FROM "base_trials"', /base_trials is not there/],
    ["SELECT * FROM 'base_trials'", /base_trials is not there/],
    ["SELECT * FROM [base_trials]", /base_trials is not there/],
    ["SELECT * FROM `base_trials`", /base_trials is not there/],
    ["SELECT * FROM main.BASE_META", /BASE_META is not there/],
    ["SELECT * FROM/**/base_meta", /base_meta is not there/],
    ["SELECT * FROM sqlite_schema", /sqlite_schema is not there/],
    ["SELECT * FROM 'sqlite_master'", /sqlite_master is not there/],
    ["SELECT * FROM pragma_table_info('base_trials')", /pragma_table_info is not there/],
    ["SELECT * FROM pragma_database_list", /pragma_database_list is not there/],
    ["SELECT * FROM dbstat", /dbstat is not there/],
    ["SELECT load_extension('/tmp/x.so')", /load_extension is not there/],
    ["SELECT zeroblob(1000000000)", /zeroblob is not there/],
    ["SELECT 'unfinished", /ends inside a string that begins at character 8/],
    ['SELECT "unfinished', /ends inside a quoted name/],
    ["SELECT 1 /* unfinished", /ends inside a comment/],
    ["SELECT '\0'", /NUL/],
  ];
  it.each(refused)("refuses %j", async (sql, message) => {
    const error = await refusal(sql);
    expect(["BAD_INPUT", "FORBIDDEN"]).toContain(error.code);
    expect(error.message).toMatch(message);
  });

  it("refuses more than 100 KiB", async () => {
    expect((await refusal(`SELECT '${"x".repeat(102_400)}'`)).code).toBe("TOO_LARGE");
  });

  it.each([
    "SELECT 1;",
    "select count(*) from trials -- a comment ; with a semicolon",
    "VALUES (1), (2)",
    "WITH t AS (SELECT * FROM trials) SELECT params ->> '$.l2' FROM t",
    "SELECT 'DROP TABLE base_trials; it''s only text'",
    "SELECT replace(state, 'e', 'E') FROM trials /* not REPLACE INTO */",
    "EXPLAIN QUERY PLAN SELECT * FROM trials",
    "SELECT j.key FROM trials, json_each(params) AS j",
  ])("lets %j through", async (sql) => {
    await expect(runQuery(dir, sql, [])).resolves.toMatchObject({ truncated: false });
  });

  it("splits text so that every character but spaces and comments is in one token", () => {
    const piece = fc.constantFrom(
      "a",
      "'",
      '"',
      "`",
      "[",
      "]",
      ";",
      "--",
      "/*",
      "*/",
      " ",
      "\n",
      "1",
      ".",
      "e",
      "x'",
      "?",
      ":p",
      "é",
      "(",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const sql = pieces.join("");
        let tokens: ReturnType<typeof sqlTokens>;
        try {
          tokens = sqlTokens(sql);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ConvsweepError);
          return;
        }
        let last = -1;
        for (const token of tokens) {
          expect(token.at).toBeGreaterThan(last);
          last = token.at;
        }
      }),
      { seed: 7 },
    );
  });

  it("says which views a query names", () => {
    expect(gateQuery("SELECT * FROM Trials JOIN reports ON 1")).toEqual(["trials", "reports"]);
  });
});
