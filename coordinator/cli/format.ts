/** Numbers, durations and tables as people read them. Pure. */
import { columnsOf, padTo } from "./width.js";

/** Four significant digits; powers of ten for what is very small or large. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) {
    const [digits = "", power = ""] = value.toExponential(2).split("e");
    return `${digits}e${power.replace("+", "")}`;
  }
  return String(Number(value.toPrecision(4)));
}

/** A metric with four decimals, so that columns line up. */
export function formatMetric(value: number | string | null): string {
  if (value === null) return "-";
  if (typeof value === "string") return value;
  return Math.abs(value) >= 1e4 ? formatNumber(value) : value.toFixed(4);
}

export function formatParameter(value: number | string | boolean | undefined): string {
  if (value === undefined) return "-";
  return typeof value === "number" ? formatNumber(value) : String(value);
}

/** `850 ms`, `12 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

/** A table with two blanks between columns and no trailing blanks. `style` colours a cell after it was padded. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: (text: string, row: number, column: number) => string = (text) => text,
): string[] {
  const widths = columns.map((column, index) =>
    Math.max(columnsOf(column.title), ...rows.map((row) => columnsOf(row[index] ?? ""))),
  );
  const pad = (text: string, index: number): string => {
    const width = widths[index] ?? 0;
    if (columns[index]?.align === "right") return padTo(text, width, "start");
    return index === columns.length - 1 ? text : padTo(text, width, "end");
  };
  const line = (cells: readonly string[], row: number): string =>
    columns.map((_, index) => style(pad(cells[index] ?? "", index), row, index)).join("  ");
  return [
    line(
      columns.map((column) => column.title),
      -1,
    ),
    ...rows.map((row, index) => line(row, index)),
  ];
}

/** A bar of `width` characters, `share` from 0 to 1. */
export function formatBar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const full = Math.floor(eighths / 8);
  const part = " ▏▎▍▌▋▊▉"[eighths % 8] ?? " ";
  const bar = "█".repeat(full) + (full < width ? part : "");
  return bar.padEnd(width, "░").replaceAll(" ", "░");
}

/** One cell of CSV (RFC 4180). A text that a spreadsheet would take for a formula begins with an apostrophe. */
export function csvCell(value: unknown): string {
  const plain =
    value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  const formula = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && !/^[+-](?:inf|[0-9.eE+-]+)$/.test(value);
  const text = formula ? `'${plain}` : plain;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
