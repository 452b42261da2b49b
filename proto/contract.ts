/**
 * The contract between the parts, by hand: ids, limits, times, error codes. Imports nothing.
 *
 * Ids are what people type. A sweep is a positive integer; a trial is `SWEEP/NUMBER` with the number from 0; an attempt
 * is `SWEEP/NUMBER#N` with N from 1.
 */

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

export type SweepId = Branded<number, "SweepId">;
export type TrialId = Branded<string, "TrialId">;
export type AttemptId = Branded<string, "AttemptId">;
/** Name a worker keeps over restarts: its `--name`, by default the host name and a number. */
export type WorkerId = Branded<string, "WorkerId">;
/** One life of a worker process: a random string made at its start. */
export type Incarnation = Branded<string, "Incarnation">;
/** Fencing token: strictly increasing over the life of a store, never reused. Fits 2^53. */
export type Token = Branded<number, "Token">;
/** Milliseconds on the coordinator's clock. Durations are plain numbers of milliseconds. */
export type Millis = Branded<number, "Millis">;

export const sweepId = (value: number): SweepId => value as SweepId;
export const trialId = (sweep: SweepId, number: number): TrialId => `${sweep}/${number}` as TrialId;
export const attemptId = (trial: TrialId, n: number): AttemptId => `${trial}#${n}` as AttemptId;
export const workerId = (value: string): WorkerId => value as WorkerId;
export const incarnation = (value: string): Incarnation => value as Incarnation;
export const token = (value: number): Token => value as Token;
export const millis = (value: number): Millis => value as Millis;

/** `3/17` -> sweep 3, number 17; `null` if it is not a trial id. */
export function parseTrialId(text: string): { readonly sweep: SweepId; readonly number: number } | null {
  const match = /^([1-9][0-9]{0,14})\/(0|[1-9][0-9]{0,14})$/.exec(text);
  return match ? { sweep: sweepId(Number(match[1])), number: Number(match[2]) } : null;
}

/** Of the program and all its parts; package.json says the same, a test compares them. */
export const PROGRAM_VERSION = "0.1.0";

/**
 * Both sides of `Link` speak this; a worker with another major version is refused. Minor versions get on with each other:
 * each says its own, and nobody sends what the other does not know. 1: batches.
 */
export const PROTOCOL = { major: 1, minor: 1 } as const;
/** The first minor version of a coordinator that takes batches. */
export const TAKES_BATCHES = 1;

/** Times in milliseconds. */
export const TIMES = {
  heartbeat: 2_000,
  lease: 9_000,
  /** An offered trial that no worker has started by then goes back to the queue. */
  offer: 9_000,
  reconnectMin: 250,
  reconnectMax: 4_000,
} as const;

/**
 * The generation of a store stands in the high part of its tokens: a copy put back in place of a newer store begins
 * above every token that the newer one gave. 4,096 generations fit.
 */
export const TOKENS_A_GENERATION = 2 ** 40;

/**
 * Tokens passed over when the process before did not close the store: its newest grants may be lost with the end of the
 * log. More than are granted in the second that the mark beside the store lags behind; 2^24 crashes fit a generation.
 */
export const TOKENS_A_CRASH = 2 ** 16;

export const LIMITS = {
  sweepFileBytes: 1 << 20,
  linkMessageBytes: 4 << 20,
  checkpointBytes: 4 * 1024 ** 3,
  checkpointChunkBytes: 256 * 1024,
  artifactBytes: 64 << 20,
  queryRows: 10_000,
  queryMillis: 5_000,
  queryTextBytes: 100 * 1024,
  /** Messages a worker may send ahead of the acknowledgement, so also the most in one batch. */
  linkWindow: 256,
  /** Dead processes of its name that a worker may speak for. */
  livesBefore: 64,
  parameterNames: 256,
  /** Different names of metrics that one life of a worker may use. */
  metricNames: 1_000,
  trialsPerSweep: 1_000_000,
} as const;

export const DEFAULT_PORTS = { grpc: 7440, http: 7441 } as const;

export type ErrorCode =
  | "BAD_INPUT"
  | "NOT_FOUND"
  | "WRONG_STATE"
  | "UNAUTHENTICATED"
  | "FORBIDDEN"
  | "TOO_LARGE"
  | "UNAVAILABLE"
  | "CONFLICT"
  /** Another process has it now; later it may be free. */
  | "IN_USE"
  | "CORRUPT"
  /** The store cannot be written now and will be tried again: no space, a file system that became read-only, another error. */
  | "DISK_FULL"
  | "READ_ONLY"
  | "IO_ERROR"
  /** The disk would not say that a write is safe. What it says later proves nothing: the process has to end. */
  | "SYNC_FAILED"
  | "STALE_TOKEN"
  | "PROTOCOL"
  | "TIMEOUT"
  | "INTERNAL"
  | "ENGINE_BAD_RECIPE"
  | "ENGINE_BAD_ARGUMENT"
  | "ENGINE_OUT_OF_MEMORY"
  | "ENGINE_LANES_FULL"
  | "ENGINE_CLOSED"
  | "ENGINE_NO_DATASET"
  | "ENGINE_NO_DEVICE"
  | "ENGINE_DEVICE_LOST"
  | "ENGINE_CORRUPT_CHECKPOINT"
  | "ENGINE_FOREIGN_CHECKPOINT"
  | "ENGINE_INTERNAL";

/** An error as it crosses threads and processes. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  /** Where the offending value stands: `parameters.l2.min`, `sweep.yaml:12:5`, a file name; `null` if nowhere. */
  readonly path: string | null;
  readonly expected: string | null;
  readonly found: string | null;
}

export interface ErrorOptions {
  readonly path?: string;
  readonly expected?: string;
  readonly found?: string;
  readonly cause?: unknown;
}

/** The one error class of convsweep's TypeScript. */
export class ConvsweepError extends Error {
  override readonly name = "ConvsweepError";
  readonly code: ErrorCode;
  readonly path: string | null;
  readonly expected: string | null;
  readonly found: string | null;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.path = options.path ?? null;
    this.expected = options.expected ?? null;
    this.found = options.found ?? null;
  }

  /** Plain data for another thread or process. */
  toData(): ErrorData {
    return { code: this.code, message: this.message, path: this.path, expected: this.expected, found: this.found };
  }

  static fromData(data: ErrorData): ConvsweepError {
    return new ConvsweepError(data.code, data.message, {
      ...(data.path === null ? {} : { path: data.path }),
      ...(data.expected === null ? {} : { expected: data.expected }),
      ...(data.found === null ? {} : { found: data.found }),
    });
  }
}

/** Narrows anything caught. Errors of others become INTERNAL and keep their cause. */
export function toConvsweepError(thrown: unknown): ConvsweepError {
  if (thrown instanceof ConvsweepError) return thrown;
  if (thrown instanceof Error) return new ConvsweepError("INTERNAL", thrown.message, { cause: thrown });
  return new ConvsweepError("INTERNAL", String(thrown), { cause: thrown });
}
