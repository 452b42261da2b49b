/**
 * The space of a sweep: each parameter's name resolved, its distribution compiled and checked against what it is for.
 *
 * Lane hyperparameters go by their canonical names (`lr` becomes `learning_rate`, with a warning); `batch_size`, `epochs`
 * and `optimizer` are structural. Anything else is refused: the engine would not know what to do with it.
 */
import { findHyperparameter, type HyperparameterInfo } from "../../native/hyperparameters.js";
import type { Optimizer } from "../../native/recipe.js";
import { LIMITS } from "../../proto/contract.js";
import type { Distribution } from "../core/types.js";
import { type CompiledDistribution, compileDistribution } from "./distributions.js";
import { PARAMETER_NAMES, STRUCTURAL, STRUCTURAL_ALIASES, type Structural } from "./keys.js";
import { checkRange, checkWhole, valuesOf } from "./ranges.js";
import type { FileNode, MapEntry, Position, Reader } from "./reader.js";

export const OPTIMIZERS: readonly Optimizer[] = ["sgd", "momentum", "rmsprop", "adam", "adamw"];
export const MAX_EPOCHS = 100_000;

export interface Parameter {
  readonly name: string;
  readonly distribution: Distribution;
  /** `null` for a structural one. */
  readonly info: HyperparameterInfo | null;
  readonly at: Position;
}

/** `trainingImages` bounds the batch size. */
export function compileParameters(reader: Reader, node: FileNode, trainingImages: number): readonly Parameter[] {
  const map = reader.map(node, "parameters", "a mapping of parameter names");
  if (map.entries.length === 0) throw reader.unexpected(node, "parameters", "at least one parameter");
  if (map.entries.length > LIMITS.parameterNames) {
    throw reader.unexpected(node, "parameters", `at most ${LIMITS.parameterNames} parameters`);
  }
  const seen = new Map<string, string>();
  return map.entries.map((entry) => {
    const parameter = compileParameter(reader, entry, trainingImages);
    const before = seen.get(parameter.name);
    if (before !== undefined) {
      throw reader.error(
        entry.keyAt,
        `parameters.${entry.key}`,
        `${before} is the same parameter`,
        "one of them",
        "both",
      );
    }
    seen.set(parameter.name, entry.key);
    return parameter;
  });
}

function structuralName(name: string): Structural | null {
  const alias = Object.hasOwn(STRUCTURAL_ALIASES, name) ? STRUCTURAL_ALIASES[name] : undefined;
  return alias ?? STRUCTURAL.find((candidate) => candidate === name) ?? null;
}

function compileParameter(reader: Reader, entry: MapEntry, trainingImages: number): Parameter {
  const path = `parameters.${entry.key}`;
  const info = findHyperparameter(entry.key);
  const structural = info === null ? structuralName(entry.key) : null;
  const name = info?.name ?? structural;
  if (name === null) throw reader.unknownKey(entry, "parameters", PARAMETER_NAMES, "parameter");
  if (name !== entry.key) reader.warn(entry.keyAt, path, `recorded as ${name}`);
  const compiled = compileDistribution(reader, entry.value, path, name !== "optimizer");
  const { distribution, at } = compiled;
  if (info !== null) checkLane(reader, info, compiled, path);
  else if (structural === "optimizer") checkOptimizer(reader, at, path, distribution);
  else checkWhole(reader, at, path, distribution, 1, structural === "epochs" ? MAX_EPOCHS : trainingImages);
  return { name, distribution, info, at };
}

function checkLane(reader: Reader, info: HyperparameterInfo, compiled: CompiledDistribution, path: string): void {
  const { distribution, at } = compiled;
  if (info.range.whole) {
    checkWhole(reader, at, path, distribution, info.range.low, info.range.high);
    return;
  }
  checkRange(reader, at, path, distribution, info.range);
  if (distribution.kind === "int_uniform") {
    const { min, max } = distribution;
    const drawn = max - min === 1 ? `${min} and ${max}` : `from ${min} to ${max}`;
    reader.warn(
      at,
      path,
      `min and max are whole numbers, so only the whole numbers ${drawn} are drawn; write ${min}.0 for all between`,
    );
  }
}

function checkOptimizer(reader: Reader, at: Position, path: string, distribution: Distribution): void {
  const expected = `values out of ${OPTIMIZERS.join(", ")}`;
  const values = valuesOf(distribution);
  const wrong = values.find((value) => !OPTIMIZERS.some((optimizer) => optimizer === value));
  if (values.length > 0 && wrong === undefined) return;
  const found = wrong === undefined ? distribution.kind : JSON.stringify(wrong);
  throw reader.error(at, path, `expected ${expected}, found ${found}`, expected, found);
}
