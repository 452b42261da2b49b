/**
 * What a query may say: one statement that reads, over the documented views.
 *
 * A read-only connection is no sandbox (`VACUUM INTO` writes a file, `ATTACH` opens one), so tokens are judged before
 * SQLite sees the text. Strings are judged like names, because SQLite takes `FROM 'name'`. The child process checks
 * again what SQLite made of the statement. Not here: running it (query.ts).
 */
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import { type SqlToken, sqlTokens } from "./sql-tokens.js";

export const VIEWS = ["sweeps", "trials", "reports", "attempts", "workers", "events"] as const;

const STARTS = ["select", "with", "values"];
const CHANGES = new Set([
  "pragma",
  "attach",
  "detach",
  "vacuum",
  "reindex",
  "analyze",
  "insert",
  "update",
  "delete",
  "create",
  "drop",
  "alter",
  "begin",
  "commit",
  "rollback",
  "savepoint",
  "release",
]);
const HIDDEN_PREFIXES = ["base_", "sqlite_", "pragma_"];
const HIDDEN = new Set(["dbstat", "load_extension", "fts3_tokenizer", "zeroblob", "randomblob"]);

function refuse(what: string, found: string, code: "BAD_INPUT" | "FORBIDDEN" = "FORBIDDEN"): never {
  throw new ConvsweepError(code, `the query is refused: ${what}`, {
    path: "sql",
    expected: `one SELECT, WITH, VALUES or EXPLAIN QUERY PLAN over ${VIEWS.join(", ")}`,
    found,
  });
}

const word = (token: SqlToken | undefined): string => (token?.kind === "word" ? token.text.toLowerCase() : "");

function checkStart(tokens: readonly SqlToken[]): void {
  const first = tokens[0];
  if (first === undefined) refuse("it is empty", "nothing", "BAD_INPUT");
  const explained = word(first) === "explain";
  if (explained && !(word(tokens[1]) === "query" && word(tokens[2]) === "plan")) {
    refuse("only EXPLAIN QUERY PLAN is allowed of EXPLAIN", "EXPLAIN");
  }
  const start = tokens[explained ? 3 : 0];
  if (!STARTS.includes(word(start))) {
    refuse(`it must begin with SELECT, WITH or VALUES, not ${start?.text ?? "nothing"}`, start?.text ?? "nothing");
  }
}

function checkName(token: SqlToken): void {
  const name = token.text.toLowerCase();
  if (token.kind === "word" && CHANGES.has(name))
    refuse(`${token.text} is not allowed; a query only reads`, token.text);
  const hidden = HIDDEN.has(name) || HIDDEN_PREFIXES.some((prefix) => name.startsWith(prefix));
  if (hidden && /^\w+$/.test(name)) {
    refuse(`${token.text} is not there to be queried; the views are ${VIEWS.join(", ")}`, token.text);
  }
}

/** Throws unless the text may be run. Returns the views it names, for messages. */
export function gateQuery(sql: string): readonly string[] {
  if (Buffer.byteLength(sql) > LIMITS.queryTextBytes) {
    throw new ConvsweepError("TOO_LARGE", `the query is longer than ${LIMITS.queryTextBytes} bytes`, {
      path: "sql",
      expected: `at most ${LIMITS.queryTextBytes} bytes`,
      found: `${Buffer.byteLength(sql)} bytes`,
    });
  }
  if (sql.includes("\0")) refuse("it holds a NUL character", "NUL", "BAD_INPUT");
  const tokens = sqlTokens(sql);
  checkStart(tokens);
  const end = tokens.findIndex((token) => token.kind === "symbol" && token.text === ";");
  const after = end < 0 ? undefined : tokens.slice(end).find((token) => token.text !== ";" || token.kind !== "symbol");
  if (after !== undefined)
    refuse(`it holds more than one statement (the second begins with ${after.text})`, after.text);
  for (const token of tokens) {
    if (token.kind === "word" || token.kind === "name" || token.kind === "string") checkName(token);
  }
  const named = new Set(tokens.filter(({ kind }) => kind !== "symbol").map(({ text }) => text.toLowerCase()));
  return VIEWS.filter((view) => named.has(view));
}
