/**
 * The process that runs one query: opens the store read-only, says that it begins, answers, ends.
 *
 * Forked by query.ts and killed by it after the time limit; if the parent dies first, it kills itself. Imports nothing of
 * the project at run time. Not here: the gate (the parent's), wording of errors.
 */
import { Worker } from "node:worker_threads";
import Database from "better-sqlite3";

export interface QueryRequest {
  readonly path: string;
  readonly sql: string;
  readonly params: readonly (string | number | null)[];
  readonly maxRows: number;
  readonly maxBytes: number;
  readonly millis: number;
  /** Views whose columns an error should list. */
  readonly views: readonly string[];
}

export type QueryOutcome =
  | {
      readonly ok: true;
      readonly columns: readonly string[];
      readonly rows: readonly (readonly (string | number | null)[])[];
      readonly truncated: boolean;
    }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly columns: Readonly<Record<string, readonly string[]>>;
    };

/** What the child sends: that it begins, then how it went. */
export type QueryMessage = "begun" | QueryOutcome;

/** JSON knows no infinity, no blob and no integer beyond 2^53. */
function plain(value: unknown): string | number | null {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === "number") return Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf";
  if (Buffer.isBuffer(value)) return `x'${value.toString("hex")}'`;
  return value === null ? null : String(value);
}

function columnsOf(db: Database.Database, views: readonly string[]): Record<string, readonly string[]> {
  const columns = db.prepare<[string], string>("SELECT name FROM pragma_table_info(?)").pluck();
  return Object.fromEntries(views.map((view) => [view, columns.all(view)]));
}

function read(db: Database.Database, request: QueryRequest): QueryOutcome {
  const statement = db.prepare<unknown[], unknown[]>(request.sql);
  if (!statement.reader || !statement.readonly) {
    return { ok: false, code: "NOT_A_READ", message: "a query only reads", columns: {} };
  }
  const columns = statement.columns().map((column) => column.name);
  const rows: (string | number | null)[][] = [];
  let bytes = 0;
  statement.raw().safeIntegers();
  for (const cells of statement.iterate(...request.params)) {
    const row = cells.map(plain);
    bytes += row.reduce<number>((sum, cell) => sum + (typeof cell === "string" ? cell.length : 8), 0);
    if (rows.length === request.maxRows || bytes > request.maxBytes)
      return { ok: true, columns, rows, truncated: true };
    rows.push(row);
  }
  return { ok: true, columns, rows, truncated: false };
}

function answer(request: QueryRequest): QueryOutcome {
  let db: Database.Database | null = null;
  try {
    db = new Database(request.path, { readonly: true, fileMustExist: true, timeout: request.millis });
    db.pragma("query_only = 1");
    db.pragma("trusted_schema = OFF");
    db.pragma("cell_size_check = ON");
    return read(db, request);
  } catch (thrown) {
    const { code, message } = thrown as Error & { code?: unknown };
    const columns = db === null || code !== "SQLITE_ERROR" ? {} : columnsOf(db, request.views);
    return { ok: false, code: String(code ?? "ERROR"), message, columns };
  } finally {
    db?.close();
  }
}

/** A query runs without a pause in the main thread, so only another thread can end it when the parent is gone. */
function endItself(millis: number): void {
  const code = `setTimeout(() => process.kill(${process.pid}, "SIGKILL"), ${millis * 2 + 1_000})`;
  new Worker(code, { eval: true }).unref();
}

process.once("message", (request: QueryRequest) => {
  endItself(request.millis);
  // The parent counts from here.
  process.send?.("begun" satisfies QueryMessage);
  const outcome = answer(request);
  process.send?.(outcome, () => process.exit(0));
});
