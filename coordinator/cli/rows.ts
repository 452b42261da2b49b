/**
 * Rows of an answer, written as people asked: table, JSON, JSON lines or CSV. Pure but for the output it is given.
 */
import { Option } from "commander";
import { csvCell, formatNumber, formatTable } from "./format.js";
import type { Output } from "./output.js";

export type Format = "table" | "json" | "jsonl" | "csv";

export interface Answer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated: boolean;
}

export const formatOption = (): Option =>
  new Option("--format <format>", "how rows are written").choices(["table", "json", "jsonl", "csv"]).default("table");

export function asObjects(answer: Answer): Record<string, unknown>[] {
  const names = distinct(answer.columns);
  return answer.rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] ?? null])));
}

/** `a`, `a_2`, `a_3` where a query names several columns alike: an object would keep only the last. */
function distinct(columns: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return columns.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}_${count}`;
  });
}

export function writeRows(output: Output, answer: Answer, wanted: Format): void {
  const format = output.json && wanted === "table" ? "jsonl" : wanted;
  if (format === "json") process.stdout.write(`${JSON.stringify(asObjects(answer), null, 2)}\n`);
  else if (format === "jsonl") for (const row of asObjects(answer)) output.data(row);
  else if (format === "csv") {
    const lines = [answer.columns.map(csvCell), ...answer.rows.map((row) => row.map(csvCell))];
    process.stdout.write(lines.map((cells) => `${cells.join(",")}\r\n`).join(""));
  } else writeTable(output, answer);
  if (answer.truncated) output.notice(`only the first ${answer.rows.length} rows; ask for fewer with WHERE or LIMIT`);
}

function writeTable(output: Output, answer: Answer): void {
  if (answer.rows.length === 0) {
    output.notice("no rows");
    return;
  }
  const columns = answer.columns.map((title, index) => ({
    title,
    align: answer.rows.every((row) => typeof row[index] === "number" || row[index] === null)
      ? ("right" as const)
      : ("left" as const),
  }));
  const cells = answer.rows.map((row) => row.map(tableCell));
  const { paint } = output;
  for (const [index, line] of formatTable(columns, cells).entries())
    output.line(index === 0 ? paint.dim(line) : line.trimEnd());
}

function tableCell(value: unknown): string {
  if (value === null || value === undefined) return "-";
  if (typeof value === "number") return formatNumber(value);
  return String(value).replace(/[\r\n\t]+/g, " ");
}
