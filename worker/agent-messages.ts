/** What goes into the agent and what it wants done, as plain data. */
import type { Device, DeviceUse } from "../proto/gen/convsweep/v1/types.js";
import type { LinkRequest, LinkResponse } from "../proto/gen/convsweep/v1/worker.js";
import type { LogEvent } from "./log-events.js";
import type {
  Artifact,
  ArtifactRef,
  CheckpointRef,
  Held,
  LogFields,
  LogLevel,
  SavedLane,
  ThreadCommand,
  ThreadMessage,
} from "./messages.js";
import type { Entry } from "./outbox.js";

/** Who the worker is; what `Hello` says. */
export interface Identity {
  readonly worker: string;
  readonly incarnation: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly devices: readonly Device[];
}

/** What the processes before this one, under the same name and known to be dead, have left. */
export interface Predecessor {
  /** The last that the coordinator welcomed, then those that died before it did, oldest first. */
  readonly lives: readonly string[];
  /** Whose they are; "" if it never heard of one. */
  readonly store: string;
  readonly entries: readonly Entry[];
}

export interface AgentLimits {
  /** Messages sent ahead of the acknowledgement. */
  readonly window: number;
  /** Messages waiting beyond which training pauses. */
  readonly outbox: number;
  /** Bytes kept on disk beyond which training pauses. */
  readonly spoolBytes: number;
  /** Milliseconds that a leaving worker waits for its last acknowledgements. */
  readonly flushMillis: number;
}

export type AgentInput =
  | { readonly kind: "linkUp" }
  | { readonly kind: "linkDown" }
  | { readonly kind: "received"; readonly message: LinkResponse }
  | { readonly kind: "thread"; readonly device: string; readonly message: ThreadMessage }
  /** What a `download` brought; `null` if it brought nothing that can be used. */
  | { readonly kind: "downloaded"; readonly held: Held; readonly lane: SavedLane | null; readonly reason: string }
  /** What came of an `upload`: where it is kept now, `null` if nowhere. */
  | { readonly kind: "uploaded"; readonly held: Held; readonly kept: CheckpointRef | null; readonly reason: string }
  /** What came of an `uploadArtifact`. */
  | {
      readonly kind: "artifactUploaded";
      readonly held: Held;
      readonly kept: ArtifactRef | null;
      readonly reason: string;
    }
  /** What the devices say of themselves now; said with every heartbeat. */
  | { readonly kind: "sampled"; readonly use: readonly DeviceUse[] }
  /** Answers `flushSoon`. */
  | { readonly kind: "flush" }
  /** Give everything back and end the process. */
  | { readonly kind: "leave"; readonly reason: string; readonly code: number }
  | { readonly kind: "tick" };

export type AgentEffect =
  | { readonly kind: "send"; readonly message: LinkRequest }
  /** Something is to be sent, but more may come in the same turn of the event loop; answered with `flush` at its end. */
  | { readonly kind: "flushSoon" }
  /** Answered with `downloaded`. */
  | { readonly kind: "download"; readonly held: Held; readonly checkpoint: CheckpointRef }
  /** Answered with `uploaded`. */
  | { readonly kind: "upload"; readonly held: Held; readonly lane: SavedLane }
  /** Answered with `artifactUploaded`. */
  | { readonly kind: "uploadArtifact"; readonly held: Held; readonly artifact: Artifact }
  /** Keep it on disk, before it is sent. */
  | { readonly kind: "spool"; readonly entry: Entry }
  /** Of no more use. */
  | { readonly kind: "unspool"; readonly entries: readonly Entry[] }
  /** The coordinator will not have these; they are put down for the user. */
  | { readonly kind: "refused"; readonly held: Held; readonly entries: readonly Entry[]; readonly reason: string }
  | { readonly kind: "command"; readonly device: string; readonly command: ThreadCommand }
  /** The other side broke the protocol: begin a new link. */
  | { readonly kind: "relink"; readonly reason: string }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly event: LogEvent;
      readonly message: string;
      readonly fields: LogFields;
    }
  | { readonly kind: "exit"; readonly code: number };
