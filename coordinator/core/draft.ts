/**
 * The workspace of one decision: mutations and effects so far, over a state that already shows them.
 *
 * Guarantees: every part of a decision sees what the parts before it decided, with all indexes; `rollback` puts the state
 * back exactly, so a decision that is answered, or that throws half way, has changed nothing. Works on the state itself
 * under a journal: a copy would cost as much as the sweep is long. Not here: what to decide.
 */
import type {
  AttemptId,
  ErrorData,
  ErrorOptions,
  Incarnation,
  Millis,
  SweepId,
  TrialId,
  WorkerId,
} from "../../proto/contract.js";
import { ConvsweepError, millis, trialId } from "../../proto/contract.js";
import { applyUndoable } from "./apply.js";
import type { Algorithms, History } from "./environment.js";
import type { CallId, CoreLogEvent, Decision, Effect, Mutation, WorkerMessage } from "./events.js";
import type { State } from "./state.js";
import type { Attempt, EventRecord, Json, Sweep, Trial, Worker } from "./types.js";

export class Draft {
  readonly state: State;
  readonly now: Millis;
  readonly history: History;
  readonly algorithms: Algorithms;
  /** Lanes came free or trials came to wait: placement has something to look at. */
  placementDue = false;
  readonly #mutations: Mutation[] = [];
  readonly #effects: Effect[] = [];
  readonly #undo: (() => void)[] = [];
  #wakeAt: number = Number.POSITIVE_INFINITY;

  constructor(state: State, now: Millis, history: History, algorithms: Algorithms) {
    this.state = state;
    this.now = now;
    this.history = history;
    this.algorithms = algorithms;
  }

  add(mutation: Mutation): void {
    this.#undo.push(applyUndoable(this.state, mutation));
    this.#mutations.push(mutation);
  }

  putSweep(sweep: Sweep): Sweep {
    this.add({ kind: "putSweep", sweep });
    return sweep;
  }

  putTrial(trial: Trial): Trial {
    this.add({ kind: "putTrial", trial });
    return trial;
  }

  putAttempt(attempt: Attempt): Attempt {
    this.add({ kind: "putAttempt", attempt });
    return attempt;
  }

  putWorker(worker: Worker): Worker {
    this.add({ kind: "putWorker", worker });
    return worker;
  }

  /** One line of the record of what happened and why. */
  record(kind: string, about: EventSubject, detail: string): void {
    const event: EventRecord = {
      at: this.now,
      kind,
      sweep: about.sweep ?? null,
      trial: about.trial ?? null,
      attempt: about.attempt ?? null,
      worker: about.worker ?? null,
      detail,
    };
    this.add({ kind: "addEvent", event });
  }

  sweep(id: SweepId): Sweep {
    return present(this.state.sweeps.get(id), `sweep ${id}`);
  }

  trial(id: TrialId): Trial {
    return present(this.state.trials.get(id), `trial ${id}`);
  }

  trialAt(sweep: Sweep, number: number): Trial {
    return this.trial(trialId(sweep.id, number));
  }

  attempt(id: AttemptId): Attempt | null {
    return this.state.attempts.get(id) ?? null;
  }

  send(worker: WorkerId, incarnation: Incarnation, message: WorkerMessage): void {
    this.#effects.push({ kind: "send", worker, incarnation, message });
  }

  /** Checkpoints of the trial that are not among these may be deleted. */
  keepCheckpoints(trial: TrialId, digests: readonly string[]): void {
    this.#effects.push({ kind: "keepCheckpoints", trial, digests });
  }

  reply(call: CallId, value: Json): void {
    this.#effects.push({ kind: "reply", call, reply: { ok: true, value } });
  }

  refuse(call: CallId, error: ErrorData): void {
    this.#effects.push({ kind: "reply", call, reply: { ok: false, error } });
  }

  log(level: "debug" | "info" | "warn" | "error", event: CoreLogEvent, message: string, fields: Json): void {
    this.#effects.push({ kind: "log", level, event, message, fields });
  }

  /** Asks for a Tick; the earliest of a decision is let out. */
  wakeAt(at: number): void {
    if (at < this.#wakeAt) this.#wakeAt = at;
  }

  /** Once, at the end. */
  answer(): Decision {
    if (Number.isFinite(this.#wakeAt)) this.#effects.push({ kind: "wakeAt", at: millis(this.#wakeAt) });
    return { mutations: this.#mutations, effects: this.#effects };
  }

  rollback(): void {
    for (const undo of this.#undo.reverse()) undo();
    this.#undo.length = 0;
  }
}

export type EventSubject = Partial<Pick<EventRecord, "sweep" | "trial" | "attempt" | "worker">>;

export function aboutTrial(trial: Trial): EventSubject {
  return { sweep: trial.sweep, trial: trial.id };
}

export function aboutAttempt(trial: Trial, attempt: Attempt): EventSubject {
  return { sweep: trial.sweep, trial: trial.id, attempt: attempt.id, worker: attempt.worker };
}

export function errorData(code: ErrorData["code"], message: string, options: ErrorOptions = {}): ErrorData {
  return new ConvsweepError(code, message, options).toData();
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new ConvsweepError("INTERNAL", `${what} is missing from the state`);
  return value;
}
