/**
 * What the webhook tells: lines of the record of events that somebody who is not looking wants to know.
 *
 * Guarantees: the end of a sweep (completed, cancelled, failed) and its target are told each; trials that failed, were lost
 * or quarantined are told at once for the first of a sweep and then at most once a minute with their number, however many
 * they are. A notice's id is the same after a restart. Not here: how it is sent (delivery.ts).
 */
import { createHash } from "node:crypto";
import { type Millis, millis, type SweepId } from "../../../proto/contract.js";
import { indexOf, type State, trialsOf } from "../../core/state.js";
import type { EventRecord, Json, Trial } from "../../core/types.js";
import type { Clock } from "../clock.js";

export interface Notice {
  readonly id: string;
  /** Kind of the event that it tells. */
  readonly event: string;
  readonly sweep: SweepId | null;
  /** How many trials' troubles it tells of. */
  readonly trials: number;
  readonly body: Json;
}

const SWEEP_EVENTS: ReadonlySet<string> = new Set([
  "sweep-completed",
  "sweep-cancelled",
  "sweep-failed",
  "target-reached",
]);
const TRIAL_EVENTS: ReadonlySet<string> = new Set(["trial-failed", "trial-lost", "trial-quarantined"]);
const TROUBLE_MILLIS = 60_000;

export const isSweepEvent = ({ kind }: EventRecord): boolean => SWEEP_EVENTS.has(kind);
export const isTrialEvent = ({ kind }: EventRecord): boolean => TRIAL_EVENTS.has(kind);

/** Everything that is told. */
export const TOLD_EVENTS: readonly string[] = [...SWEEP_EVENTS, ...TRIAL_EVENTS];

export function noticeId({ kind, sweep, trial, at }: EventRecord): string {
  return createHash("sha256")
    .update(JSON.stringify([kind, sweep, trial, at]))
    .digest("hex")
    .slice(0, 16);
}

export function noticeOf(state: State, event: EventRecord, trials: number): Notice {
  const id = noticeId(event);
  const { kind, at, sweep, trial, detail, worker } = event;
  const body: Json = {
    version: 1,
    id,
    event: kind,
    at: new Date(at).toISOString(),
    detail,
    sweep: sweep === null ? null : sweepOf(state, sweep),
    trial: trial === null ? null : { id: trial, worker },
    trials,
  };
  return { id, event: kind, sweep, trials, body };
}

/** Passes sweeps' events on and gathers trials' troubles. */
export class Notices {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #tell: (notice: Notice) => void;
  /** Sweeps whose troubles were told within the last minute: how many since, the newest, and the end of that minute. */
  readonly #troubles = new Map<SweepId, { count: number; newest: EventRecord | null; cancel: () => void }>();

  constructor(state: State, clock: Clock, tell: (notice: Notice) => void) {
    this.#state = state;
    this.#clock = clock;
    this.#tell = tell;
  }

  note(event: EventRecord): void {
    if (isSweepEvent(event)) this.#tell(noticeOf(this.#state, event, 0));
    else if (isTrialEvent(event) && event.sweep !== null) this.#trouble(event, event.sweep);
  }

  close(): void {
    for (const { cancel } of this.#troubles.values()) cancel();
    this.#troubles.clear();
  }

  #trouble(event: EventRecord, sweep: SweepId): void {
    const open = this.#troubles.get(sweep);
    if (open !== undefined) {
      open.count += 1;
      open.newest = event;
      return;
    }
    this.#tell(noticeOf(this.#state, event, 1));
    this.#open(sweep);
  }

  #open(sweep: SweepId): void {
    const until: Millis = millis(this.#clock.now() + TROUBLE_MILLIS);
    const cancel = this.#clock.schedule(until, () => {
      const known = this.#troubles.get(sweep);
      this.#troubles.delete(sweep);
      if (known?.newest == null) return;
      this.#tell(noticeOf(this.#state, known.newest, known.count));
      this.#open(sweep);
    });
    this.#troubles.set(sweep, { count: 0, newest: null, cancel });
  }
}

function sweepOf(state: State, id: SweepId): Json {
  const sweep = state.sweeps.get(id);
  if (sweep === undefined) return { id };
  const index = indexOf(state, id);
  return {
    id,
    name: sweep.spec.name,
    state: sweep.state,
    cause: sweep.cause,
    trials: { ...index.counts },
    metric: sweep.spec.objective.name,
    best: index.best === null ? null : bestOf(state, id, index.best.number),
  };
}

function bestOf(state: State, id: SweepId, number: number): Json {
  const sweep = state.sweeps.get(id);
  if (sweep === undefined) return null;
  let found: Trial | null = null;
  for (const trial of trialsOf(state, sweep)) if (trial.number === number) found = trial;
  if (found === null) return null;
  return { trial: found.id, value: found.best?.value ?? null, parameters: found.parameters };
}
