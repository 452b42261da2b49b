/**
 * What is counted as it happens: decisions, commits, refusals, the loop's delay.
 *
 * Guarantees: counters only grow, from 0 at the coordinator's start; counting costs no more than an addition or two an
 * event and never throws. Not here: what can be read from the state when somebody asks (families.ts).
 */
import { performance } from "node:perf_hooks";
import type { Algorithms } from "../../core/environment.js";
import type { Decision, Effect, Event, Mutation } from "../../core/events.js";
import type { Sampler } from "../../core/samplers/sampler.js";
import { Histogram } from "./text.js";

/** Where somebody was turned away, and why. */
export const DOORS = ["grpc", "http", "login", "feed", "metrics"] as const;
export type Door = (typeof DOORS)[number];
export const REFUSALS = ["unauthenticated", "forbidden", "host", "origin", "ticket", "limit"] as const;
export type Refusal = (typeof REFUSALS)[number];

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SIZES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];
/** How often the loop's delay is taken. */
const LOOP_MILLIS = 100;

export class Meter {
  /** Decided events by kind, and all of them. */
  readonly events = new Map<Event["kind"], number>();
  decisions = 0;
  /** Lines of the record of events, by kind. */
  readonly records = new Map<string, number>();
  readonly refused = new Map<`${Door} ${Refusal}`, number>();
  readonly commitSeconds = new Histogram(SECONDS);
  readonly commitMutations = new Histogram(SIZES);
  readonly turnEvents = new Histogram(SIZES);
  readonly suggestSeconds = new Histogram(SECONDS);
  readonly loopSeconds = new Histogram(SECONDS);
  readonly dispatchSeconds = new Histogram(SECONDS);
  assignments = 0;
  reports = 0;
  duplicates = 0;
  fenced = 0;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    let due = performance.now() + LOOP_MILLIS;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.loopSeconds.observe(Math.max(0, now - due) / 1_000);
      due = now + LOOP_MILLIS;
    }, LOOP_MILLIS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  refuse(door: Door, why: Refusal): void {
    grow(this.refused, `${door} ${why}`);
  }

  /** One event was decided; not durable yet. */
  decided(event: Event, { mutations, effects }: Decision): void {
    grow(this.events, event.kind);
    this.decisions += 1;
    for (const mutation of mutations) this.#mutation(mutation);
    for (const effect of effects) if (isAssign(effect)) this.assignments += 1;
    if (event.kind !== "Reported" && event.kind !== "AttemptStarted" && event.kind !== "AttemptEnded") return;
    if (effects.some((effect) => revokes(effect, event))) this.fenced += 1;
    else if (event.kind === "Reported" && !mutations.some(({ kind }) => kind === "addReport")) this.duplicates += 1;
  }

  /** A commit of so many events and mutations begins; the answer is called when it is durable. */
  committing(events: number, mutations: number): () => void {
    const began = performance.now();
    return () => {
      this.turnEvents.observe(events);
      this.commitMutations.observe(mutations);
      this.commitSeconds.observe((performance.now() - began) / 1_000);
    };
  }

  /** Assignments were written, so many milliseconds after what freed their slots was received. */
  dispatched(millis: number): void {
    this.dispatchSeconds.observe(millis / 1_000);
  }

  /** The same algorithms, with the time that suggestions take. */
  timing(algorithms: Algorithms): Algorithms {
    const timed = ([name, sampler]: [string, Sampler]): [string, Sampler] => [
      name,
      {
        check: (space, options) => sampler.check(space, options),
        suggest: (context) => {
          const started = performance.now();
          try {
            return sampler.suggest(context);
          } finally {
            this.suggestSeconds.observe((performance.now() - started) / 1_000);
          }
        },
      },
    ];
    return { ...algorithms, samplers: new Map([...algorithms.samplers].map(timed)) };
  }

  #mutation(mutation: Mutation): void {
    if (mutation.kind === "addReport") this.reports += 1;
    else if (mutation.kind === "addEvent") grow(this.records, mutation.event.kind);
  }
}

function grow<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

export function isAssign(effect: Effect): boolean {
  return effect.kind === "send" && effect.message.kind === "Assign";
}

/** The sender is told to let go of what it spoke of. */
function revokes(
  effect: Effect,
  event: Extract<Event, { readonly token: unknown; readonly attempt: unknown }>,
): boolean {
  if (effect.kind !== "send" || effect.message.kind !== "Revoke") return false;
  return effect.message.attempt === event.attempt && effect.message.token === event.token;
}
