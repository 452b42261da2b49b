/**
 * Read-only SQL by people, on a store that a coordinator may or may not be using.
 *
 * Guarantees: only what gate.ts lets through runs, in a process of its own with its own read-only connection, killed
 * when its time is up, which begins when that process has started (a busy machine may take seconds over that); the coordinator never waits for it. Infinities come back as the texts `inf` and `-inf`, integers
 * beyond 2^53 and blobs as text. Not here: how many run at once (the shell), formats (the command line).
 */
import { fork } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import { nearest } from "../recipe/nearest.js";
import { childPath } from "./child-path.js";
import { gateQuery, VIEWS } from "./gate.js";
import { databasePath } from "./open.js";
import type { QueryMessage, QueryOutcome, QueryRequest } from "./query-child.js";

export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  /** There was more than the limits let through. */
  readonly truncated: boolean;
}

export interface QueryLimits {
  readonly millis: number;
  readonly rows: number;
  /** Of the result, roughly. */
  readonly bytes: number;
}

const DEFAULTS: QueryLimits = { millis: LIMITS.queryMillis, rows: LIMITS.queryRows, bytes: 8 << 20 };

/** Runs one query on the store in a folder. `params` fill its `?` in order. */
export async function runQuery(
  dir: string,
  sql: string,
  params: readonly (string | number | null)[],
  limits: Partial<QueryLimits> = {},
): Promise<QueryResult> {
  const views = gateQuery(sql);
  const path = databasePath(resolve(dir));
  if (!existsSync(path)) throw new ConvsweepError("NOT_FOUND", `there is no store in ${resolve(dir)}`, { path });
  const { millis, rows, bytes } = { ...DEFAULTS, ...limits };
  const outcome = await ask({ path, sql, params, maxRows: rows, maxBytes: bytes, millis, views });
  if (!outcome.ok) throw explain(outcome, views);
  return { columns: outcome.columns, rows: outcome.rows, truncated: outcome.truncated };
}

function ask(request: QueryRequest): Promise<QueryOutcome> {
  return new Promise((resolveWith, reject) => {
    const child = fork(childPath("query-child"), [], {
      execArgv: ["--max-old-space-size=256"],
      env: {},
      cwd: "/",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      serialization: "json",
    });
    let begun = false;
    let late = false;
    let said = "";
    let outcome: QueryOutcome | null = null;
    const kill = (): void => {
      late = true;
      child.kill("SIGKILL");
    };
    let timer = setTimeout(kill, START_MILLIS);
    let hungry = false;
    const watch = setInterval(() => {
      if (residentBytes(child.pid) < MEMORY_BYTES) return;
      hungry = true;
      child.kill("SIGKILL");
    }, WATCH_MILLIS);
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2_000);
    });
    child.on("message", (message: QueryMessage) => {
      if (message !== "begun") {
        outcome = message;
        return;
      }
      begun = true;
      clearTimeout(timer);
      timer = setTimeout(kill, request.millis);
    });
    child.once("error", (cause) => {
      clearTimeout(timer);
      clearInterval(watch);
      reject(new ConvsweepError("UNAVAILABLE", `cannot start the process for queries: ${cause.message}`, { cause }));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      clearInterval(watch);
      if (outcome !== null) resolveWith(outcome);
      else if (hungry) reject(died(code, signal, "heap out of memory"));
      else if (late) reject(begun ? tooLong(request.millis) : notStarted());
      else reject(died(code, signal, said));
    });
    // A send that fails is followed by "close", which says why.
    child.send(request, () => undefined);
  });
}

const START_MILLIS = 30_000;
/** SQLite's own memory is outside Node's limit. */
const MEMORY_BYTES = 768 << 20;
const WATCH_MILLIS = 50;

/** 0 where it cannot be told. */
function residentBytes(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4_096;
  } catch {
    return 0;
  }
}

function notStarted(): ConvsweepError {
  const message = `the process for queries did not start within ${START_MILLIS / 1_000} s; the machine is too busy`;
  return new ConvsweepError("UNAVAILABLE", message);
}

function tooLong(millis: number): ConvsweepError {
  const limit = `${millis / 1_000} s`;
  const hint = "ask for less, for example with WHERE on sweep or trial";
  return new ConvsweepError("TIMEOUT", `the query was stopped after ${limit}; ${hint}`, {
    path: "sql",
    expected: `an answer within ${limit}`,
    found: "none",
  });
}

function died(code: number | null, signal: string | null, said: string): ConvsweepError {
  const memory = /heap out of memory|Array buffer allocation failed/.test(said);
  const how = signal ? `signal ${signal}` : `exit code ${code}`;
  const why = memory ? "it needed too much memory" : `${how}${said ? `: ${said.trim().split("\n").at(-1)}` : ""}`;
  return new ConvsweepError(memory ? "TOO_LARGE" : "INTERNAL", `the process for queries ended: ${why}`, {
    path: "sql",
  });
}

function explain(outcome: Extract<QueryOutcome, { ok: false }>, named: readonly string[]): ConvsweepError {
  const { message, code } = outcome;
  const sqlError = code === "SQLITE_ERROR" || code === "NOT_A_READ" || code === "ERROR" || code === "SQLITE_MISMATCH";
  const hint = hintFor(message, outcome.columns, named);
  return new ConvsweepError(
    code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB" ? "CORRUPT" : sqlError ? "BAD_INPUT" : "UNAVAILABLE",
    `the query failed: ${message}${hint}`,
    { path: "sql", found: message },
  );
}

function hintFor(
  message: string,
  columns: Readonly<Record<string, readonly string[]>>,
  named: readonly string[],
): string {
  const table = /^no such table: (.+)$/.exec(message)?.[1];
  if (table !== undefined) {
    const near = nearest(table, VIEWS);
    return near === null ? `; the views are ${VIEWS.join(", ")}` : `; did you mean ${near}?`;
  }
  const column = /^no such column: (.+)$/.exec(message)?.[1];
  if (column === undefined) return "";
  const wanted = column.slice(column.lastIndexOf(".") + 1).replace(/^"|" - .*$|"$/g, "");
  const near = nearest(
    wanted,
    named.flatMap((view) => columns[view] ?? []),
  );
  const lists = named.map((view) => `${view} has ${(columns[view] ?? []).join(", ")}`);
  const parameter = named.includes("trials") ? `; a trial's parameters are in params: params ->> '${wanted}'` : "";
  return `${near === null ? "" : `; did you mean ${near}?`}${lists.map((list) => `; ${list}`).join("")}${parameter}`;
}
