/**
 * Whether a value could have been drawn: the check of parameters given by hand, and of samplers.
 *
 * Quantised values may lie up to q / 2 outside of the bounds, because W&B does not clip them. Also here: the axis a
 * parameter wants in a chart.
 */
import type { Distribution, ParameterValue } from "../types.js";

/** `null` when the value lies in the distribution, else what would have been right. */
export function expectedOf(distribution: Distribution, value: ParameterValue): string | null {
  switch (distribution.kind) {
    case "constant":
      return value === distribution.value ? null : JSON.stringify(distribution.value);
    case "categorical":
      return distribution.values.includes(value)
        ? null
        : `one of ${distribution.values.map((v) => JSON.stringify(v)).join(", ")}`;
    case "int_uniform":
      return between(value, distribution.min, distribution.max, true);
    case "uniform":
    case "log_uniform": {
      const slack = distribution.q === null ? 0 : distribution.q / 2 + distribution.q * 1e-9;
      return between(value, distribution.min - slack, distribution.max + slack, distribution.integer);
    }
    case "normal":
      return between(value, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, distribution.integer);
    case "log_normal":
      return between(value, 0, Number.POSITIVE_INFINITY, distribution.integer);
    case "beta": {
      const slack = distribution.q === null ? 0 : distribution.q / 2 + distribution.q * 1e-9;
      return between(value, -slack, 1 + slack, distribution.integer);
    }
    case "zero_or_log":
      return value === 0 ? null : between(value, distribution.min, distribution.max, false);
  }
}

export function scaleOf(distribution: Distribution): "linear" | "log" | "category" {
  switch (distribution.kind) {
    case "constant":
      return typeof distribution.value === "number" ? "linear" : "category";
    case "categorical":
      return "category";
    case "log_uniform":
    case "log_normal":
    case "zero_or_log":
      return "log";
    case "int_uniform":
    case "uniform":
    case "normal":
    case "beta":
      return "linear";
  }
}

function between(value: ParameterValue, min: number, max: number, whole: boolean): string | null {
  const fits = typeof value === "number" && Number.isFinite(value) && value >= min && value <= max;
  if (fits && (!whole || Number.isInteger(value))) return null;
  const bounds = Number.isFinite(max) ? ` from ${min} to ${max}` : Number.isFinite(min) ? ` of at least ${min}` : "";
  return `a ${whole ? "whole " : ""}number${bounds}`;
}
