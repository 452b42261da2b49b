/**
 * The loop that drives the core: events in, decisions, one commit a turn, then effects out.
 *
 * Guarantees: events are decided in the order they came; nothing leaves (message, acknowledgement, reply, feed) before
 * the mutations of its turn are durable. If a commit or an apply throws, the loop stops for good (fail-stop): memory is
 * then ahead of the store, so no event is decided any more, waiting calls are refused and the owner is told once.
 * A `decide` that throws has changed nothing: that one event is refused to whoever sent it and the loop goes on, but for
 * the coordinator's own events (Booted, Tick), which stop it.
 *
 * Not here: sockets, decisions, SQL.
 */
import { type AttemptId, ConvsweepError, type Millis, millis, TIMES, toConvsweepError } from "../../proto/contract.js";
import { apply } from "../core/apply.js";
import { decide } from "../core/decide.js";
import { ALGORITHMS, type Algorithms, type History } from "../core/environment.js";
import type { CallId, Decision, Effect, Event, Mutation, Reply } from "../core/events.js";
import type { State } from "../core/state.js";
import type { Report } from "../core/types.js";
import type { Store } from "../store/store.js";
import type { Clock } from "./clock.js";
import type { Log } from "./log.js";
import type { Meter } from "./metrics/meter.js";
import { eventLoopTurns, type Turns } from "./turns.js";

/** Who sent an event, when it is not a call. */
export interface Origin {
  /** True when the event must not be decided any more; asked just before. */
  skip(): boolean;
  /** What the event changed is durable. Called before the effects of its turn. */
  committed(): void;
  /** `decide` refused the event by throwing; it changed nothing. */
  failed(error: ConvsweepError): void;
}

export type CallEvent = Extract<Event, { readonly call: CallId }>;
type OmitCall<T> = T extends unknown ? Omit<T, "call"> : never;
/** A call without its number, which the runtime gives. */
export type Call = OmitCall<CallEvent>;

export interface RuntimeListener {
  /** Effects but `reply` and `wakeAt`, which stay in here. */
  effect(effect: Extract<Effect, { readonly kind: "send" | "log" | "keepCheckpoints" }>): void;
  /** After the effects of a turn; `mutations` are durable and applied. */
  turnEnded(mutations: readonly Mutation[], now: Millis): void;
  /** The loop stopped for good. */
  fatal(error: ConvsweepError): void;
}

export type Decide = typeof decide;

export interface RuntimeOptions {
  readonly state: State;
  readonly store: Store;
  readonly clock: Clock;
  readonly listener: RuntimeListener;
  readonly log: Log;
  /** Default: the event loop's. */
  readonly turns?: Turns;
  /** Counts and times what happens; a simulation has none. */
  readonly meter?: Meter;
  /** Default: the core's. */
  readonly decide?: Decide;
}

/** A turn ends after this long, if not after as many events as it may have. */
const TURN_MILLIS = 2;
/**
 * A wake this late means that the process stood still: stopped, swapped out, a disk that hung. What the workers said
 * meanwhile is still in the sockets, and their links may have to come back, so no lease is judged for as long as after
 * a restart.
 */
const STOOD_STILL_MILLIS = 1_000;

interface Entry {
  readonly event: Event;
  /** When it was received: leases are measured from there, however long it waited. */
  readonly at: Millis;
  readonly origin: Origin | null;
}

export class Runtime implements History {
  readonly state: State;
  readonly #options: RuntimeOptions;
  readonly #turns: Turns;
  readonly #algorithms: Algorithms;
  readonly #mind: Decide;
  readonly #calls = new Map<CallId, (reply: Reply) => void>();
  /** Reports of this turn, by attempt. */
  readonly #uncommitted = new Map<AttemptId, Report[]>();
  /** Called when few events wait. */
  #quiet: (() => void)[] = [];
  #queue: Entry[] = [];
  #head = 0;
  #nextCall: CallId = 1;
  #scheduled = false;
  #turning = false;
  #closed: ConvsweepError | null = null;
  #wakeAt: Millis | null = null;
  /** What the one timer is set to. */
  #armed: Millis | null = null;
  /** After the process stood still: no Tick before. */
  #noTickBefore: Millis | null = null;
  #cancelWake: () => void = () => {};

  constructor(options: RuntimeOptions) {
    this.state = options.state;
    this.#options = options;
    this.#turns = options.turns ?? eventLoopTurns();
    this.#algorithms = options.meter?.timing(ALGORITHMS) ?? ALGORITHMS;
    this.#mind = options.decide ?? decide;
  }

  /** Events that wait; links read no further when there are too many. */
  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  /** Queues an event. Ignored once the loop has stopped. */
  push(event: Event, origin: Origin | null = null): void {
    if (this.#closed) return;
    this.#queue.push({ event, at: this.#options.clock.now(), origin });
    this.#schedule();
  }

  /** Queues a call; resolves once what it changed is durable, or it was refused. Never rejects. */
  submit(call: Call): Promise<Reply> {
    return new Promise((resolve) => this.ask(call, resolve));
  }

  /** As `submit`, with a function that is called once with the reply. */
  ask(call: Call, answer: (reply: Reply) => void): void {
    if (this.#closed) return answer(refused(this.#closed));
    const id = this.#nextCall++;
    this.#calls.set(id, answer);
    this.push({ ...call, call: id } as CallEvent);
  }

  /** Calls `action` once the queue is short again. */
  whenQuiet(action: () => void): void {
    this.#quiet.push(action);
  }

  /** For the core: what the store holds and what this turn has decided already. */
  attemptReports(attempt: AttemptId): readonly Report[] {
    const stored = this.#options.store.attemptReports(attempt);
    const fresh = this.#uncommitted.get(attempt);
    return fresh ? [...stored, ...fresh] : stored;
  }

  /** Decides everything that waits, now. Throws if the loop had to stop. */
  settle(): void {
    while (!this.#closed && this.waiting > 0 && !this.#turning) this.#turn();
    if (this.#closed) throw this.#closed;
  }

  /** Decides everything that waits, now, and stops. Idempotent. */
  close(): void {
    if (this.#closed) return;
    try {
      this.settle();
    } catch {
      // It had to stop; the owner was told.
      return;
    }
    this.#stop(new ConvsweepError("UNAVAILABLE", "the coordinator is closing"));
  }

  #schedule(): void {
    if (this.#scheduled || this.#turning) return;
    this.#scheduled = true;
    this.#turns.next(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#turn();
    }, this.waiting);
  }

  #turn(): void {
    this.#turning = true;
    try {
      this.#decideAndCommit();
    } catch (thrown) {
      const error = toConvsweepError(thrown);
      this.#stop(new ConvsweepError("UNAVAILABLE", `the coordinator had to stop: ${error.message}`, { cause: error }));
      this.#options.listener.fatal(error);
    } finally {
      this.#turning = false;
    }
    if (!this.#closed && this.waiting > 0) this.#schedule();
  }

  #decideAndCommit(): void {
    const { clock, store, listener, meter } = this.#options;
    const started = clock.now();
    const mutations: Mutation[] = [];
    const effects: Effect[] = [];
    const decided: Origin[] = [];
    let count = 0;
    for (; count < this.#turns.events && this.waiting > 0; count += 1) {
      if (count % 16 === 15 && clock.now() - started > TURN_MILLIS) break;
      const entry = this.#take();
      if (entry.origin?.skip()) continue;
      const decision = this.#decide(entry);
      if (decision === null) continue;
      for (const mutation of decision.mutations) {
        apply(this.state, mutation);
        mutations.push(mutation);
        if (mutation.kind === "addReport") this.#remember(mutation.report);
      }
      for (const effect of decision.effects) effects.push(effect);
      if (entry.origin) decided.push(entry.origin);
    }
    if (mutations.length > 0) {
      const commit = (): void => store.commit(mutations);
      if (meter) meter.commit(count, mutations.length, commit);
      else commit();
      this.#turns.committed();
    }
    this.#uncommitted.clear();
    for (const origin of decided) origin.committed();
    for (const effect of effects) this.#release(effect);
    listener.turnEnded(mutations, clock.now());
    this.#armWake();
    if (this.waiting < this.#turns.events && this.#quiet.length > 0) {
      const quiet = this.#quiet;
      this.#quiet = [];
      for (const action of quiet) action();
    }
  }

  #remember(report: Report): void {
    const known = this.#uncommitted.get(report.attempt);
    if (known) known.push(report);
    else this.#uncommitted.set(report.attempt, [report]);
  }

  #take(): Entry {
    const entry = this.#queue[this.#head] as Entry;
    this.#head += 1;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head >= 4_096) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  #decide(entry: Entry): Decision | null {
    try {
      const decision = this.#mind(this.state, entry.event, entry.at, this, this.#algorithms);
      this.#options.meter?.decided(entry.event, decision);
      return decision;
    } catch (thrown) {
      if (entry.event.kind === "Booted" || entry.event.kind === "Tick") throw thrown;
      const error = toConvsweepError(thrown);
      this.#options.log("error", "event-refused", `an event could not be decided: ${error.message}`, {
        decided: entry.event.kind,
        stack: error.cause instanceof Error ? error.cause.stack : error.stack,
      });
      if ("call" in entry.event) this.#reply(entry.event.call, refused(error));
      entry.origin?.failed(error);
      return null;
    }
  }

  #release(effect: Effect): void {
    switch (effect.kind) {
      case "reply":
        this.#reply(effect.call, effect.reply);
        return;
      case "wakeAt":
        if (this.#wakeAt === null || effect.at < this.#wakeAt) this.#wakeAt = effect.at;
        return;
      case "send":
      case "log":
      case "keepCheckpoints":
        this.#options.listener.effect(effect);
        return;
    }
  }

  #reply(call: CallId, reply: Reply): void {
    const resolve = this.#calls.get(call);
    this.#calls.delete(call);
    resolve?.(reply);
  }

  #armWake(): void {
    if (this.#wakeAt === null || this.#closed) return;
    const at = millis(Math.max(this.#wakeAt, this.#noTickBefore ?? this.#wakeAt));
    if (this.#armed === at) return;
    this.#cancelWake();
    this.#armed = at;
    this.#cancelWake = this.#options.clock.schedule(at, () => this.#wake(at));
  }

  #wake(at: Millis): void {
    const now = this.#options.clock.now();
    this.#armed = null;
    this.#cancelWake = () => {};
    // Never twice in a row: on a machine that is always late, leases have to run out all the same.
    if (now - at >= STOOD_STILL_MILLIS && this.#noTickBefore === null) {
      this.#options.log("warn", "stood-still", "the coordinator stood still; leases get a fresh time", {
        millis: now - at,
      });
      const detail = `the process did not run for ${((now - at) / 1_000).toFixed(1)} s; leases get a fresh time`;
      this.push({ kind: "Noted", note: "coordinator-stood-still", sweep: null, trial: null, detail });
      this.#noTickBefore = millis(now + TIMES.lease);
      this.#armWake();
      return;
    }
    this.#noTickBefore = null;
    this.#wakeAt = null;
    this.push({ kind: "Tick" });
  }

  #stop(error: ConvsweepError): void {
    if (this.#closed) return;
    this.#closed = error;
    this.#cancelWake();
    this.#queue = [];
    this.#head = 0;
    for (const resolve of this.#calls.values()) resolve(refused(error));
    this.#calls.clear();
  }
}

function refused(error: ConvsweepError): Reply {
  return { ok: false, error: error.toData() };
}
