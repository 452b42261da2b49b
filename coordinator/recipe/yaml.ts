/**
 * Text of a sweep file to a tree: YAML 1.2 core (JSON is a part of it), within limits.
 *
 * Guarantees: at most 1 MiB, 10,000 values, 64 levels and 100 aliases, whatever the text; no tags, no directives, no
 * second document, no doubled key; numbers are finite and integers exact; a parser's warning is an error. Every refusal
 * names file, line and column. Not here: which keys mean something.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from "yaml";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import type { FileNode, MapEntry, Position } from "./node.js";

const MAX_DEPTH = 64;
const MAX_NODES = 10_000;
const MAX_ALIASES = 100;
/** Names that would reach into JavaScript's own objects. */
const REFUSED_KEYS = ["__proto__", "constructor", "prototype"];

export function refusal(fileName: string, at: Position, message: string, expected = "", found = ""): ConvsweepError {
  const path = `${fileName}:${at.line}:${at.column}`;
  return new ConvsweepError("BAD_INPUT", `${path}: ${message}`, {
    path,
    ...(expected ? { expected } : {}),
    ...(found ? { found } : {}),
  });
}

export function parseFile(text: string, fileName: string): FileNode {
  const start: Position = { line: 1, column: 1 };
  const bytes = Buffer.byteLength(text);
  if (bytes > LIMITS.sweepFileBytes) {
    throw new ConvsweepError("TOO_LARGE", `${fileName}: a sweep file has at most 1 MiB, found ${bytes} bytes`, {
      path: fileName,
      expected: `at most ${LIMITS.sweepFileBytes} bytes`,
      found: `${bytes} bytes`,
    });
  }
  const lines = new LineCounter();
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const document = parseText(text.replace(/^\uFEFF/, ""), lines);
  if (document === null) throw refusal(fileName, start, `nested deeper than ${MAX_DEPTH} levels`);
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    throw refusal(fileName, position(problem.pos[0]), `not valid YAML: ${said(problem.message)}`);
  }
  if (document.contents === null)
    throw refusal(fileName, start, "the file is empty; expected a sweep", "a sweep", "nothing");
  return new Converter(fileName, document, position).convert(document.contents as Node, 0, "");
}

/** `null` where the parser ran out of stack. */
function parseText(text: string, lineCounter: LineCounter): Document.Parsed | null {
  try {
    return parseDocument(text, {
      version: "1.2",
      schema: "core",
      strict: true,
      uniqueKeys: true,
      intAsBigInt: true,
      prettyErrors: false,
      lineCounter,
    });
  } catch (thrown) {
    if (thrown instanceof RangeError) return null;
    throw thrown;
  }
}

/** The parser's first sentence, without advice to programmers. */
function said(message: string): string {
  if (message.startsWith("Source contains multiple documents"))
    return "a sweep file holds one document, found `---` and more";
  if (message === "Map keys must be unique") return "the key stands there twice";
  return message.replace(/^Unresolved tag: (.*)$/, "the tag $1 is not known").replace(/^[A-Z]/, (c) => c.toLowerCase());
}

class Converter {
  #nodes = 0;
  #aliases = 0;
  readonly #fileName: string;
  readonly #document: Document;
  readonly #position: (offset: number) => Position;

  constructor(fileName: string, document: Document, position: (offset: number) => Position) {
    this.#fileName = fileName;
    this.#document = document;
    this.#position = position;
  }

  convert(node: Node | null | undefined, depth: number, path: string): FileNode {
    const at = this.#position(node?.range?.[0] ?? 0);
    this.#nodes += 1;
    if (this.#nodes > MAX_NODES) throw this.#refuse(at, `more than ${MAX_NODES} values in one file`);
    if (depth > MAX_DEPTH) throw this.#refuse(at, `nested deeper than ${MAX_DEPTH} levels`);
    if (node === null || node === undefined) return { kind: "scalar", value: null, whole: false, at };
    if (isAlias(node)) return this.#resolve(node, depth, path, at);
    if (isSeq(node)) {
      return {
        kind: "list",
        at,
        items: node.items.map((item, i) => this.convert(item as Node, depth + 1, `${path}[${i}]`)),
      };
    }
    if (isMap(node)) {
      const entries = node.items.map((pair) => this.#entry(pair.key, pair.value as Node | null, depth, path, at));
      return { kind: "map", at, entries };
    }
    if (isScalar(node)) return { kind: "scalar", at, ...this.#scalar(node.value, node.source, at, path) };
    throw this.#refuse(at, "something that is neither a value, a list nor a mapping");
  }

  #entry(key: unknown, value: Node | null, depth: number, path: string, mapAt: Position): MapEntry {
    if (!isScalar(key))
      throw this.#refuse(mapAt, `${path ? `${path}: ` : ""}expected names as keys, found a list or mapping`);
    const keyAt = this.#position(key.range?.[0] ?? 0);
    const name = typeof key.value === "string" ? key.value : (key.source ?? String(key.value));
    if (REFUSED_KEYS.includes(name)) throw this.#refuse(keyAt, `the key ${name} is not allowed`);
    const child = this.convert(value, depth + 1, path ? `${path}.${name}` : name);
    // A value left out has no place of its own: point at its key.
    return { key: name, keyAt, value: value === null ? { ...child, at: keyAt } : child };
  }

  #resolve(alias: Alias, depth: number, path: string, at: Position): FileNode {
    this.#aliases += 1;
    if (this.#aliases > MAX_ALIASES) throw this.#refuse(at, `more than ${MAX_ALIASES} aliases in one file`);
    const target = alias.resolve(this.#document);
    if (target === undefined) throw this.#refuse(at, `the alias *${alias.source} refers to nothing`);
    return this.convert(target as Node, depth + 1, path);
  }

  #scalar(value: unknown, source: string | undefined, at: Position, path: string) {
    const here = path ? `${path}: ` : "";
    if (typeof value === "bigint") {
      const number = Number(value);
      if (!Number.isSafeInteger(number))
        throw this.#refuse(at, `${here}expected a whole number below 2^53, found ${source}`);
      return { value: number, whole: true };
    }
    if (typeof value === "number") {
      if (!Number.isFinite(value)) throw this.#refuse(at, `${here}expected a finite number, found ${source}`);
      return { value, whole: false };
    }
    if (value === null || typeof value === "boolean") return { value, whole: false };
    if (typeof value !== "string") throw this.#refuse(at, `${here}expected text, a number or true/false`);
    if (/\p{Surrogate}/u.test(value)) throw this.#refuse(at, `${here}expected text, found half a character`);
    return { value, whole: false };
  }

  #refuse(at: Position, message: string): ConvsweepError {
    return refusal(this.#fileName, at, message);
  }
}
