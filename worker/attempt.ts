/** What the agent knows of an attempt that it holds, and what is left to say of those of a dead process. Pure. */
import type { Predecessor } from "./agent-messages.js";
import type { CheckpointRef, Held, Job, LogFields, Outcome } from "./messages.js";
import { type Body, endedBody } from "./wire.js";

export interface Attempt {
  readonly held: Held;
  readonly device: string;
  /** `null` for one that a dead process trained. */
  readonly job: Job | null;
  phase: "assigned" | "running" | "ended";
  fingerprint: string;
  fromEpoch: number;
  /** Checkpoints not yet tried. */
  untried: readonly CheckpointRef[];
  /** A saved lane is on its way to the coordinator. */
  uploading: boolean;
  /** Files on their way to the coordinator. */
  artifacts: number;
  /** How it ended, held back until what belongs to it is uploaded. */
  outcome: Outcome | null;
}

export function attemptOf(held: Held, device: string, job: Job | null, phase: Attempt["phase"]): Attempt {
  const untried = job?.checkpoints ?? [];
  return {
    held,
    device,
    job,
    phase,
    fingerprint: "",
    fromEpoch: 0,
    untried,
    uploading: false,
    artifacts: 0,
    outcome: null,
  };
}

/** For the log. */
export function about({ attempt, token }: Held, more: LogFields): LogFields {
  return Object.assign({ attempt, token }, more);
}

/** Everything it left, in order, and the end of each attempt that had none. */
export function lastWords({ entries }: Predecessor): readonly { readonly held: Held; readonly body: Body }[] {
  const words = entries.flatMap(({ held, body }) => (held ? [{ held, body }] : []));
  const over = new Set(words.flatMap(({ held, body }) => (body.$case === "ended" ? [held.attempt] : [])));
  const open = new Map(words.flatMap(({ held }) => (over.has(held.attempt) ? [] : [[held.attempt, held] as const])));
  const outcome: Outcome = { kind: "released", reason: "the process that trained it ended", died: true };
  return [...words, ...[...open.values()].map((held) => ({ held, body: endedBody(held, outcome) }))];
}
