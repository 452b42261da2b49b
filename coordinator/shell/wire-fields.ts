/**
 * Readers of single fields of a message from a worker: each gives a value of the right shape or throws BAD_INPUT with
 * the field's path, what was expected and what was found.
 *
 * Guarantees: nothing unchecked passes. Identities and numbers are refused when wrong; texts meant for people are made
 * harmless instead (clipped, control characters to spaces), because a worker would send a refused message for ever.
 * Not here: which message has which fields (wire.ts).
 */
import { type AttemptId, ConvsweepError, type Token } from "../../proto/contract.js";
import type { Metric, HeldAttempt as WireHeldAttempt } from "../../proto/gen/convsweep/v1/types.js";
import type { HeldAttempt } from "../core/events.js";
import type { MetricValue } from "../core/types.js";

const LONGEST_TEXT = 4_096;
const HELD_AT_MOST = 65_536;
const METRICS_AT_MOST = 256;

const ATTEMPT = /^[1-9][0-9]{0,14}\/(?:0|[1-9][0-9]{0,14})#[1-9][0-9]{0,8}$/;
const METRIC_NAME = /^[A-Za-z][A-Za-z0-9_.:/-]{0,127}$/;

export function bad(path: string, expected: string, found: unknown): ConvsweepError {
  const shown = typeof found === "string" ? JSON.stringify(found.slice(0, 80)) : String(found);
  return new ConvsweepError("BAD_INPUT", `${path}: expected ${expected}, found ${shown}`, {
    path,
    expected,
    found: shown,
  });
}

/** An identity: must match, is never changed. */
export function name(path: string, value: string, shape: RegExp, expected: string): string {
  if (!shape.test(value)) throw bad(path, expected, value);
  return value;
}

/** A text for people. */
export function prose(value: string, longest: number = LONGEST_TEXT): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out, a terminal would obey them
  const plain = value.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, " ");
  return plain.length <= longest ? plain : `${plain.slice(0, longest - 1)}…`;
}

export function whole(path: string, value: number, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw bad(
      path,
      most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least}` : `a whole number ${least} .. ${most}`,
      value,
    );
  }
  return value;
}

/** A number for people, under its name; nothing where it is none or cannot be. */
export function within<K extends string>(key: K, value: number | undefined, least: number, most: number) {
  const there = value !== undefined && Number.isFinite(value) && value >= least && value <= most;
  return (there ? { [key]: value } : {}) as { readonly [P in K]?: number };
}

export function attempt(path: string, value: string): AttemptId {
  return name(path, value, ATTEMPT, "an attempt such as 3/17#1") as AttemptId;
}

export function token(path: string, value: number): Token {
  return whole(path, value, 1) as Token;
}

export function hash(path: string, value: string): string {
  return name(path, value, /^[0-9a-f]{64}$/, "64 hexadecimal digits");
}

export function held(path: string, list: readonly WireHeldAttempt[]): readonly HeldAttempt[] {
  whole(`${path}.length`, list.length, 0, HELD_AT_MOST);
  return list.map((one, i) => ({
    attempt: attempt(`${path}[${i}].attempt`, one.attempt),
    token: token(`${path}[${i}].token`, one.token),
  }));
}

/** `known`: names that were found right before; they are the same in every report. */
export function metrics(
  path: string,
  list: readonly Metric[],
  known: ReadonlySet<string>,
): Readonly<Record<string, MetricValue>> {
  if (list.length < 1 || list.length > METRICS_AT_MOST) whole(`${path}.length`, list.length, 1, METRICS_AT_MOST);
  const values: Record<string, MetricValue> = {};
  for (let i = 0; i < list.length; i += 1) {
    const metric = list[i] as Metric;
    const key = metric.name;
    if (!known.has(key)) {
      name(`${path}[${i}].name`, key, METRIC_NAME, "a letter, then letters, digits and _ . : / -");
    }
    if (Object.hasOwn(values, key)) throw bad(`${path}[${i}].name`, "each metric once", key);
    const { value } = metric;
    const plain = value?.$case === "number" && Number.isFinite(value.value);
    // No name reaches a setter of Object.prototype: those begin with an underscore.
    values[key] = plain ? value.value : metricValue(`${path}[${i}].value`, metric);
  }
  return values;
}

function metricValue(path: string, metric: Metric): MetricValue {
  const value = metric.value;
  if (value === undefined) throw bad(path, "a number, nan, inf or -inf", "nothing");
  if (value.$case === "number") {
    if (!Number.isFinite(value.value)) throw bad(path, "a finite number (others travel as their names)", value.value);
    return value.value;
  }
  const text = value.value;
  if (text !== "nan" && text !== "inf" && text !== "-inf") throw bad(path, "nan, inf or -inf", text);
  return text;
}
