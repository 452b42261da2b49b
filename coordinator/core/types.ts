/**
 * The nouns of the coordinator: sweep, trial, attempt, lease, report, worker, as plain immutable data.
 *
 * Guarantees: everything here survives JSON (bigints and NaN do not occur; a metric that is not finite is written as
 * text, see `MetricValue`), so a store can hold it and a restart gives it back. Not here: how any of it changes (apply.ts).
 */
import type { AttemptId, Incarnation, Millis, SweepId, Token, TrialId, WorkerId } from "../../proto/contract.js";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type ParameterValue = number | string | boolean;
/** Drawn or enqueued values by parameter name; nested names are joined with dots. */
export type Parameters = Readonly<Record<string, ParameterValue>>;

/** A number, or what is kept of one that is not finite. */
export type MetricValue = number | "nan" | "inf" | "-inf";

export type SweepState = "running" | "paused" | "completed" | "cancelled" | "failed";
export type TrialState =
  | "queued"
  | "leased"
  | "running"
  | "paused"
  | "completed"
  | "stopped"
  | "failed"
  | "lost"
  | "cancelled";
export type AttemptState = "offered" | "running" | "finished" | "stopped" | "paused" | "failed" | "lost" | "revoked";

export interface Objective {
  readonly name: string;
  readonly goal: "minimize" | "maximize";
  /** The sweep ends when a trial reaches it; `null` for none. */
  readonly target: number | null;
}

/** Probability distributions in canonical form; each file of space/ draws one family. W&B's meanings exactly. */
export type Distribution =
  | { readonly kind: "constant"; readonly value: ParameterValue }
  | {
      readonly kind: "categorical";
      readonly values: readonly ParameterValue[];
      readonly probabilities: readonly number[] | null;
    }
  | { readonly kind: "int_uniform"; readonly min: number; readonly max: number }
  | {
      readonly kind: "uniform";
      readonly min: number;
      readonly max: number;
      readonly q: number | null;
      readonly integer: boolean;
    }
  /** min and max are the values themselves, never exponents. */
  | {
      readonly kind: "log_uniform";
      readonly min: number;
      readonly max: number;
      readonly q: number | null;
      readonly integer: boolean;
    }
  | {
      readonly kind: "normal";
      readonly mu: number;
      readonly sigma: number;
      readonly q: number | null;
      readonly integer: boolean;
    }
  | {
      readonly kind: "log_normal";
      readonly mu: number;
      readonly sigma: number;
      readonly q: number | null;
      readonly integer: boolean;
    }
  | {
      readonly kind: "beta";
      readonly a: number;
      readonly b: number;
      readonly q: number | null;
      readonly integer: boolean;
    }
  /** Zero with probability `p`, else log-uniform between min and max. */
  | { readonly kind: "zero_or_log"; readonly p: number; readonly min: number; readonly max: number };

/** Parameters in the file's order. */
export type Space = readonly { readonly name: string; readonly distribution: Distribution }[];

/** A sweep as compiled from its file: complete, resolved, never changed after submission but by `extend`. */
export interface SweepSpec {
  readonly name: string;
  readonly description: string;
  readonly space: Space;
  readonly sampler: { readonly name: string; readonly options: Json };
  readonly scheduler: { readonly name: string; readonly options: Json };
  readonly objective: Objective;
  /** Seed of everything the sweep draws. 0 .. 2^53 - 1. */
  readonly seed: number;
  /** Trials asked for. */
  readonly runCap: number;
  /** Trials at once; `null` for as many as fit. */
  readonly maxParallel: number | null;
  /** Milliseconds after which no new trial starts and running ones are stopped; `null` for no limit. */
  readonly maxWallMillis: number | null;
  /** Attempts lost to machines before a trial is `lost`. */
  readonly maxAttempts: number;
  /** The resolved recipe (native/recipe.ts) as data; structural parameters replace members of it per trial. */
  readonly recipe: Json;
  /** SHA-256 of the canonical recipe, hexadecimal. */
  readonly recipeDigest: string;
  /** Epochs a trial trains when nothing stops it. */
  readonly epochs: number;
  /** Parameters that change a shape or the loop: trials with different values are of different cohorts. */
  readonly structural: readonly string[];
  /** The file as submitted, for people. */
  readonly source: string;
}

export interface Sweep {
  readonly id: SweepId;
  readonly spec: SweepSpec;
  readonly state: SweepState;
  /**
   * Why it ends: `run_cap`, `target reached`, `wall time`, `cancelled by user`, `space exhausted`, ...; "" while running.
   * A running sweep that has one is winding up: it draws nothing more and waits for its last trials.
   */
  readonly cause: string;
  readonly createdAt: Millis;
  readonly endedAt: Millis | null;
  /** Trials drawn so far; the next one gets this number. */
  readonly nextTrial: number;
  readonly samplerState: Json;
  readonly schedulerState: Json;
}

export interface BestMetric {
  readonly value: number;
  readonly epoch: number;
}

/** How far a trial is: what a checkpoint takes it back to. */
export interface Progress {
  readonly epoch: number;
  /** By the sweep's objective; `null` before the first finite report. */
  readonly best: BestMetric | null;
  readonly last: MetricValue | null;
  /** Newest values by metric name. */
  readonly metrics: Readonly<Record<string, MetricValue>>;
  /**
   * Earlier attempts whose reports are the trial's, oldest first: each from where the one before ends up to `epoch`. What
   * follows is of the attempt that this is the progress of. An attempt that nobody went on from is not among them.
   */
  readonly lineage: readonly Forebear[];
}

/** Attempt `n` of the trial, up to `epoch`. */
export interface Forebear {
  readonly n: number;
  readonly epoch: number;
}

/** A lane as it was saved, kept as a file by the coordinator. */
export interface Checkpoint {
  /** SHA-256 of its bytes, hexadecimal. */
  readonly digest: string;
  readonly bytes: number;
  /** Engine fingerprint that can go on from it. */
  readonly fingerprint: string;
  readonly attempt: AttemptId;
  /** Where the trial stood: an attempt that begins here reports the epochs that follow. */
  readonly progress: Progress;
  readonly at: Millis;
}

/** A file that an attempt made beside its metrics, kept by the coordinator: a picture, a matrix. */
export interface Artifact {
  readonly trial: TrialId;
  readonly attempt: AttemptId;
  /** What it is: `samples`. Of one attempt, name and epoch there is one: a later one takes its place. */
  readonly name: string;
  readonly mediaType: string;
  /** After which epoch; 0 for the attempt as a whole. */
  readonly epoch: number;
  /** SHA-256 of its bytes, hexadecimal. */
  readonly digest: string;
  readonly bytes: number;
  readonly at: Millis;
}

export interface Trial extends Progress {
  readonly id: TrialId;
  readonly sweep: SweepId;
  readonly number: number;
  readonly parameters: Parameters;
  /** Key of every random draw of its training: 64 bits as 16 hexadecimal digits. */
  readonly seed: string;
  /** Trials with equal keys may share a cohort. */
  readonly cohortKey: string;
  /** `sampled`, or by hand (`enqueued`), or a repeat of another trial (`rerun`). */
  readonly origin:
    | { readonly kind: "sampled" | "enqueued" }
    | { readonly kind: "rerun"; readonly of: TrialId; readonly verify: boolean };
  readonly state: TrialState;
  /** Why it ended: `diverged in epoch 3, step 931`, `worker lost`, ...; "" if nothing to say. */
  readonly cause: string;
  readonly attempts: number;
  /** Attempts lost to machines. */
  readonly losses: number;
  /** Not before this time does a queued trial go out again (back-off); 0 for at once. */
  readonly notBefore: Millis;
  readonly createdAt: Millis;
  readonly startedAt: Millis | null;
  readonly endedAt: Millis | null;
  /** SHA-256 of the final weights, hexadecimal; `null` until known. */
  readonly weightsHash: string | null;
  /** Engine fingerprint the result belongs to. */
  readonly fingerprint: string | null;
  readonly worker: WorkerId | null;
  readonly device: string | null;
  /** Of a rerun with verify: what the comparison with the original said; `null` until done. */
  readonly verified: { readonly equal: boolean; readonly detail: string } | null;
  /** Lives of workers that ended while they held it. One that kills one worker after another is quarantined. */
  readonly killed: readonly Incarnation[];
  /** Newest first, at most two; none once it is final. */
  readonly checkpoints: readonly Checkpoint[];
}

export interface Attempt {
  readonly id: AttemptId;
  readonly trial: TrialId;
  readonly n: number;
  readonly token: Token;
  readonly worker: WorkerId;
  readonly incarnation: Incarnation;
  readonly device: string;
  readonly state: AttemptState;
  readonly leaseUntil: Millis;
  /** It began with the checkpoint of this epoch; 0 for the start. Earlier epochs are reports of attempts before it. */
  readonly fromEpoch: number;
  /** Last epoch whose report is recorded; a report at or below it is a repeat. */
  readonly lastEpoch: number;
  readonly offeredAt: Millis;
  readonly startedAt: Millis | null;
  readonly endedAt: Millis | null;
  /** Why it ended, or is to stop; of one that does neither, that its lease has run out (`isLapsed`). */
  readonly cause: string;
  /** Engine fingerprint of the device it was given to, then of the one it says it runs on; `null` if it never said. */
  readonly fingerprint: string | null;
  /** Asked to stop by scheduler or user, with what the trial becomes then; `null` if not. */
  readonly stopping: "stopped" | "cancelled" | "paused" | null;
}

export interface Report {
  readonly trial: TrialId;
  readonly attempt: AttemptId;
  readonly epoch: number;
  readonly step: number;
  readonly metrics: Readonly<Record<string, MetricValue>>;
  readonly at: Millis;
}

/** What a device said of itself last; a number that it cannot say is absent. */
export interface DeviceUse {
  /** Share of the driver's last sample period in which a kernel ran: 0 .. 1. */
  readonly utilization?: number;
  /** Bytes, of all processes and the driver together. */
  readonly memoryUsed?: number;
  readonly memoryTotal?: number;
  /** Degrees Celsius. */
  readonly temperature?: number;
  /** Watts. */
  readonly power?: number;
}

export interface WorkerDevice {
  /** `cpu`, `cuda:0`. */
  readonly id: string;
  readonly name: string;
  readonly backend: string;
  readonly fingerprint: string;
  readonly memoryBytes: number;
  /** Lanes a cohort may hold at once on this device; `--lanes`, or what the worker thinks sensible. */
  readonly lanes: number;
  /** Until when the device is passed over for a recipe (by digest) that it gave back, where another can train it. */
  readonly refused?: Readonly<Record<string, Millis>>;
  /** As of the last heartbeat, while the worker is heard of. */
  readonly use?: DeviceUse;
}

export interface Worker {
  readonly id: WorkerId;
  readonly incarnation: Incarnation;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly devices: readonly WorkerDevice[];
  /** `connected`: link open. `away`: link lost, leases still run. `gone`: said goodbye or all leases expired. */
  readonly state: "connected" | "draining" | "away" | "gone";
  readonly connectedAt: Millis;
  readonly lastSeen: Millis;
}

/** What happened, when and why: one line of the `events` view. */
export interface EventRecord {
  readonly at: Millis;
  readonly kind: string;
  readonly sweep: SweepId | null;
  readonly trial: TrialId | null;
  readonly attempt: AttemptId | null;
  readonly worker: WorkerId | null;
  readonly detail: string;
}
