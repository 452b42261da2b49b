/**
 * Reads typed values out of a file's tree; everything wrong becomes one message with file, line, column, key path, what was
 * expected, what was found and, for a mistyped word, the nearest known one.
 *
 * Numbers that arrive as text (`"1e-3"`, as YAML 1.1 tools write and read them) are taken with a warning. Not here: the
 * sweep file's own keys.
 */
import type { ConvsweepError } from "../../proto/contract.js";
import { nearest } from "./nearest.js";
import { describe, type FileNode, type MapEntry, type MapNode, type Position } from "./node.js";
import { refusal } from "./yaml.js";

const NUMERIC = /^[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.(?:[0-9]+(?:_[0-9]+)*)?)?|\.[0-9]+(?:_[0-9]+)*)(?:[eE][-+]?[0-9]+)?$/;
const YAML_1_1_FLAGS: Readonly<Record<string, boolean>> = { yes: true, on: true, no: false, off: false };

export interface Bounds {
  readonly min?: number;
  readonly max?: number;
  /** `min` itself is not allowed. */
  readonly above?: boolean;
  /** `max` itself is not allowed. */
  readonly below?: boolean;
}

/** A number and whether it was written as a whole one. */
export interface Numeral {
  readonly value: number;
  readonly whole: boolean;
}

function wordsOf(what: string, { min, max, above, below }: Bounds): string {
  const parts: string[] = [];
  if (min !== undefined) parts.push(`${above ? ">" : ">="} ${min}`);
  if (max !== undefined) parts.push(`${below ? "<" : "<="} ${max}`);
  return parts.length === 0 ? what : `${what} ${parts.join(" and ")}`;
}

export function outside(value: number, { min, max, above, below }: Bounds): boolean {
  if (min !== undefined && (above ? value <= min : value < min)) return true;
  return max !== undefined && (below ? value >= max : value > max);
}

export class Reader {
  readonly warnings: string[] = [];
  readonly #fileName: string;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  warn(at: Position, path: string, message: string): void {
    this.warnings.push(`${this.#fileName}:${at.line}:${at.column}: ${path}: ${message}`);
  }

  error(at: Position, path: string, message: string, expected = "", found = ""): ConvsweepError {
    return refusal(this.#fileName, at, `${path ? `${path}: ` : ""}${message}`, expected, found);
  }

  unexpected(node: FileNode, path: string, expected: string, more = ""): ConvsweepError {
    const found = describe(node);
    return this.error(node.at, path, `expected ${expected}, found ${found}${more}`, expected, found);
  }

  map(node: FileNode, path: string, what = "a mapping"): MapNode {
    if (node.kind !== "map") throw this.unexpected(node, path, what);
    return node;
  }

  /** Entries of a mapping by name; a key that is not in `known` is refused, and the message lists those in `shown`. */
  fields(
    node: FileNode,
    path: string,
    known: readonly string[],
    what = "a mapping",
    shown = known,
  ): ReadonlyMap<string, MapEntry> {
    const map = this.map(node, path, what);
    for (const entry of map.entries)
      if (!known.includes(entry.key)) throw this.unknownKey(entry, path, known, "key", shown);
    return new Map(map.entries.map((entry) => [entry.key, entry]));
  }

  unknownKey(entry: MapEntry, path: string, known: readonly string[], what = "key", shown = known): ConvsweepError {
    const full = path ? `${path}.${entry.key}` : entry.key;
    const near = nearest(entry.key, known);
    const hint = near === null ? `the ${what}s here are ${shown.join(", ")}` : `did you mean ${near}?`;
    return this.error(entry.keyAt, full, `unknown ${what}; ${hint}`, near ?? shown.join(", "), entry.key);
  }

  text(node: FileNode, path: string, what = "text"): string {
    if (node.kind === "scalar" && typeof node.value === "string") return node.value;
    throw this.unexpected(node, path, what);
  }

  choice<T extends string>(node: FileNode, path: string, known: readonly T[]): T {
    const list = `one of ${known.join(", ")}`;
    const value = this.text(node, path, list);
    const found = known.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    const near = nearest(value, known);
    throw this.unexpected(node, path, list, near === null ? "" : `; did you mean ${near}?`);
  }

  flag(node: FileNode, path: string): boolean {
    if (node.kind === "scalar" && typeof node.value === "boolean") return node.value;
    const old = node.kind === "scalar" && typeof node.value === "string" ? node.value.toLowerCase() : "";
    const meant = Object.hasOwn(YAML_1_1_FLAGS, old) ? YAML_1_1_FLAGS[old] : undefined;
    throw this.unexpected(node, path, "true or false", meant === undefined ? "" : `; in YAML 1.2 write ${meant}`);
  }

  number(node: FileNode, path: string, bounds: Bounds = {}): Numeral {
    const expected = wordsOf("a number", bounds);
    const numeral = this.numeral(node, path);
    if (numeral === null || outside(numeral.value, bounds)) throw this.unexpected(node, path, expected);
    return numeral;
  }

  whole(node: FileNode, path: string, bounds: Bounds = {}): number {
    const expected = wordsOf("a whole number", bounds);
    const numeral = this.numeral(node, path);
    if (numeral === null || !Number.isSafeInteger(numeral.value) || outside(numeral.value, bounds)) {
      throw this.unexpected(node, path, expected);
    }
    return numeral.value;
  }

  /** A number, also one written as text (with a warning); `null` if it is none. */
  numeral(node: FileNode, path: string): Numeral | null {
    if (node.kind !== "scalar") return null;
    if (typeof node.value === "number") return { value: node.value, whole: node.whole };
    if (typeof node.value !== "string" || !NUMERIC.test(node.value)) return null;
    const value = Number(node.value.replaceAll("_", ""));
    if (!Number.isFinite(value)) return null;
    this.warn(node.at, path, `the text ${JSON.stringify(node.value)} is taken as the number ${value}`);
    return { value, whole: !/[.eE]/.test(node.value) };
  }

  list(node: FileNode, path: string, what = "a list"): readonly FileNode[] {
    if (node.kind !== "list") throw this.unexpected(node, path, what);
    if (node.items.length === 0)
      throw this.error(node.at, path, `expected ${what} that is not empty`, what, "an empty list");
    return node.items;
  }
}

export function isNothing(node: FileNode | undefined): boolean {
  return node === undefined || (node.kind === "scalar" && node.value === null);
}

export type { FileNode, MapEntry, MapNode, Position };
