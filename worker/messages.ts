/**
 * What the main thread and a device's thread say to each other, as plain data.
 *
 * Guarantees: every value survives structured cloning unchanged (no class instances; NaN and infinity are allowed).
 * Messages of one attempt leave the thread in the order started, reports, ended. Not here: the wire's form (wire.ts).
 */
import type { ErrorData } from "../proto/contract.js";
import type { LogEvent } from "./log-events.js";

/** An attempt with its fencing token: two leases of one attempt are two different things. */
export interface Held {
  readonly attempt: string;
  readonly token: number;
}

/** An attempt to train, as the coordinator assigned it. */
export interface Job extends Held {
  /** A Recipe as canonical JSON. */
  readonly recipe: string;
  readonly cohortKey: string;
  /** 16 hexadecimal digits. */
  readonly seed: string;
  /** JSON object: values by parameter name. */
  readonly parameters: string;
  readonly alone: boolean;
  /** To go on from, the best first. */
  readonly checkpoints: readonly CheckpointRef[];
}

/** A saved lane that the coordinator keeps. */
export interface CheckpointRef {
  readonly epoch: number;
  readonly digest: string;
  readonly bytes: number;
}

/** A file that a trial made beside its metrics. */
export interface Artifact {
  /** What it is: `samples`. */
  readonly name: string;
  readonly mediaType: string;
  /** After which epoch; 0 for the attempt as a whole. */
  readonly epoch: number;
  readonly data: Uint8Array;
}

/** An artifact that the coordinator keeps. */
export interface ArtifactRef {
  readonly name: string;
  readonly mediaType: string;
  readonly epoch: number;
  readonly digest: string;
  readonly bytes: number;
}

/** A saved lane. */
export interface SavedLane {
  readonly epoch: number;
  readonly data: Uint8Array;
}

export type ThreadCommand =
  | { readonly kind: "assign"; readonly job: Job; readonly from: SavedLane | null }
  /** Stop training now and say what the weights are; with `save`, a `saved` comes before. */
  | { readonly kind: "stop"; readonly held: Held; readonly save: boolean }
  /** The last `saved` of the attempt is taken care of: there may be another. */
  | { readonly kind: "uploaded"; readonly held: Held }
  /** Forget the attempt: nothing it did counts any more, nothing is sent back. */
  | { readonly kind: "drop"; readonly held: Held }
  /** While held, no slice runs; commands are still served. */
  | { readonly kind: "hold"; readonly held: boolean }
  /** Close every session and end the task. */
  | { readonly kind: "close" };

export type Outcome =
  | { readonly kind: "completed"; readonly weightsHash: string }
  | { readonly kind: "stopped"; readonly weightsHash: string | null }
  | { readonly kind: "diverged"; readonly epoch: number; readonly step: number; readonly what: string }
  | { readonly kind: "failed"; readonly error: ErrorData }
  | { readonly kind: "released"; readonly reason: string; readonly died?: boolean };

export interface NamedMetric {
  readonly name: string;
  readonly value: number;
}

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

export type ThreadMessage =
  | { readonly kind: "started"; readonly held: Held; readonly fingerprint: string; readonly fromEpoch: number }
  /** The lane it was to go on from is refused; it waits for another, or to begin at the start. */
  | { readonly kind: "unusable"; readonly held: Held; readonly error: ErrorData }
  | { readonly kind: "saved"; readonly held: Held; readonly lane: SavedLane }
  | { readonly kind: "artifact"; readonly held: Held; readonly artifact: Artifact }
  | {
      readonly kind: "report";
      readonly held: Held;
      readonly epoch: number;
      readonly step: number;
      readonly metrics: readonly NamedMetric[];
    }
  | { readonly kind: "ended"; readonly held: Held; readonly outcome: Outcome }
  /** The device cannot be used again in this process; every attempt on it has been ended before. */
  | { readonly kind: "lost"; readonly error: ErrorData }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly event: LogEvent;
      readonly message: string;
      readonly fields: LogFields;
    };

/** How a device's task ends. Errors cross threads as data: a thrown class would arrive as a bare Error. */
export type ThreadResult = { readonly ok: true } | { readonly ok: false; readonly error: ErrorData };
