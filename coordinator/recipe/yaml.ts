/**
 * Text of a sweep file to a tree: YAML 1.2 core (JSON is a part of it), within limits.
 *
 * Guarantees: at most 1 MiB, 10,000 values, 64 levels and 100 aliases, whatever the text; no tags, no directives, no
 * second document, no doubled key; numbers are finite and integers exact; no character that cannot be seen or that turns
 * text around; a parser's warning is an error. Every refusal names file, line and column. Not here: which keys mean something.
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
const TOO_DEEP = `nested deeper than ${MAX_DEPTH} levels`;
const MAX_NODES = 10_000;
const MAX_ALIASES = 100;
/** Names that would reach into JavaScript's own objects. */
const REFUSED_KEYS = ["__proto__", "constructor", "prototype"];

/**
 * Control characters but tab and line ends, and those that make text run the other way: nobody sees them, and they can
 * make a name look like another.
 */
const INVISIBLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufffd]/u;

const codePoint = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

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
  const source = text.replace(/^\uFEFF/, "");
  checkText(source, fileName);
  const document = parseText(source, lines);
  if (document === null) throw refusal(fileName, start, TOO_DEEP);
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const format = fileName.endsWith(".json") ? "JSON" : "YAML";
    const words = said(problem.message, source.slice(problem.pos[0], problem.pos[0] + 80));
    throw refusal(fileName, position(problem.pos[0]), `not valid ${format}: ${words}`);
  }
  if (document.contents === null)
    throw refusal(fileName, start, "the file is empty; expected a sweep", "a sweep", "nothing");
  return new Converter(fileName, document, position).convert(document.contents as Node, 0, "");
}

/** What must not stand anywhere in the file, whatever it would mean. */
function checkText(source: string, fileName: string): void {
  const at = source.search(INVISIBLE);
  if (at >= 0) {
    const before = source.slice(0, at).split(/\r\n?|\n/);
    const place = { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
    const character = source[at] ?? "";
    const what =
      character === "\ufffd"
        ? "expected UTF-8 text, found other bytes"
        : `the character ${codePoint(character)}, which nobody can see, has no place in a sweep file`;
    throw refusal(fileName, place, what);
  }
  // The parser would run out of stack, slowly.
  const deep = source.search(new RegExp(`(?:[[{]\\s*){${MAX_DEPTH + 1}}`));
  if (deep >= 0) {
    const before = source.slice(0, deep).split("\n");
    throw refusal(fileName, { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }, TOO_DEEP);
  }
  const first = source.split("\n").findIndex((line) => !/^\s*(?:#.*)?$/.test(line));
  if (/^%(?:YAML|TAG)\b/.test(source.split("\n")[first] ?? ""))
    throw refusal(
      fileName,
      { line: first + 1, column: 1 },
      "directives (%YAML, %TAG) are not allowed; the format is YAML 1.2",
    );
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

/** The parser's first sentence, in the words of people; `there` is the text it speaks of. */
function said(message: string, there: string): string {
  if (/call stack/i.test(message)) return TOO_DEEP;
  if (message.startsWith("Source contains multiple documents"))
    return "a sweep file holds one document, found `---` and more";
  if (message === "Map keys must be unique") {
    const key = /^"[^"]*"|^[^\s:,{}[\]]+/.exec(there)?.[0] ?? "";
    return `the key ${key} stands there twice`;
  }
  const unclosed = /^Flow (map|sequence) in block collection must be sufficiently indented/.exec(message)?.[1];
  if (unclosed !== undefined)
    return unclosed === "map"
      ? "a { is not closed by }, or not indented enough"
      : "a [ is not closed by ], or not indented enough";
  if (/^Missing closing ["']quote$/.test(message)) return `a text that begins with ${message.at(16)} has no end`;
  if (message === "Unexpected scalar at node end") return "something follows where the value has ended";
  if (message === "All mapping items must start at the same column")
    return "the keys of a mapping must begin in the same column";
  return message
    .replace(/^Unresolved tag: (?:tag:yaml\.org,2002:(.*)|(.*))$/, (_all, core?: string, own?: string) =>
      core === undefined ? `the tag ${own} is not known` : `the tag !!${core} is not known`,
    )
    .replace(/^[A-Z]/, (c) => c.toLowerCase());
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
    if (depth > MAX_DEPTH) throw this.#refuse(at, TOO_DEEP);
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
    if (typeof value !== "string")
      throw this.#refuse(at, `${here}expected text, a number or true/false, found binary data`);
    const unseen = INVISIBLE.exec(value)?.[0];
    if (unseen !== undefined)
      throw this.#refuse(at, `${here}expected text that can be seen, found ${codePoint(unseen)} in it`);
    if (/\p{Surrogate}/u.test(value)) throw this.#refuse(at, `${here}expected text, found half a character`);
    return { value, whole: false };
  }

  #refuse(at: Position, message: string): ConvsweepError {
    return refusal(this.#fileName, at, message);
  }
}
