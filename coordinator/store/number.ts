/**
 * Numbers and JSON as a store keeps them: nothing is lost, not NaN, the infinities or the sign of zero.
 *
 * SQLite stores -0.0 as 0.0 and NaN as NULL, and `JSON.stringify(-0)` is `0`, so a number is a kind and a value, and
 * JSON is written here with `-0` (valid JSON that `JSON.parse` reads back). Not here: which numbers are allowed where.
 */
import type { Json, MetricValue } from "../core/types.js";

/** As in migrations/0001_tables.sql. */
export const KIND = { finite: 0, nan: 1, inf: 2, minusInf: 3, minusZero: 4 } as const;

export function kindOf(value: MetricValue): number {
  if (value === "nan") return KIND.nan;
  if (value === "inf") return KIND.inf;
  if (value === "-inf") return KIND.minusInf;
  return Object.is(value, -0) ? KIND.minusZero : KIND.finite;
}

/** What goes into the REAL column: `null` for NaN. */
export function realOf(value: MetricValue): number | null {
  if (value === "nan") return null;
  if (value === "inf") return Number.POSITIVE_INFINITY;
  if (value === "-inf") return Number.NEGATIVE_INFINITY;
  return value;
}

export function metricFrom(kind: number, value: number | null): MetricValue {
  if (kind === KIND.nan) return "nan";
  if (kind === KIND.inf) return "inf";
  if (kind === KIND.minusInf) return "-inf";
  if (kind === KIND.minusZero) return -0;
  return value ?? 0;
}

/** JSON text that gives back exactly the same value; keys stay in their order. */
export function toJson(value: Json): string {
  return holdsMinusZero(value) ? write(value) : JSON.stringify(value);
}

function holdsMinusZero(value: Json): boolean {
  if (typeof value === "number") return Object.is(value, -0);
  if (value === null || typeof value !== "object") return false;
  for (const member of Object.values<Json>(value)) if (holdsMinusZero(member)) return true;
  return false;
}

function write(value: Json): string {
  if (Object.is(value, -0)) return "-0";
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  const members = Object.entries<Json>(value as { readonly [key: string]: Json });
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${write(member)}`).join(",")}}`;
}
