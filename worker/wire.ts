/**
 * Worker messages to and from their protocol form. Pure.
 *
 * Guarantees: a metric that is not finite travels as its name; a `failed` outcome carries every field of its error.
 */
import type { ErrorData } from "../proto/contract.js";
import type { ErrorDetail, Metric, DeviceUse as WireDeviceUse } from "../proto/gen/convsweep/v1/types.js";
import type { Assign, Ended, Numbered, Report, Started } from "../proto/gen/convsweep/v1/worker.js";
import type { DeviceUse } from "./engine.js";
import type { ArtifactRef, CheckpointRef, Held, Job, NamedMetric, Outcome } from "./messages.js";

/** The body of a sequenced message of the worker. */
export type Body = NonNullable<Numbered["body"]>;

function metricToWire({ name, value }: NamedMetric): Metric {
  if (Number.isFinite(value)) return { name, value: { $case: "number", value } };
  const text = Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  return { name, value: { $case: "notFinite", value: text } };
}

function errorToWire(error: ErrorData): ErrorDetail {
  return {
    code: error.code,
    message: error.message,
    path: error.path ?? "",
    expected: error.expected ?? "",
    found: error.found ?? "",
  };
}

function outcomeToWire(outcome: Outcome): NonNullable<Ended["outcome"]> {
  switch (outcome.kind) {
    case "completed":
      return { $case: "completed", value: { weightsHash: outcome.weightsHash } };
    case "stopped":
      return { $case: "stopped", value: { weightsHash: outcome.weightsHash ?? "" } };
    case "diverged":
      return { $case: "diverged", value: { epoch: outcome.epoch, step: outcome.step, what: outcome.what } };
    case "failed":
      return { $case: "failed", value: errorToWire(outcome.error) };
    case "released":
      return { $case: "released", value: { reason: outcome.reason, died: outcome.died ?? false } };
  }
}

/** `null` where the device says nothing. */
export function useToWire(device: string, use: DeviceUse): WireDeviceUse | null {
  const { utilization, memoryUsed, memoryTotal, temperature, power } = use;
  const said = { utilization, memoryUsed, memoryTotal, temperature, power };
  if (Object.values(said).every((value) => value === null)) return null;
  return { device, ...Object.fromEntries(Object.entries(said).map(([name, value]) => [name, value ?? undefined])) };
}

export function startedBody(held: Held, fingerprint: string, fromEpoch: number): Body {
  const value: Started = { attempt: held.attempt, token: held.token, fingerprint, fromEpoch };
  return { $case: "started", value };
}

export function checkpointBody(held: Held, { epoch, digest, bytes }: CheckpointRef): Body {
  return { $case: "checkpointSaved", value: { attempt: held.attempt, token: held.token, epoch, digest, bytes } };
}

export function artifactBody(held: Held, artifact: ArtifactRef): Body {
  return { $case: "artifactSaved", value: { attempt: held.attempt, token: held.token, ...artifact } };
}

export function reportBody(held: Held, epoch: number, step: number, metrics: readonly NamedMetric[]): Body {
  const value: Report = { attempt: held.attempt, token: held.token, epoch, step, metrics: metrics.map(metricToWire) };
  return { $case: "report", value };
}

export function endedBody(held: Held, outcome: Outcome): Body {
  return {
    $case: "ended",
    value: { attempt: held.attempt, token: held.token, outcome: outcomeToWire(outcome) },
  };
}

export function jobFromWire(assign: Assign): Job {
  const { attempt, token, recipe, cohortKey, seed, parameters, alone, checkpoints } = assign;
  return { attempt, token, recipe, cohortKey, seed, parameters, alone, checkpoints };
}
