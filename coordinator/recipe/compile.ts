/**
 * A sweep file to a complete sweep: defaults filled in, names resolved to data, everything checked that can be checked
 * without a worker (network shapes, ranges, metric, grid).
 *
 * Guarantees: the result depends on the text alone; the first thing that is wrong is thrown as one BAD_INPUT with
 * `file:line:column`, key path, what was expected and found, and the nearest known word; what is legal but suspicious
 * comes back as warnings. Not here: drawing, running, whether the data set is on a worker's disk.
 */
import { createHash } from "node:crypto";
import { hyperparameters } from "../../native/hyperparameters.js";
import { type LaneHyperparameter, type Optimizer, RECIPE_VERSION, type Recipe } from "../../native/recipe.js";
import { LIMITS } from "../../proto/contract.js";
import { canonicalJson } from "../core/canonical.js";
import { gridSize } from "../core/samplers/grid.js";
import { SAMPLERS } from "../core/samplers/index.js";
import type { Json, Space, SweepSpec } from "../core/types.js";
import { parseDuration } from "./duration.js";
import { IGNORED_KEYS, type Key, METHODS, OTHER_METHODS, TOP_LEVEL } from "./keys.js";
import { compileNetwork } from "./network.js";
import { compileObjective } from "./objective.js";
import { compileParameters, MAX_EPOCHS, OPTIMIZERS, type Parameter } from "./parameters.js";
import { valuesOf } from "./ranges.js";
import { type FileNode, isNothing, type MapEntry, type MapNode, Reader } from "./reader.js";
import { compileAugmentation, compileDataset, compileSchedule } from "./training.js";
import { parseFile } from "./yaml.js";

/** Of a sweep that names none. */
const DEFAULT_SEED = 1;
const DEFAULT_ATTEMPTS = 3;

export interface CompiledSweep {
  readonly spec: SweepSpec;
  readonly warnings: readonly string[];
}

/** Throws ConvsweepError BAD_INPUT (TOO_LARGE above 1 MiB). `fileName` is for messages and for a sweep without a name. */
export function compileSweep(text: string, fileName: string): CompiledSweep {
  const reader = new Reader(fileName);
  const root = reader.map(parseFile(text, fileName), "", "a mapping: the keys of a sweep");
  return new Compiler(reader, root, text, fileName).compile();
}

export function digestOf(value: Json): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

class Compiler {
  readonly #reader: Reader;
  readonly #root: MapNode;
  readonly #text: string;
  readonly #fileName: string;
  readonly #entries: ReadonlyMap<string, MapEntry>;

  constructor(reader: Reader, root: MapNode, text: string, fileName: string) {
    this.#reader = reader;
    this.#root = root;
    this.#text = text;
    this.#fileName = fileName;
    this.#entries = reader.fields(root, "", TOP_LEVEL);
  }

  compile(): CompiledSweep {
    const reader = this.#reader;
    this.#refuseAndIgnore();
    const dataset = compileDataset(reader, this.#need("dataset"), this.#node("validation"));
    const trainingImages = dataset.train_images - dataset.validation;
    const { spec: network, entry } = compileNetwork(reader, this.#need("network"), dataset);
    const parameters = compileParameters(reader, this.#need("parameters"), trainingImages);
    const optimizer = this.#optimizer(parameters, entry?.defaults.optimizer);
    const testAtEnd = this.#flag("test_at_end");
    const recipe: Recipe = {
      version: RECIPE_VERSION,
      network,
      dataset,
      batch_size: this.#count("batch_size", parameters, entry?.defaults.batch_size, trainingImages),
      epochs: this.#count("epochs", parameters, entry?.defaults.epochs, MAX_EPOCHS),
      optimizer,
      nesterov: this.#nesterov(optimizer, parameters),
      schedule: compileSchedule(reader, this.#node("schedule")),
      augmentation: compileAugmentation(reader, this.#node("augmentation"), dataset),
      precision: "float32",
      shuffle: true,
      test_at_end: testAtEnd,
      hyperparameters: this.#hyperparameters(
        optimizer,
        entry?.defaults.optimizer,
        entry?.defaults.hyperparameters ?? {},
      ),
    };
    this.#adviseOnParameters(parameters, recipe);
    const space = parameters.map(({ name, distribution }) => ({ name, distribution }));
    const { method, runCap } = this.#search(space);
    const data = recipe as unknown as Json;
    const spec: SweepSpec = {
      name: this.#name(),
      description: this.#string("description", ""),
      space,
      sampler: { name: method, options: {} },
      scheduler: { name: "none", options: {} },
      objective: compileObjective(reader, this.#node("metric"), { validation: dataset.validation > 0, testAtEnd }),
      seed: this.#whole("seed", DEFAULT_SEED, { min: 0, max: Number.MAX_SAFE_INTEGER }),
      runCap,
      maxParallel: this.#present("max_parallel") ? this.#whole("max_parallel", 1, { min: 1, max: 1_000_000 }) : null,
      maxWallMillis: this.#wallTime(),
      maxAttempts: this.#whole("max_attempts", DEFAULT_ATTEMPTS, { min: 1, max: 1_000 }),
      recipe: data,
      recipeDigest: digestOf(data),
      epochs: recipe.epochs,
      structural: parameters.filter(({ info }) => info === null).map(({ name }) => name),
      source: this.#text,
    };
    return { spec, warnings: reader.warnings };
  }

  #node(key: Key): FileNode | undefined {
    const node = this.#entries.get(key)?.value;
    return isNothing(node) ? undefined : node;
  }

  #present(key: Key): boolean {
    return this.#node(key) !== undefined;
  }

  #need(key: Key): FileNode {
    const node = this.#node(key);
    if (node === undefined)
      throw this.#reader.error(this.#root.at, key, "the sweep needs this key", key, "no such key");
    return node;
  }

  #string(key: Key, fallback: string): string {
    const node = this.#node(key);
    return node === undefined ? fallback : this.#reader.text(node, key);
  }

  #flag(key: Key): boolean {
    const node = this.#node(key);
    return node === undefined ? false : this.#reader.flag(node, key);
  }

  #whole(key: Key, fallback: number, bounds: { readonly min: number; readonly max: number }): number {
    const node = this.#node(key);
    return node === undefined ? fallback : this.#reader.whole(node, key, bounds);
  }

  #name(): string {
    const stem = (this.#fileName.split(/[/\\]/).at(-1) ?? "").replace(/\.[^.]*$/, "");
    const name = this.#string("name", stem || "sweep").trim();
    const node = this.#node("name");
    if (node !== undefined && (name === "" || name.length > 200)) {
      throw this.#reader.unexpected(node, "name", "text of 1 to 200 characters");
    }
    return name;
  }

  #refuseAndIgnore(): void {
    for (const [key, reason] of Object.entries(IGNORED_KEYS)) {
      const entry = this.#entries.get(key);
      if (entry) this.#reader.warn(entry.keyAt, key, `ignored: ${reason}`);
    }
    const early = this.#node("early_terminate");
    if (early) {
      throw this.#reader.error(
        early.at,
        "early_terminate",
        "this version stops no trial early (scheduler: none); remove the key",
        "no such key",
        "early_terminate",
      );
    }
    const scheduler = this.#node("scheduler");
    if (scheduler) this.#reader.choice(scheduler, "scheduler", ["none"]);
  }

  /** A structural parameter's place in the recipe: each trial puts its own there. */
  #count(
    key: "batch_size" | "epochs",
    parameters: readonly Parameter[],
    fromNetwork: number | undefined,
    max: number,
  ): number {
    const drawn = parameters.find((parameter) => parameter.name === key);
    if (drawn !== undefined) {
      this.#refuseTwice(key);
      return largest(drawn);
    }
    const node = this.#node(key);
    if (node !== undefined) return this.#reader.whole(node, key, { min: 1, max });
    if (fromNetwork === undefined) {
      throw this.#reader.error(this.#root.at, key, "a network given as layers needs this key", key, "no such key");
    }
    return Math.min(fromNetwork, max);
  }

  #optimizer(parameters: readonly Parameter[], fromNetwork: Optimizer | undefined): Optimizer {
    const drawn = parameters.find((parameter) => parameter.name === "optimizer");
    if (drawn !== undefined) {
      this.#refuseTwice("optimizer");
      return OPTIMIZERS.find((optimizer) => optimizer === valuesOf(drawn.distribution)[0]) ?? "momentum";
    }
    const node = this.#node("optimizer");
    return node === undefined ? (fromNetwork ?? "momentum") : this.#reader.choice(node, "optimizer", OPTIMIZERS);
  }

  #refuseTwice(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || isNothing(entry.value)) return;
    const message = "stands here and in parameters; keep one of them";
    throw this.#reader.error(entry.keyAt, key, message, "one of them", "both");
  }

  #nesterov(optimizer: Optimizer, parameters: readonly Parameter[]): boolean {
    const nesterov = this.#flag("nesterov");
    const node = this.#node("nesterov");
    const searched = parameters.some((parameter) => parameter.name === "optimizer");
    if (nesterov && node && optimizer !== "momentum" && !searched) {
      const message = `only the optimizer momentum has it, found ${optimizer}`;
      throw this.#reader.error(node.at, "nesterov", message, "optimizer: momentum", optimizer);
    }
    return nesterov;
  }

  /** The file's values, else the network's (if it was made for this optimiser), else the usual ones. */
  #hyperparameters(
    optimizer: Optimizer,
    networkOptimizer: Optimizer | undefined,
    fromNetwork: Readonly<Partial<Record<LaneHyperparameter, number>>>,
  ): Recipe["hyperparameters"] {
    const values = hyperparameters.map((info) => {
      const suits = optimizer === networkOptimizer || info.name === "l2";
      const fallback = (suits ? fromNetwork[info.name] : undefined) ?? info.fallback[optimizer];
      return [info.name, this.#hyperparameter(info) ?? fallback] as const;
    });
    return Object.fromEntries(values) as Recipe["hyperparameters"];
  }

  #hyperparameter(info: (typeof hyperparameters)[number]): number | null {
    const reader = this.#reader;
    const given = [info.name, ...info.aliases]
      .map((name) => this.#entries.get(name))
      .filter((entry) => entry !== undefined);
    const [entry, second] = given;
    if (entry === undefined) return null;
    if (second !== undefined) {
      throw reader.error(second.keyAt, second.key, `${entry.key} is the same hyperparameter`, "one of them", "both");
    }
    if (entry.key !== info.name) reader.warn(entry.keyAt, entry.key, `recorded as ${info.name}`);
    if (isNothing(entry.value)) return null;
    if (entry.value.kind === "map") {
      throw reader.unexpected(entry.value, entry.key, "a number", "; distributions stand under parameters");
    }
    const { low, high, openLow, openHigh } = info.range;
    return reader.number(entry.value, entry.key, { min: low, max: high, above: openLow, below: openHigh }).value;
  }

  /** What is legal and yet not what anybody means. */
  #adviseOnParameters(parameters: readonly Parameter[], recipe: Recipe): void {
    const searched = parameters.find((parameter) => parameter.name === "optimizer");
    const used = searched ? valuesOf(searched.distribution) : [recipe.optimizer];
    for (const { name, info, at } of parameters) {
      const path = `parameters.${name}`;
      const fixed = info && [info.name, ...info.aliases].find((known) => !isNothing(this.#entries.get(known)?.value));
      if (fixed) this.#reader.warn(at, path, `drawn for every trial, so ${fixed} at the first level is not used`);
      if (info?.optimizers && !info.optimizers.some((optimizer) => used.includes(optimizer))) {
        this.#reader.warn(at, path, `the optimizer ${used.join(", ")} does not use it`);
      }
      if (name === "dropout" && !recipe.network.layers.some((layer) => layer.op === "dropout")) {
        this.#reader.warn(at, path, "the network has no dropout layer, so it changes nothing");
      }
    }
    const rates = new Set(parameters.map((parameter) => parameter.name));
    if (searched && !rates.has("learning_rate") && used.length > 1) {
      const rate = recipe.hyperparameters.learning_rate;
      this.#reader.warn(searched.at, "parameters.optimizer", `every optimizer gets the learning rate ${String(rate)}`);
    }
  }

  #search(space: Space): { readonly method: string; readonly runCap: number } {
    const reader = this.#reader;
    const node = this.#need("method");
    if (node.kind === "scalar" && OTHER_METHODS.includes(String(node.value))) {
      throw reader.unexpected(node, "method", `one of ${METHODS.join(", ")}`, "; this version has no other");
    }
    const method = reader.choice(node, "method", METHODS);
    const refused = SAMPLERS.get(method)?.check(space, {}) ?? null;
    if (refused !== null) {
      const at = this.#positionOf(refused.path ?? "") ?? node.at;
      const details = `expected ${refused.expected}, found ${refused.found}`;
      throw reader.error(
        at,
        refused.path ?? "",
        `${refused.message}; ${details}`,
        refused.expected ?? "",
        refused.found ?? "",
      );
    }
    const cap = this.#node("run_cap");
    const given = cap === undefined ? null : reader.whole(cap, "run_cap", { min: 1, max: LIMITS.trialsPerSweep });
    if (method === "random") {
      if (given !== null) return { method, runCap: given };
      throw reader.error(
        this.#root.at,
        "run_cap",
        "random search goes on for ever without it: say how many trials",
        "a whole number >= 1",
        "no such key",
      );
    }
    const size = gridSize(space);
    if (given === null && size > LIMITS.trialsPerSweep) {
      throw reader.error(
        node.at,
        "method",
        `the grid has ${size} points; set run_cap (at most ${LIMITS.trialsPerSweep})`,
        "",
        String(size),
      );
    }
    return { method, runCap: Math.min(given ?? size, size) };
  }

  #positionOf(path: string) {
    const name = path.replace(/^parameters\./, "");
    const parameters = this.#node("parameters");
    return parameters?.kind === "map" ? parameters.entries.find((entry) => entry.key === name)?.keyAt : undefined;
  }

  #wallTime(): number | null {
    const node = this.#node("max_wall_time");
    if (node === undefined) return null;
    const millis = node.kind === "scalar" && typeof node.value === "string" ? parseDuration(node.value) : null;
    if (millis === null || millis < 1_000) {
      throw this.#reader.unexpected(node, "max_wall_time", "a time of at least 1s such as 90s, 30m or 1h30m");
    }
    return millis;
  }
}

/** The most that a structural parameter can be: what memory and time are reckoned with. */
function largest({ distribution }: Parameter): number {
  const numbers = valuesOf(distribution).filter((value) => typeof value === "number");
  if (numbers.length > 0) return Math.max(...numbers);
  return "max" in distribution ? Math.floor(distribution.max) : 1;
}
