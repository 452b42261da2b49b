/**
 * A sweep file to a complete sweep: defaults filled in, names resolved to data, everything checked that can be checked
 * without a worker (network shapes, ranges, metric, grid).
 *
 * Guarantees: the result depends on the text alone, and on a file of one's own that it names as its data set; the first thing that is wrong is thrown as one BAD_INPUT with
 * `file:line:column`, key path, what was expected and found, and the nearest known word; what is legal but suspicious
 * comes back as warnings. Not here: drawing, running, whether the data set is on a worker's disk.
 */
import { createHash } from "node:crypto";
import {
  type Decay,
  type Optimizer,
  PROCEDURE_RECIPE_VERSION,
  RECIPE_VERSION,
  type Recipe,
} from "../../native/recipe.js";
import { canonicalJson } from "../core/canonical.js";
import type { Json, SweepSpec } from "../core/types.js";
import { parseDuration } from "./duration.js";
import { adviseOnParameters, compileHyperparameters } from "./hyperparameter-values.js";
import { IGNORED_KEYS } from "./keys.js";
import { compileNetwork } from "./network.js";
import { compileObjective } from "./objective.js";
import { filesFrom } from "./own-files.js";
import { compileParameters, MAX_EPOCHS, OPTIMIZERS, type Parameter } from "./parameters.js";
import { valuesOf } from "./ranges.js";
import { Reader } from "./reader.js";
import { compileSearch } from "./search.js";
import { TopLevel } from "./top-level.js";
import { compileAugmentation, compileAveraging, compileDataset, compileSchedule } from "./training.js";
import { parseFile } from "./yaml.js";

/** Of a sweep that names none. */
const DEFAULT_SEED = 1;
const DEFAULT_ATTEMPTS = 3;

export interface CompiledSweep {
  readonly spec: SweepSpec;
  readonly warnings: readonly string[];
}

/**
 * Throws ConvsweepError BAD_INPUT (TOO_LARGE above 1 MiB). `fileName` is for messages and for a sweep without a name; files
 * that the sweep names are looked for from `folder`.
 */
export function compileSweep(text: string, fileName: string, folder = "."): CompiledSweep {
  const reader = new Reader(fileName);
  const top = new TopLevel(reader, parseFile(text, fileName));
  refuseAndIgnore(top);
  const dataset = compileDataset(reader, top.need("dataset"), top.node("validation"), filesFrom(folder));
  const trainingImages = dataset.train_images - dataset.validation;
  const { spec: network, procedure, entry } = compileNetwork(reader, top.need("network"), dataset);
  const parameters = compileParameters(reader, top.need("parameters"), trainingImages);
  const optimizer = optimizerOf(top, parameters, entry?.defaults.optimizer);
  const testAtEnd = top.flag("test_at_end");
  const test = top.node("test_at_end");
  if (testAtEnd && test && dataset.test_images === 0) {
    throw reader.error(test.at, "test_at_end", `${dataset.name} has no test images; remove the key`, "false", "true");
  }
  const epochs = countOf(top, "epochs", parameters, entry?.defaults.epochs, MAX_EPOCHS);
  const averaging = compileAveraging(reader, top.node("averaging"), { entry, epochs, gan: procedure !== null });
  const recipe: Recipe = {
    version: procedure === null ? RECIPE_VERSION : PROCEDURE_RECIPE_VERSION,
    network,
    ...(procedure === null ? {} : { procedure }),
    dataset,
    batch_size: countOf(top, "batch_size", parameters, entry?.defaults.batch_size, trainingImages),
    epochs,
    optimizer,
    nesterov: nesterovOf(top, optimizer, parameters),
    decay: decayOf(top, optimizer, parameters),
    schedule: compileSchedule(reader, top.node("schedule")),
    augmentation: compileAugmentation(reader, top.node("augmentation"), dataset),
    ...(averaging === null ? {} : { averaging }),
    precision: "float32",
    shuffle: true,
    test_at_end: testAtEnd,
    ...(top.flag("keep_weights") ? { keep_weights: true } : {}),
    hyperparameters: compileHyperparameters(
      top,
      optimizer,
      entry?.defaults.optimizer,
      entry?.defaults.hyperparameters ?? {},
    ),
  };
  adviseOnParameters(top, parameters, recipe);
  const space = parameters.map(({ name, distribution }) => ({ name, distribution }));
  const { method, runCap } = compileSearch(top, space);
  const data = recipe as unknown as Json;
  const spec: SweepSpec = {
    name: nameOf(top, fileName),
    description: top.string("description", ""),
    space,
    sampler: { name: method, options: {} },
    scheduler: { name: "none", options: {} },
    objective: compileObjective(reader, top.node("metric"), {
      validation: dataset.validation > 0,
      testAtEnd,
      procedure: procedure?.kind ?? "classification",
    }),
    seed: top.whole("seed", DEFAULT_SEED, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    runCap,
    maxParallel: top.present("max_parallel") ? top.whole("max_parallel", 1, { min: 1, max: 1_000_000 }) : null,
    maxWallMillis: wallTimeOf(top),
    maxAttempts: top.whole("max_attempts", DEFAULT_ATTEMPTS, { min: 1, max: 1_000 }),
    recipe: data,
    recipeDigest: digestOf(data),
    epochs: recipe.epochs,
    structural: parameters.filter(({ info }) => info === null).map(({ name }) => name),
    source: text,
  };
  return { spec, warnings: reader.warnings };
}

function digestOf(value: Json): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

function nameOf(top: TopLevel, fileName: string): string {
  const stem = (fileName.split(/[/\\]/).at(-1) ?? "").replace(/\.[^.]*$/, "");
  const name = top.string("name", stem || "sweep").trim();
  const node = top.node("name");
  if (node !== undefined && (name === "" || name.length > 200 || /[\r\n\t]/.test(name))) {
    throw top.reader.unexpected(node, "name", "text of 1 to 200 characters on one line");
  }
  return name;
}

function refuseAndIgnore(top: TopLevel): void {
  for (const [key, reason] of Object.entries(IGNORED_KEYS)) {
    const entry = top.entries.get(key);
    if (entry) top.reader.warn(entry.keyAt, key, `ignored: ${reason}`);
  }
  const early = top.node("early_terminate");
  if (early) {
    throw top.reader.error(
      early.at,
      "early_terminate",
      "this version stops no trial early (scheduler: none); remove the key",
      "no such key",
      "early_terminate",
    );
  }
  const scheduler = top.node("scheduler");
  if (scheduler) top.reader.choice(scheduler, "scheduler", ["none"]);
}

/** A structural parameter's place in the recipe: each trial puts its own there. */
function countOf(
  top: TopLevel,
  key: "batch_size" | "epochs",
  parameters: readonly Parameter[],
  fromNetwork: number | undefined,
  max: number,
): number {
  const drawn = parameters.find((parameter) => parameter.name === key);
  if (drawn !== undefined) {
    top.refuseTwice(key);
    return largest(drawn);
  }
  const node = top.node(key);
  if (node !== undefined) return top.reader.whole(node, key, { min: 1, max });
  if (fromNetwork === undefined) {
    throw top.reader.error(top.root.at, key, "a network given as layers needs this key", key, "no such key");
  }
  return Math.min(fromNetwork, max);
}

function optimizerOf(top: TopLevel, parameters: readonly Parameter[], fromNetwork: Optimizer | undefined): Optimizer {
  const drawn = parameters.find((parameter) => parameter.name === "optimizer");
  if (drawn !== undefined) {
    top.refuseTwice("optimizer");
    return OPTIMIZERS.find((optimizer) => optimizer === valuesOf(drawn.distribution)[0]) ?? "momentum";
  }
  const node = top.node("optimizer");
  return node === undefined ? (fromNetwork ?? "momentum") : top.reader.choice(node, "optimizer", OPTIMIZERS);
}

function nesterovOf(top: TopLevel, optimizer: Optimizer, parameters: readonly Parameter[]): boolean {
  const nesterov = top.flag("nesterov");
  const node = top.node("nesterov");
  const searched = parameters.some((parameter) => parameter.name === "optimizer");
  if (nesterov && node && optimizer !== "momentum" && !searched) {
    const message = `only the optimizer momentum has it, found ${optimizer}`;
    throw top.reader.error(node.at, "nesterov", message, "optimizer: momentum", optimizer);
  }
  return nesterov;
}

const DECAYS: readonly Decay[] = ["loss", "decoupled"];

function decayOf(top: TopLevel, optimizer: Optimizer, parameters: readonly Parameter[]): Decay {
  const node = top.node("decay");
  if (node === undefined) return optimizer === "adamw" ? "decoupled" : "loss";
  const decay = top.reader.choice(node, "decay", DECAYS);
  const searched = parameters.some((parameter) => parameter.name === "optimizer");
  if (decay === "loss" && optimizer === "adamw" && !searched) {
    const message = "adamw decays the weights themselves; take adam for decay in the loss";
    throw top.reader.error(node.at, "decay", message, "decoupled", decay);
  }
  return decay;
}

function wallTimeOf(top: TopLevel): number | null {
  const node = top.node("max_wall_time");
  if (node === undefined) return null;
  const millis = node.kind === "scalar" && typeof node.value === "string" ? parseDuration(node.value) : null;
  if (millis === null || millis < 1_000) {
    throw top.reader.unexpected(node, "max_wall_time", "a time of at least 1s such as 90s, 30m or 1h30m");
  }
  return millis;
}

/** The most that a structural parameter can be: what memory and time are reckoned with. */
function largest({ distribution }: Parameter): number {
  const numbers = valuesOf(distribution).filter((value) => typeof value === "number");
  if (numbers.length > 0) return Math.max(...numbers);
  return "max" in distribution ? Math.floor(distribution.max) : 1;
}
