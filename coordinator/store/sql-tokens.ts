/**
 * Splits SQL into tokens exactly as SQLite does, so that the gate judges what SQLite will read: comments are dropped,
 * quoted names and strings come without their quotes. Not here: what is allowed (gate.ts).
 */
import { ConvsweepError } from "../../proto/contract.js";

export interface SqlToken {
  /** `word` may be a keyword or a name; `name` was quoted; `string` stood in single quotes. */
  readonly kind: "word" | "name" | "string" | "number" | "parameter" | "symbol";
  readonly text: string;
  /** Offset of its first character. */
  readonly at: number;
}

const CLOSING: Readonly<Record<string, string>> = { "'": "'", '"': '"', "`": "`", "[": "]" };
const WORD = /[A-Za-z_\u0080-\u{10ffff}][A-Za-z0-9_$\u0080-\u{10ffff}]*/uy;
const NUMBER = /(?:0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?)/y;
const PARAMETER = /(?:\?[0-9]*|[:@$#][A-Za-z0-9_$:\u0080-\u{10ffff}]+)/uy;
const SPACE = /[ \t\n\f\r]+/y;

function match(pattern: RegExp, sql: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0] ?? null;
}

function unfinished(what: string, at: number): ConvsweepError {
  return new ConvsweepError("BAD_INPUT", `the query ends inside ${what} that begins at character ${at + 1}`, {
    path: "sql",
    expected: `the end of ${what}`,
    found: "the end of the query",
  });
}

/** The text between quotes, with doubled quotes made single, and the offset after it. */
function quoted(sql: string, at: number): { readonly text: string; readonly end: number } {
  const open = sql[at] ?? "";
  const close = CLOSING[open] ?? open;
  let text = "";
  for (let i = at + 1; i < sql.length; i++) {
    if (sql[i] !== close) text += sql[i];
    else if (open !== "[" && sql[i + 1] === close) {
      text += close;
      i++;
    } else return { text, end: i + 1 };
  }
  throw unfinished(open === "'" ? "a string" : "a quoted name", at);
}

function afterComment(sql: string, at: number): number | null {
  if (sql.startsWith("--", at)) {
    const end = sql.indexOf("\n", at);
    return end < 0 ? sql.length : end + 1;
  }
  if (!sql.startsWith("/*", at)) return null;
  const end = sql.indexOf("*/", at + 2);
  if (end < 0) throw unfinished("a comment", at);
  return end + 2;
}

export function sqlTokens(sql: string): readonly SqlToken[] {
  const tokens: SqlToken[] = [];
  let at = 0;
  while (at < sql.length) {
    const skipped = match(SPACE, sql, at);
    const comment = skipped === null ? afterComment(sql, at) : at + skipped.length;
    if (comment !== null) {
      at = comment;
      continue;
    }
    const first = sql[at] ?? "";
    if (first in CLOSING) {
      const { text, end } = quoted(sql, at);
      tokens.push({ kind: first === "'" ? "string" : "name", text, at });
      at = end;
      continue;
    }
    const kinds = [
      ["word", WORD],
      ["number", NUMBER],
      ["parameter", PARAMETER],
    ] as const;
    let token: SqlToken = { kind: "symbol", text: first, at };
    for (const [kind, pattern] of kinds) {
      const text = match(pattern, sql, at);
      if (text !== null) {
        token = { kind, text, at };
        break;
      }
    }
    tokens.push(token);
    at += token.text.length;
  }
  return tokens;
}
