/**
 * Values of hyperparameters that are not searched, and advice about those that are. Not here: distributions.
 */
import { type HyperparameterInfo, hyperparameters } from "../../native/hyperparameters.js";
import { flatLayers } from "../../native/networks/layers.js";
import type { LaneHyperparameter, Optimizer, Recipe, Schedule } from "../../native/recipe.js";
import type { Parameter } from "./parameters.js";
import { valuesOf } from "./ranges.js";
import { isNothing } from "./reader.js";
import type { TopLevel } from "./top-level.js";

/** The file's values, else the network's (if it was made for this optimiser), else the usual ones. */
export function compileHyperparameters(
  top: TopLevel,
  optimizer: Optimizer,
  networkOptimizer: Optimizer | undefined,
  fromNetwork: Readonly<Partial<Record<LaneHyperparameter, number>>>,
): Recipe["hyperparameters"] {
  const values = hyperparameters.map((info) => {
    const suits = optimizer === networkOptimizer || info.name === "l2";
    const fallback = (suits ? fromNetwork[info.name] : undefined) ?? info.fallback[optimizer];
    return [info.name, given(top, info) ?? fallback] as const;
  });
  return Object.fromEntries(values) as Recipe["hyperparameters"];
}

function given(top: TopLevel, info: HyperparameterInfo): number | null {
  const { reader } = top;
  const entries = [info.name, ...info.aliases]
    .map((name) => top.entries.get(name))
    .filter((entry) => entry !== undefined);
  const [entry, second] = entries;
  if (entry === undefined) return null;
  if (second !== undefined) {
    throw reader.error(second.keyAt, second.key, `${entry.key} is the same hyperparameter`, "one of them", "both");
  }
  if (entry.key !== info.name) reader.warn(entry.keyAt, entry.key, `recorded as ${info.name}`);
  if (isNothing(entry.value)) return null;
  if (entry.value.kind === "map") {
    throw reader.unexpected(entry.value, entry.key, "a number", "; distributions stand under parameters");
  }
  const { low, high, openLow, openHigh, whole } = info.range;
  if (whole) return reader.whole(entry.value, entry.key, { min: low, max: high });
  return reader.number(entry.value, entry.key, { min: low, max: high, above: openLow, below: openHigh }).value;
}

/** Schedules that a hyperparameter is for. */
const SCHEDULES_OF: Readonly<Record<string, readonly Schedule["kind"][]>> = {
  schedule_factor: ["step", "exponential"],
  schedule_floor: ["cosine"],
  schedule_warmup: ["one_cycle"],
};

/** What is legal and yet not what anybody means. */
export function adviseOnParameters(top: TopLevel, parameters: readonly Parameter[], recipe: Recipe): void {
  const searched = parameters.find((parameter) => parameter.name === "optimizer");
  const used = searched ? valuesOf(searched.distribution) : [recipe.optimizer];
  for (const { name, info, at } of parameters) {
    const path = `parameters.${name}`;
    const fixed = info && [info.name, ...info.aliases].find((known) => !isNothing(top.entries.get(known)?.value));
    if (fixed) top.reader.warn(at, path, `drawn for every trial, so ${fixed} at the first level is not used`);
    if (info?.optimizers && !info.optimizers.some((optimizer) => used.includes(optimizer))) {
      top.reader.warn(at, path, `the optimizer ${used.join(", ")} does not use it`);
    }
    const kinds = Object.hasOwn(SCHEDULES_OF, name) ? SCHEDULES_OF[name] : undefined;
    if (kinds && !kinds.includes(recipe.schedule.kind)) {
      top.reader.warn(at, path, `the schedule ${recipe.schedule.kind} does not use it (${kinds.join(", ")} would)`);
    }
    if (name === "dropout" && !flatLayers(recipe.network.layers).some((layer) => layer.op === "dropout")) {
      top.reader.warn(at, path, "the network has no dropout layer, so it changes nothing");
    }
  }
  const rates = new Set(parameters.map((parameter) => parameter.name));
  if (searched && !rates.has("learning_rate") && used.length > 1) {
    const rate = recipe.hyperparameters.learning_rate;
    top.reader.warn(searched.at, "parameters.optimizer", `every optimizer gets the learning rate ${String(rate)}`);
  }
}
