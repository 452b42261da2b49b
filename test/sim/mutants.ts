/**
 * Mistakes planted on purpose, each a small change at a seam of the runtime: what the core decides, whom a message goes
 * to, in which order a turn does its work, what the disk keeps. The simulator has to catch every one (mutants.test.ts).
 */
import { decide } from "../../coordinator/core/decide.js";
import type { History } from "../../coordinator/core/environment.js";
import type { Decision, Effect, Event, Mutation } from "../../coordinator/core/events.js";
import type { State } from "../../coordinator/core/state.js";
import { type AttemptId, type Millis, millis, token } from "../../proto/contract.js";
import { ALGORITHMS } from "./algorithms.js";

type Send = Extract<Effect, { readonly kind: "send" }>;

export interface Mutant {
  /** `null` for the product's own. */
  readonly decide: typeof decide | null;
  readonly send: (state: State, effect: Send) => Send;
  /** Acknowledges before it commits. */
  readonly acknowledgesFirst: boolean;
  /** Lets these messages out before it commits. */
  readonly sendsFirst: ((effect: Send) => boolean) | null;
  /** Changes that pages do not hear of. */
  readonly hides: ((mutation: Mutation) => boolean) | null;
  /** What the disk really keeps of a batch. */
  readonly stores: (batch: readonly Mutation[]) => readonly Mutation[];
  /** A commit that is still being flushed counts as durable. */
  readonly saysDurableEarly: boolean;
  /** Batches that a crash takes from the disk although their commit returned. */
  readonly losesBatches: number;
  /**
   * The next process of a worker's name gets what dead ones left: all, who they were alone, all but who they were before
   * the last, or nothing.
   */
  readonly inherits: "all" | "name" | "last" | "nothing";
  /** An older copy put in place goes on with the generation it has. */
  readonly keepsGeneration: boolean;
  /** Workers are not told that the store is older than it was. */
  readonly hidesRollback: boolean;
  /** Commits are told apart by their numbers alone. */
  readonly hidesOpenings: boolean;
}

/** What the mutants' decisions may know of the world. */
export interface Surroundings {
  /** By how much the wall clock of the coordinator's machine was moved, milliseconds. */
  readonly wallStep: number;
}

type Changes = Partial<Mutant>;

const sound = (state: State, event: Event, now: Millis, history: History): Decision =>
  decide(state, event, now, history, ALGORITHMS);

const SOUND: Mutant = {
  decide: null,
  send: (_state, effect) => effect,
  acknowledgesFirst: false,
  sendsFirst: null,
  hides: null,
  stores: (batch) => batch,
  saysDurableEarly: false,
  losesBatches: 0,
  inherits: "all",
  keepsGeneration: false,
  hidesRollback: false,
  hidesOpenings: false,
};

/** Changes the event before it is decided. */
function hearing(change: (state: State, event: Event) => Event): Changes {
  return { decide: (state, event, now, history) => sound(state, change(state, event), now, history) };
}

/** Changes the decision. */
function deciding(change: (decision: Decision, state: State, event: Event, now: Millis) => Decision): Changes {
  return {
    decide: (state, event, now, history) => change(sound(state, event, now, history), state, event, now),
  };
}

function without(decision: Decision, drop: (mutation: Mutation) => boolean): Decision {
  return { ...decision, mutations: decision.mutations.filter((mutation) => !drop(mutation)) };
}

/** The message as its holder would have sent it, if anybody holds the attempt. */
function asItsHolder(state: State, event: Event, also: (held: { readonly worker: string }) => boolean): Event {
  if (!("attempt" in event)) return event;
  const held = state.attempts.get(event.attempt);
  if (held === undefined || !also(held)) return event;
  return { ...event, worker: held.worker, incarnation: held.incarnation, token: held.token };
}

export const MUTANTS: Readonly<
  Record<string, { readonly what: string; readonly make: (around: Surroundings) => Changes }>
> = {
  "acknowledge-before-commit": {
    what: "a worker's messages are acknowledged as they are decided, before the commit",
    make: () => ({ acknowledgesFirst: true }),
  },
  "assign-before-commit": {
    what: "an assignment leaves before the commit of its grant",
    make: () => ({ sendsFirst: ({ message }) => message.kind === "Assign" }),
  },
  "no-fence": {
    what: "whoever speaks of a live attempt is believed, whatever its token, name and life",
    make: () => hearing((state, event) => asItsHolder(state, event, () => true)),
  },
  "no-new-fence": {
    what: "a trial given away again keeps the token it had",
    make: () => {
      const last = new Map<string, number>();
      return deciding((decision) => {
        const swap = new Map<number, number>();
        for (const mutation of decision.mutations) {
          if (mutation.kind !== "putAttempt" || mutation.attempt.state !== "offered") continue;
          const { trial, token: fresh } = mutation.attempt;
          const before = last.get(trial);
          if (before === undefined) last.set(trial, fresh);
          else if (before !== fresh) swap.set(fresh, before);
        }
        if (swap.size === 0) return decision;
        return {
          mutations: decision.mutations.map((mutation) => {
            if (mutation.kind !== "putAttempt") return mutation;
            const { attempt } = mutation;
            return { ...mutation, attempt: { ...attempt, token: token(swap.get(attempt.token) ?? attempt.token) } };
          }),
          effects: decision.effects.map((effect) => {
            if (effect.kind !== "send" || effect.message.kind !== "Assign") return effect;
            const { message } = effect;
            return { ...effect, message: { ...message, token: token(swap.get(message.token) ?? message.token) } };
          }),
        };
      });
    },
  },
  "lease-by-wall-clock": {
    what: "leases run on the machine's wall clock",
    make: (around) => ({
      decide: (state, event, now, history) =>
        sound(state, event, event.kind === "Tick" ? millis(now + Math.max(0, around.wallStep)) : now, history),
    }),
  },
  "no-grace-after-restart": {
    what: "a restart leaves the leases as they were",
    make: () =>
      deciding((decision, _state, event) =>
        event.kind === "Booted" ? without(decision, (mutation) => mutation.kind === "putAttempt") : decision,
      ),
  },
  "duplicate-completion": {
    what: "an end that comes twice is recorded twice",
    make: () =>
      deciding((decision, state, event) => {
        if (event.kind !== "AttemptEnded" || event.outcome.kind !== "completed") return decision;
        const trial = state.trials.get(event.attempt.slice(0, event.attempt.indexOf("#")) as never);
        if (trial === undefined || trial.state !== "completed") return decision;
        const record = { sweep: trial.sweep, trial: trial.id, attempt: event.attempt, worker: event.worker } as const;
        const again = { at: trial.createdAt, kind: "trial-completed", ...record, detail: "" };
        return { ...decision, mutations: [...decision.mutations, { kind: "addEvent", event: again }] };
      }),
  },
  "over-lanes": {
    what: "every device is believed to have a lane more than it has",
    make: () =>
      hearing((_state, event) => {
        if (event.kind !== "WorkerHello") return event;
        return { ...event, devices: event.devices.map((device) => ({ ...device, lanes: device.lanes + 1 })) };
      }),
  },
  "lost-incarnation": {
    what: "a new process takes over what the old one of its name held",
    make: () =>
      hearing((state, event) => asItsHolder(state, event, (held) => "worker" in event && held.worker === event.worker)),
  },
  "wrong-incarnation": {
    what: "messages go to whoever has the name now, not to the life they are meant for",
    make: () => ({
      send: (state, effect) => {
        const now = state.workers.get(effect.worker);
        return now === undefined ? effect : { ...effect, incarnation: now.incarnation };
      },
    }),
  },
  "flush-not-awaited": {
    what: "effects leave when a commit is written, before it is flushed",
    make: () => ({ saysDurableEarly: true }),
  },
  "disk-lies": {
    what: "the newest commit is lost in a crash, as with synchronous = NORMAL",
    make: () => ({ losesBatches: 1 }),
  },
  "spool-dropped": {
    what: "a worker's process does not look at what the dead one of its name left",
    make: () => ({ inherits: "nothing" }),
  },
  "spool-unread": {
    what: "a worker's process says that the one before it is dead, and not what that one had to say",
    make: () => ({ inherits: "name" }),
  },
  "last-life-alone": {
    what: "a worker's process names only the one before it, though that one may have died before it was welcomed",
    make: () => ({ inherits: "last" }),
  },
  "restore-keeps-generation": {
    what: "an older copy of the store that is put back gives its tokens again",
    make: () => ({ keepsGeneration: true }),
  },
  "rollback-hidden": {
    what: "workers do not hear that the store is older than it was",
    make: () => ({ hidesRollback: true }),
  },
  "openings-hidden": {
    what: "commits are told apart by their numbers alone, which are given again after a crash that lost some",
    make: () => ({ hidesOpenings: true }),
  },
  "crash-keeps-tokens": {
    what: "after commits were lost, in a crash or to an older copy, the tokens in them are given again",
    make: () => hearing((_state, event) => (event.kind === "Booted" ? { ...event, tokens: 0 } : event)),
  },
  "heartbeat-renews-nothing": {
    what: "a heartbeat does not renew the leases it lists",
    make: () =>
      deciding((decision, state, event) => {
        if (event.kind !== "Heartbeat") return decision;
        const listed = new Set<AttemptId>(event.running.map((held) => held.attempt));
        return without(
          decision,
          (mutation) =>
            mutation.kind === "putAttempt" &&
            listed.has(mutation.attempt.id) &&
            state.attempts.has(mutation.attempt.id),
        );
      }),
  },
  "expired-lease-stays": {
    what: "a Tick does not look at leases",
    make: () =>
      deciding((decision, state, event) => {
        if (event.kind !== "Tick" || state.attempts.size === 0) return decision;
        const expires = decision.mutations.some((one) => one.kind === "putAttempt" && one.attempt.state === "lost");
        return expires ? { mutations: [], effects: decision.effects } : decision;
      }),
  },
  "repeat-overwrites": {
    what: "a report that comes again with another value takes the place of the first",
    make: () =>
      deciding((decision, state, event, now) => {
        if (event.kind !== "Reported") return decision;
        const held = state.attempts.get(event.attempt);
        if (held === undefined || held.token !== event.token || held.incarnation !== event.incarnation) return decision;
        if (event.epoch > held.lastEpoch) return decision;
        const { attempt, epoch, step, metrics } = event;
        const report = { trial: held.trial, attempt, epoch, step, metrics, at: now };
        return { ...decision, mutations: [...decision.mutations, { kind: "addReport", report }] };
      }),
  },
  "report-lost": {
    what: "a report changes its trial and is not recorded",
    make: () =>
      deciding((decision, _state, event) =>
        event.kind === "Reported" && event.epoch === 2
          ? without(decision, (mutation) => mutation.kind === "addReport")
          : decision,
      ),
  },
  "stopped-report-lost": {
    what: "a report of an attempt that is asked to stop is not recorded",
    make: () =>
      deciding((decision, state, event) =>
        event.kind === "Reported" && state.attempts.get(event.attempt)?.stopping != null
          ? without(decision, (mutation) => mutation.kind === "addReport")
          : decision,
      ),
  },
  "row-dropped": {
    what: "of several reports in one commit the disk does not keep the last",
    make: () => ({
      stores: (batch) => {
        const [first, ...others] = batch.filter(({ kind }) => kind === "addReport");
        return first === undefined ? batch : batch.filter((mutation) => mutation !== others.at(-1));
      },
    }),
  },
  "cancelled-goes-on": {
    what: "a cancelled sweep goes on giving out trials",
    make: () => {
      return {
        decide: (state, event, now, history) => {
          const decision = sound(state, event, now, history);
          if (event.kind !== "SweepCancelled" || !state.sweeps.has(event.sweep)) return decision;
          return {
            ...decision,
            mutations: decision.mutations.filter(
              (mutation) => mutation.kind === "putSweep" || mutation.kind === "addEvent",
            ),
          };
        },
      };
    },
  },
  "lost-lease-not-revoked": {
    what: "a lease that runs out is not revoked: its Assign may still be on the way",
    make: () =>
      deciding((decision, _state, event) => {
        if (event.kind !== "Tick") return decision;
        const revokes = (effect: Effect): boolean => effect.kind === "send" && effect.message.kind === "Revoke";
        return { ...decision, effects: decision.effects.filter((effect) => !revokes(effect)) };
      }),
  },
  "checkpoint-forged": {
    what: "a saved lane is kept as one of the epoch after",
    make: () =>
      deciding((decision, _state, event) => {
        if (event.kind !== "CheckpointSaved") return decision;
        return {
          ...decision,
          mutations: decision.mutations.map((mutation) => {
            if (mutation.kind !== "putTrial") return mutation;
            const [newest, ...others] = mutation.trial.checkpoints;
            if (newest?.digest !== event.digest) return mutation;
            const progress = { ...newest.progress, epoch: newest.progress.epoch + 1 };
            return { ...mutation, trial: { ...mutation.trial, checkpoints: [{ ...newest, progress }, ...others] } };
          }),
        };
      }),
  },
  "welcome-forgets": {
    what: "a worker that comes back is told to drop what it holds",
    make: () =>
      deciding((decision, _state, event) => {
        if (event.kind !== "WorkerHello") return decision;
        return {
          ...decision,
          effects: decision.effects.map((effect) => {
            if (effect.kind !== "send" || effect.message.kind !== "Welcome") return effect;
            const { keep, drop } = effect.message;
            return { ...effect, message: { kind: "Welcome", keep: [], drop: [...keep, ...drop] } };
          }),
        };
      }),
  },
  "page-forgets": {
    what: "the page is not told of trials that end",
    make: () => ({ hides: (mutation) => mutation.kind === "putTrial" && mutation.trial.endedAt !== null }),
  },
  "wake-forgotten": {
    what: "the core asks for no Tick",
    make: () =>
      deciding((decision) => ({ ...decision, effects: decision.effects.filter((effect) => effect.kind !== "wakeAt") })),
  },
};

export type MutantName = string;

export function mutantOf(name: MutantName | null, around: Surroundings): Mutant {
  if (name === null) return SOUND;
  const found = MUTANTS[name];
  if (found === undefined) throw new Error(`there is no mutant ${name}; there are ${Object.keys(MUTANTS).join(", ")}`);
  return { ...SOUND, decide: sound, ...found.make(around) };
}
