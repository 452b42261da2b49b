/**
 * What goes into the core (Event), what it asks the store to hold (Mutation), what it lets out (Effect).
 *
 * `decide(state, event, now)` answers mutations and effects and changes nothing. The runtime commits the mutations of a
 * batch in one transaction, applies them, then lets the effects out; an effect never leaves before its mutations are
 * durable. Closed unions: a new member makes every switch that forgets it fail to compile.
 */
import type {
  AttemptId,
  ErrorData,
  Incarnation,
  Millis,
  SweepId,
  Token,
  TrialId,
  WorkerId,
} from "../../proto/contract.js";
import type {
  Artifact,
  Attempt,
  DeviceUse,
  EventRecord,
  Json,
  MetricValue,
  Parameters,
  Report,
  Sweep,
  SweepSpec,
  Trial,
  Worker,
  WorkerDevice,
} from "./types.js";

/** Names a waiting caller (a command line, a page); the shell answers it when the reply effect comes out. */
export type CallId = number;

export interface HeldAttempt {
  readonly attempt: AttemptId;
  readonly token: Token;
}

export type AttemptOutcome =
  | { readonly kind: "completed"; readonly weightsHash: string }
  /** As the coordinator asked. */
  | { readonly kind: "stopped"; readonly weightsHash: string | null }
  | { readonly kind: "diverged"; readonly epoch: number; readonly step: number; readonly what: string }
  /** Its own fault: the same would happen again anywhere. */
  | { readonly kind: "failed"; readonly error: ErrorData }
  /** The machine's fault: worth another attempt elsewhere. */
  | { readonly kind: "released"; readonly reason: string; readonly died?: boolean };

export type Event =
  // people
  | { readonly kind: "SweepSubmitted"; readonly call: CallId; readonly spec: SweepSpec }
  | { readonly kind: "SweepPaused"; readonly call: CallId; readonly sweep: SweepId }
  | { readonly kind: "SweepResumed"; readonly call: CallId; readonly sweep: SweepId }
  | { readonly kind: "SweepCancelled"; readonly call: CallId; readonly sweep: SweepId }
  /** More trials, more wall time; an ended sweep runs again. */
  | {
      readonly kind: "SweepExtended";
      readonly call: CallId;
      readonly sweep: SweepId;
      readonly trials: number;
      readonly wallMillis: number;
    }
  | { readonly kind: "TrialStopped"; readonly call: CallId; readonly trial: TrialId }
  /** Parameters not given are drawn. Counts towards run_cap as one trial more (the cap grows by one). */
  | { readonly kind: "TrialEnqueued"; readonly call: CallId; readonly sweep: SweepId; readonly parameters: Parameters }
  | { readonly kind: "TrialRerun"; readonly call: CallId; readonly trial: TrialId; readonly verify: boolean }
  // workers
  | {
      readonly kind: "WorkerHello";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly host: string;
      readonly pid: number;
      readonly version: string;
      readonly devices: readonly WorkerDevice[];
      readonly running: readonly HeldAttempt[];
      /** Lives before this one, known to be dead; what of their attempts `running` lists is taken over. */
      readonly previous?: readonly Incarnation[];
      /** Commits that the worker has heard of and this store does not have: it is an older copy. */
      readonly commitsAhead?: number;
    }
  | { readonly kind: "WorkerLinkLost"; readonly worker: WorkerId; readonly incarnation: Incarnation }
  | { readonly kind: "WorkerDraining"; readonly worker: WorkerId; readonly incarnation: Incarnation }
  | {
      readonly kind: "Heartbeat";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly running: readonly HeldAttempt[];
      /** By device; of a device that is not named nothing is known now. */
      readonly use?: Readonly<Record<string, DeviceUse>>;
    }
  | {
      readonly kind: "AttemptStarted";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly attempt: AttemptId;
      readonly token: Token;
      readonly fingerprint: string;
      /** Epoch of the checkpoint it really began with; 0 for none. */
      readonly fromEpoch: number;
    }
  | {
      readonly kind: "Reported";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly attempt: AttemptId;
      readonly token: Token;
      readonly epoch: number;
      readonly step: number;
      readonly metrics: Readonly<Record<string, MetricValue>>;
    }
  | {
      readonly kind: "AttemptEnded";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly attempt: AttemptId;
      readonly token: Token;
      readonly outcome: AttemptOutcome;
    }
  /** Its bytes are durable at the coordinator already. */
  | {
      readonly kind: "CheckpointSaved";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly attempt: AttemptId;
      readonly token: Token;
      readonly epoch: number;
      readonly digest: string;
      readonly bytes: number;
    }
  /** Its bytes are durable at the coordinator already. */
  | {
      readonly kind: "ArtifactSaved";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly attempt: AttemptId;
      readonly token: Token;
      readonly name: string;
      readonly mediaType: string;
      readonly epoch: number;
      readonly digest: string;
      readonly bytes: number;
    }
  // the coordinator itself
  /**
   * After a restart: every live lease gets a full fresh time. Tokens up to `tokens` may have been given, also in commits
   * that were lost, or that an older copy of the store does not have. `notes` are events of the store itself, to be put on
   * record.
   */
  | {
      readonly kind: "Booted";
      readonly tokens?: number;
      readonly notes?: readonly { readonly kind: string; readonly detail: string }[];
    }
  /** `judgesFrom`: nobody could be heard for a while, so silence is held against nobody before then. */
  | { readonly kind: "Tick"; readonly judgesFrom?: Millis }
  /** Something the shell did outside, to be put on record. */
  | {
      readonly kind: "Noted";
      readonly note: NoteKind;
      readonly sweep: SweepId | null;
      readonly trial: TrialId | null;
      readonly detail: string;
    };

/** What the shell may put on record by itself. */
export type NoteKind =
  | "coordinator-stood-still"
  | "store-degraded"
  | "store-damaged"
  | "store-growing"
  | `webhook-${"configured" | "due" | "delivered" | "failed" | "dropped"}`;

export type Mutation =
  | { readonly kind: "putSweep"; readonly sweep: Sweep }
  | { readonly kind: "putTrial"; readonly trial: Trial }
  | { readonly kind: "putAttempt"; readonly attempt: Attempt }
  | { readonly kind: "addReport"; readonly report: Report }
  | { readonly kind: "putArtifact"; readonly artifact: Artifact }
  | { readonly kind: "putWorker"; readonly worker: Worker }
  | { readonly kind: "addEvent"; readonly event: EventRecord }
  | { readonly kind: "setTokens"; readonly last: Token }
  | { readonly kind: "setSweeps"; readonly last: SweepId };

export interface CheckpointRef {
  readonly epoch: number;
  readonly digest: string;
  readonly bytes: number;
}

/** What a worker is told. The shell turns it into a `LinkResponse`. */
export type WorkerMessage =
  | { readonly kind: "Welcome"; readonly keep: readonly HeldAttempt[]; readonly drop: readonly HeldAttempt[] }
  | {
      readonly kind: "Assign";
      readonly attempt: AttemptId;
      readonly token: Token;
      readonly device: string;
      /** Canonical JSON of the resolved recipe of this trial. */
      readonly recipe: Json;
      readonly cohortKey: string;
      readonly seed: string;
      readonly parameters: Parameters;
      /** Train alone, whatever else runs (reruns with verify). */
      readonly alone: boolean;
      /** What to go on from, newest first; a worker that can use none of them begins at the start. */
      readonly checkpoints: readonly CheckpointRef[];
    }
  /** `save`: the trial will go on, so its lane is to be uploaded before it ends. */
  | { readonly kind: "Stop"; readonly attempt: AttemptId; readonly token: Token; readonly save: boolean }
  | { readonly kind: "Revoke"; readonly attempt: AttemptId; readonly token: Token }
  | { readonly kind: "Drain" };

export type Reply = { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly error: ErrorData };

/** Names of what the core logs; they stay when the words change. */
export type CoreLogEvent = "lease-refused" | "worker-name-taken" | "tokens-raised" | "rollback-detected";

export type Effect =
  | {
      readonly kind: "send";
      readonly worker: WorkerId;
      readonly incarnation: Incarnation;
      readonly message: WorkerMessage;
    }
  | { readonly kind: "reply"; readonly call: CallId; readonly reply: Reply }
  /** Of the files of this trial only these are of use any more. */
  | { readonly kind: "keepCheckpoints"; readonly trial: TrialId; readonly digests: readonly string[] }
  /** Wake the core with a Tick at or after this time. Only the earliest matters. */
  | { readonly kind: "wakeAt"; readonly at: Millis }
  | {
      readonly kind: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly event: CoreLogEvent;
      readonly message: string;
      readonly fields: Json;
    };

export interface Decision {
  readonly mutations: readonly Mutation[];
  readonly effects: readonly Effect[];
}
