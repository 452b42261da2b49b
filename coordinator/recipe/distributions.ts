/**
 * W&B's distributions, with W&B's names, keys, defaults and meaning, compiled to the core's canonical forms; beside them
 * `zero_or_log`.
 *
 * Guarantees: without `distribution` the same one is inferred as W&B infers; what is legal but almost never meant (natural
 * exponents in `log_uniform`, whole numbers from `min: 0, max: 1`, rounding beyond the bounds) is said in a warning. Not
 * here: whether the values suit the parameter (ranges.ts).
 */
import { quantise } from "../core/space/quantise.js";
import type { Distribution, ParameterValue } from "../core/types.js";
import { type FileNode, type MapEntry, type MapNode, type Numeral, type Position, Reader } from "./reader.js";

export const DISTRIBUTIONS = [
  "constant",
  "categorical",
  "categorical_w_probabilities",
  "int_uniform",
  "uniform",
  "q_uniform",
  "log_uniform",
  "log_uniform_values",
  "q_log_uniform",
  "q_log_uniform_values",
  "inv_log_uniform",
  "inv_log_uniform_values",
  "normal",
  "q_normal",
  "log_normal",
  "q_log_normal",
  "beta",
  "q_beta",
  "zero_or_log",
] as const;

export type DistributionName = (typeof DISTRIBUTIONS)[number];

const KEYS: Readonly<Record<DistributionName, readonly string[]>> = {
  constant: ["value"],
  categorical: ["values"],
  categorical_w_probabilities: ["values", "probabilities"],
  int_uniform: ["min", "max"],
  uniform: ["min", "max"],
  q_uniform: ["min", "max", "q"],
  log_uniform: ["min", "max"],
  log_uniform_values: ["min", "max"],
  q_log_uniform: ["min", "max", "q"],
  q_log_uniform_values: ["min", "max", "q"],
  inv_log_uniform: ["min", "max"],
  inv_log_uniform_values: ["min", "max"],
  normal: ["mu", "sigma"],
  q_normal: ["mu", "sigma", "q"],
  log_normal: ["mu", "sigma"],
  q_log_normal: ["mu", "sigma", "q"],
  beta: ["a", "b"],
  q_beta: ["a", "b", "q"],
  zero_or_log: ["p", "min", "max"],
};

const ALL_KEYS = ["distribution", "value", "values", "probabilities", "min", "max", "q", "mu", "sigma", "a", "b", "p"];

export interface CompiledDistribution {
  readonly distribution: Distribution;
  readonly name: DistributionName;
  readonly at: Position;
}

/** `numeric`: the parameter is a number, so text that looks like one is taken as one (with a warning). */
export function compileDistribution(
  reader: Reader,
  node: FileNode,
  path: string,
  numeric: boolean,
): CompiledDistribution {
  const what = "a mapping such as {min: 0.1, max: 1.0}, {values: [1, 2]} or {value: 1}";
  const map = reader.map(node, path, what);
  const nested = map.entries.find((entry) => entry.key === "parameters");
  if (nested !== undefined) {
    throw reader.error(
      nested.keyAt,
      `${path}.parameters`,
      "nested parameters mean nothing here; write them at the first level",
    );
  }
  const fields = reader.fields(node, path, ALL_KEYS, what);
  const one = new Fields(reader, fields, map, path, numeric);
  const name = one.name();
  const allowed = KEYS[name];
  for (const entry of map.entries) {
    if (entry.key === "distribution" || allowed.includes(entry.key)) continue;
    const hint =
      name === "categorical" && entry.key === "probabilities"
        ? "; with probabilities the distribution is categorical_w_probabilities"
        : "";
    throw reader.error(
      entry.keyAt,
      `${path}.${entry.key}`,
      `${name} takes ${allowed.join(", ")}, found ${entry.key}${hint}`,
      allowed.join(", "),
      entry.key,
    );
  }
  return { distribution: build(one, name), name, at: map.at };
}

/** The members of one parameter, read with their paths. */
class Fields {
  readonly reader: Reader;
  readonly map: MapNode;
  readonly path: string;
  readonly #fields: ReadonlyMap<string, MapEntry>;
  readonly #numeric: boolean;

  constructor(reader: Reader, fields: ReadonlyMap<string, MapEntry>, map: MapNode, path: string, numeric: boolean) {
    this.#numeric = numeric;
    this.reader = reader;
    this.#fields = fields;
    this.map = map;
    this.path = path;
  }

  has(key: string): boolean {
    return this.#fields.has(key);
  }

  at(key: string): Position {
    return this.#fields.get(key)?.value.at ?? this.map.at;
  }

  node(key: string, name: string): FileNode {
    const entry = this.#fields.get(key);
    if (entry !== undefined) return entry.value;
    throw this.reader.error(this.map.at, this.path, `${name} needs ${key}`, key, "no such key");
  }

  number(key: string, name: string): Numeral {
    return this.reader.number(this.node(key, name), `${this.path}.${key}`);
  }

  value(node: FileNode, path: string): ParameterValue {
    const number = this.#numeric ? this.reader.numeral(node, path) : null;
    return number === null ? parameterValue(this.reader, node, path) : number.value;
  }

  warn(message: string, key?: string): void {
    this.reader.warn(key === undefined ? this.map.at : this.at(key), this.path, message);
  }

  name(): DistributionName {
    const given = this.#fields.get("distribution");
    if (given !== undefined) return this.reader.choice(given.value, `${this.path}.distribution`, DISTRIBUTIONS);
    if (this.has("values")) return this.has("probabilities") ? "categorical_w_probabilities" : "categorical";
    if (this.has("value")) return "constant";
    if (this.has("min") && this.has("max")) {
      const ends = [this.numeral("min"), this.numeral("max")];
      return ends.every((end) => end?.whole) ? "int_uniform" : "uniform";
    }
    const keys = this.map.entries.map((entry) => entry.key).join(", ") || "no keys";
    throw this.reader.error(
      this.map.at,
      this.path,
      `expected value, values, min and max, or distribution, found ${keys}`,
      "value, values, min and max, or distribution",
      keys,
    );
  }

  /** Looks without warning: the number is read again where it is used. */
  numeral(key: string): Numeral | null {
    const entry = this.#fields.get(key);
    return entry ? new Reader("").numeral(entry.value, "") : null;
  }
}

function build(one: Fields, name: DistributionName): Distribution {
  switch (name) {
    case "constant":
      return { kind: "constant", value: one.value(one.node("value", name), `${one.path}.value`) };
    case "categorical":
    case "categorical_w_probabilities":
      return categorical(one, name);
    case "int_uniform":
      return intUniform(one, name);
    case "uniform":
    case "q_uniform": {
      const { min, max } = ends(one, name);
      const { q, integer } = quantum(one, name);
      if (q !== null) warnBeyond(one, min, max, q);
      return { kind: "uniform", min, max, q, integer };
    }
    case "log_uniform":
    case "q_log_uniform":
    case "inv_log_uniform":
      return logUniform(one, name, true);
    case "log_uniform_values":
    case "q_log_uniform_values":
    case "inv_log_uniform_values":
      return logUniform(one, name, false);
    case "normal":
    case "q_normal":
    case "log_normal":
    case "q_log_normal": {
      const mu = one.has("mu") ? one.number("mu", name).value : 0;
      const sigma = positive(one, "sigma", 1);
      return { kind: name.endsWith("log_normal") ? "log_normal" : "normal", mu, sigma, ...quantum(one, name) };
    }
    case "beta":
    case "q_beta":
      return { kind: "beta", a: positive(one, "a", 1), b: positive(one, "b", 1), ...quantum(one, name) };
    case "zero_or_log": {
      const p = one.reader.number(one.node("p", name), `${one.path}.p`, { min: 0, max: 1 }).value;
      const { min, max } = ends(one, name, true);
      return { kind: "zero_or_log", p, min, max };
    }
  }
}

function parameterValue(reader: Reader, node: FileNode, path: string): ParameterValue {
  if (node.kind === "scalar" && node.value !== null) return node.value;
  throw reader.unexpected(node, path, "a number, text or true/false");
}

function categorical(one: Fields, name: DistributionName): Distribution {
  const { reader, path } = one;
  const items = reader.list(one.node("values", name), `${path}.values`, "a list of values");
  const values = items.map((item, i) => one.value(item, `${path}.values[${i}]`));
  const twice = values.findIndex((value, i) => values.indexOf(value) !== i);
  if (twice >= 0 && items[twice])
    throw reader.error(items[twice].at, `${path}.values[${twice}]`, `${String(values[twice])} stands there twice`);
  if (name === "categorical") return { kind: "categorical", values, probabilities: null };
  const node = one.node("probabilities", name);
  const weights = reader.list(node, `${path}.probabilities`, "a list of probabilities");
  const probabilities = weights.map(
    (weight, i) => reader.number(weight, `${path}.probabilities[${i}]`, { min: 0, max: 1 }).value,
  );
  if (probabilities.length !== values.length) {
    const expected = `${values.length} probabilities, one a value`;
    throw reader.error(
      node.at,
      `${path}.probabilities`,
      `expected ${expected}, found ${probabilities.length}`,
      expected,
      String(probabilities.length),
    );
  }
  const sum = probabilities.reduce((total, probability) => total + probability, 0);
  if (Math.abs(sum - 1) > 1e-6) {
    throw reader.error(
      node.at,
      `${path}.probabilities`,
      `expected a sum of 1, found ${sum}`,
      "a sum of 1",
      String(sum),
    );
  }
  return { kind: "categorical", values, probabilities };
}

function intUniform(one: Fields, name: DistributionName): Distribution {
  const { min, max } = ends(one, name);
  for (const [key, value] of [
    ["min", min],
    ["max", max],
  ] as const) {
    if (!Number.isSafeInteger(value)) {
      throw one.reader.error(
        one.at(key),
        `${one.path}.${key}`,
        `expected a whole number, found ${value}`,
        "a whole number",
        String(value),
      );
    }
  }
  return { kind: "int_uniform", min, max };
}

/** `min` and `max`, the first below the second. */
function ends(
  one: Fields,
  name: DistributionName,
  positiveOnly = false,
): { readonly min: number; readonly max: number } {
  const bounds = positiveOnly ? { min: 0, above: true } : {};
  const min = one.reader.number(one.node("min", name), `${one.path}.min`, bounds).value;
  const max = one.reader.number(one.node("max", name), `${one.path}.max`, bounds).value;
  if (min >= max) {
    throw one.reader.error(
      one.at("max"),
      `${one.path}.max`,
      `expected a number > min (${min}), found ${max}`,
      `> ${min}`,
      String(max),
    );
  }
  return { min, max };
}

function positive(one: Fields, key: string, fallback: number): number {
  if (!one.has(key)) return fallback;
  return one.reader.number(one.node(key, ""), `${one.path}.${key}`, { min: 0, above: true }).value;
}

/** W&B rounds to multiples of q (1 if absent) and gives integers where q was written as one. */
function quantum(one: Fields, name: DistributionName): { readonly q: number | null; readonly integer: boolean } {
  if (!KEYS[name].includes("q")) return { q: null, integer: false };
  if (!one.has("q")) return { q: 1, integer: true };
  const { value, whole } = one.reader.number(one.node("q", name), `${one.path}.q`, { min: 0, above: true });
  return { q: value, integer: whole };
}

function logUniform(one: Fields, name: DistributionName, exponents: boolean): Distribution {
  let { min, max } = ends(one, name, !exponents);
  if (name.startsWith("inv_")) one.warn(`${name} draws the same as ${name.slice(4)}, whatever its name says`);
  if (exponents) {
    const better = `${name.replace("inv_", "")}_values`;
    const suspicious = min > 0 ? ` (was ${better} meant?)` : "";
    const [from, to] = [Math.exp(min), Math.exp(max)];
    if (from === 0 || !Number.isFinite(to)) {
      throw one.reader.error(
        one.at("min"),
        one.path,
        `${name} takes natural exponents; e^${min} to e^${max} is out of reach; use ${better}`,
      );
    }
    one.warn(
      `${name} takes natural exponents, so it draws from ${short(from)} to ${short(to)}${suspicious}; ${better} takes the values`,
    );
    min = from;
    max = to;
  }
  const { q, integer } = quantum(one, name);
  if (q !== null) warnBeyond(one, min, max, q);
  return { kind: "log_uniform", min, max, q, integer };
}

const short = (value: number): string => String(Number(value.toPrecision(4)));

function warnBeyond(one: Fields, min: number, max: number, q: number): void {
  const [low, high] = [quantise(min, q, false), quantise(max, q, false)];
  if (low >= min && high <= max) return;
  one.warn(
    `rounding to multiples of ${q} is not clipped (as in W&B): it draws from ${short(low)} to ${short(high)}`,
    "q",
  );
}
