/**
 * The corpus of bad input: wrong files, messages, requests and command lines, each with the message it must give. A
 * manifest a kind; the runners beside this file feed them to the real program.
 *
 * In a message `…` stands for any text: lists that grow with the product (networks, columns) are not what is tested.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export const corpus = fileURLToPath(new URL("./", import.meta.url));

export function manifest<T>(kind: string): readonly T[] {
  return JSON.parse(readFileSync(join(corpus, kind, "manifest.json"), "utf8")) as readonly T[];
}

/** Files of a kind that its manifest does not name, and names without a file: both must be none. */
export function strays(kind: string, named: readonly string[]): readonly string[] {
  const there = readdirSync(join(corpus, kind)).filter((name) => name !== "manifest.json");
  return [...there.filter((name) => !named.includes(name)), ...named.filter((name) => !there.includes(name))];
}

export function expectMessage(found: string, wanted: string): void {
  const parts = wanted.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (parts.length === 1) expect(found).toBe(wanted);
  else expect(found).toMatch(new RegExp(`^${parts.join("[\\s\\S]*")}$`));
}

/**
 * A value of a manifest with what JSON cannot say: `{$repeat: [TEXT, N]}`, `{$list: [VALUE, N]}`, `{$number: "NaN"}`.
 */
export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("$repeat" in value) {
    const [text, times] = value.$repeat as readonly [string, number];
    return text.repeat(times);
  }
  if ("$list" in value) {
    const [one, times] = value.$list as readonly [unknown, number];
    return Array.from({ length: times }, () => plain(one));
  }
  if ("$number" in value) return Number(value.$number);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}
