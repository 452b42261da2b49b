/**
 * The engine as the worker sees it. The only file of the worker that imports native/.
 *
 * Guarantees: what the engine throws leaves here as ConvsweepError with the engine's code and path; hyperparameters
 * stand in the order of native/hyperparameters.ts. Not here: threads, leases, files.
 */

import { hyperparameters } from "../native/hyperparameters.js";
import {
  type Classifier,
  type DeviceInfo,
  type Engine,
  type LaneReport,
  loadEngine,
  type Telemetry,
} from "../native/index.js";
import type { DatasetSpec, Recipe } from "../native/recipe.js";
import { ConvsweepError, type ErrorCode, toConvsweepError } from "../proto/contract.js";
import type { NamedMetric } from "./messages.js";

export type {
  Classifier,
  DatasetArrays,
  DeviceInfo,
  DeviceUse,
  Engine,
  GpuSupport,
  LaneOptions,
  LaneReport,
  LaneWeights,
  MeasuredPart,
  Normalisation,
  Session,
  SessionMemory,
  SessionOptions,
  SessionSize,
  SliceResult,
  Telemetry,
} from "../native/index.js";
export type { DatasetSpec, Recipe };

/** Loads the addon into this thread. Throws ConvsweepError UNAVAILABLE if it was not built or does not load. */
export function openEngine(): Engine & Classifier & Telemetry {
  try {
    return loadEngine();
  } catch (thrown) {
    const { message } = engineError(thrown);
    throw new ConvsweepError("UNAVAILABLE", `the engine cannot be loaded: ${message}`, { cause: thrown });
  }
}

/** Anything caught around a call of the engine, with the engine's own code and path if it came from there. */
export function engineError(thrown: unknown): ConvsweepError {
  if (thrown instanceof ConvsweepError || !(thrown instanceof Error)) return toConvsweepError(thrown);
  const { code, path, expected, found } = thrown as {
    code?: unknown;
    path?: unknown;
    expected?: unknown;
    found?: unknown;
  };
  if (typeof code !== "string" || !code.startsWith("ENGINE_")) return toConvsweepError(thrown);
  return new ConvsweepError(code as ErrorCode, thrown.message, {
    ...(typeof path === "string" && path !== "" ? { path } : {}),
    ...(typeof expected === "string" ? { expected } : {}),
    ...(typeof found === "string" ? { found } : {}),
    cause: thrown,
  });
}

/** Lanes of a cohort that keep the device busy without wasting memory. */
export function defaultLanes(device: DeviceInfo): number {
  return Math.max(2, device.cores);
}

/** The metrics of an epoch, in the order in which they are shown. */
export function metricsOf(report: LaneReport): NamedMetric[] {
  return [...report.metrics, { name: "images_per_second", value: report.images_per_second }];
}

/**
 * A lane's hyperparameters: the recipe's, each replaced by the trial's parameter of the same name. NaN where the
 * layers, the schedule or the augmentation decide.
 */
export function hyperparameterVector(
  defaults: Recipe["hyperparameters"],
  parameters: Readonly<Record<string, unknown>>,
): Float64Array {
  return Float64Array.from(hyperparameters, ({ name, fallback }) => {
    const optional = Object.values(fallback).includes(null);
    const drawn = Object.hasOwn(parameters, name);
    // Recipes of before a hyperparameter existed lack it.
    const value = drawn ? parameters[name] : (defaults[name] ?? null);
    if (typeof value === "number") return value;
    if (optional && !drawn && value === null) return Number.NaN;
    throw new ConvsweepError("BAD_INPUT", `${name} is not a number`, {
      path: drawn ? `parameters.${name}` : `recipe.hyperparameters.${name}`,
      expected: "a number",
      found: JSON.stringify(value) ?? "nothing",
    });
  });
}
