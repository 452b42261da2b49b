/**
 * Canonical JSON: one text for one value, so that equal values have equal keys and digests.
 *
 * Guarantees: keys sorted by UTF-16 code units, no white space, numbers as JavaScript prints them (the shortest text that
 * reads back the same). Throws on numbers that JSON cannot hold. Not here: hashing.
 */
import { ConvsweepError } from "../../proto/contract.js";
import type { Json } from "./types.js";

export function canonicalJson(value: Json): string {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new ConvsweepError("INTERNAL", "a number that is not finite has no JSON text", { found: String(value) });
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  let text = "";
  if (isArray(value)) {
    for (const item of value) text += `${text === "" ? "" : ","}${canonicalJson(item)}`;
    return `[${text}]`;
  }
  for (const key of Object.keys(value).sort()) {
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${canonicalJson(value[key] ?? null)}`;
  }
  return `{${text}}`;
}

/** `Array.isArray` that knows read-only arrays. */
export function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** Member `key` of an object; `null` where `value` is no object or has no such member. */
export function member(value: Json, key: string): Json {
  if (value === null || typeof value !== "object" || isArray(value)) return null;
  return Object.hasOwn(value, key) ? (value[key] ?? null) : null;
}
