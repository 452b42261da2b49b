/**
 * The loop that drives the core: events in, decisions, one commit a turn, then effects out.
 *
 * Guarantees: events are decided in the order they came; nothing leaves (message, acknowledgement, reply, feed) before
 * the mutations of its turn are durable. While the disk takes its time over that, sockets are served and events gather,
 * but none is decided: memory is never more than one turn ahead of the disk. A commit that fails is undone in memory: for want of space or write access the
 * loop then waits, refuses whoever asks (workers keep what they have to say) and tries again every second; a batch that
 * holds something no store may hold is decided again event by event, and only that event is refused. If anything else
 * throws, the loop stops for good (fail-stop): waiting calls are refused and the owner is told once.
 * A pressing event (a slot that became free, a person who waits) does not wait for others to share its commit: the turn that
 * decides it begins as soon as no commit is under way, and ends with the last pressing one.
 * An event whose decision throws has changed nothing: it is refused to whoever sent it and the loop goes on, but for
 * the coordinator's own events (Booted, Tick), which stop it.
 *
 * Not here: sockets, decisions, SQL.
 */
import {
  type AttemptId,
  ConvsweepError,
  type ErrorCode,
  type Millis,
  millis,
  toConvsweepError,
} from "../../proto/contract.js";
import { type Enacted, enact } from "../core/decide.js";
import { ALGORITHMS, type Algorithms, type History } from "../core/environment.js";
import type { CallId, Effect, Event, Mutation, Reply } from "../core/events.js";
import type { State } from "../core/state.js";
import type { Report } from "../core/types.js";
import type { Store } from "../store/store.js";
import type { Clock } from "./clock.js";
import { type Entry, EventQueue, type Origin } from "./event-queue.js";
import type { Log } from "./log.js";
import { isAssign, type Meter } from "./metrics/meter.js";
import { eventLoopTurns, type Turns } from "./turns.js";
import { Wake } from "./wake.js";

export type { Origin } from "./event-queue.js";

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

export type Enact = typeof enact;

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
  readonly enact?: Enact;
  /** Default: the core's. */
  readonly algorithms?: Algorithms;
}

/** What was decided together and is committed together. */
interface Turn {
  readonly decided: readonly Entry[];
  readonly mutations: readonly Mutation[];
  readonly effects: readonly Effect[];
  readonly undo: readonly (() => void)[];
  /** When the events were received of which assignments came. */
  readonly freed: readonly Millis[];
}

/** What may pass: memory is put back as it was, and it is tried again. */
const PASSING: ReadonlySet<string> = new Set<ErrorCode>(["DISK_FULL", "READ_ONLY", "IO_ERROR"]);
const DISK_RETRY_MILLIS = 1_000;

export class Runtime implements History {
  readonly state: State;
  readonly #options: RuntimeOptions;
  readonly #turns: Turns;
  readonly #algorithms: Algorithms;
  readonly #mind: Enact;
  readonly #calls = new Map<CallId, (reply: Reply) => void>();
  /** Reports of this turn, by attempt. */
  readonly #uncommitted = new Map<AttemptId, Report[]>();
  /** Called when few events wait. */
  #quiet: (() => void)[] = [];
  /** Called when the turn that is being committed is durable. */
  #durable: (() => void)[] = [];
  readonly #queue = new EventQueue();
  #nextCall: CallId = 1;
  #scheduled = false;
  #turning = false;
  /** Waits for the disk that has the turn's mutations to keep; `null` when it has none. */
  #hurry: (() => void) | null = null;
  #closed: ConvsweepError | null = null;
  readonly #wake: Wake;
  /** Why nothing can be recorded now; `null` when all is well. */
  #trouble: ConvsweepError | null = null;
  /** Events to decide and commit one by one, because among them is one that no store can hold. */
  #alone = 0;

  constructor(options: RuntimeOptions) {
    this.state = options.state;
    this.#options = options;
    this.#turns = options.turns ?? eventLoopTurns();
    const algorithms = options.algorithms ?? ALGORITHMS;
    this.#algorithms = options.meter?.timing(algorithms) ?? algorithms;
    this.#mind = options.enact ?? enact;
    this.#wake = new Wake(options.clock, options.log, (event) => this.push(event));
  }

  /** Events that wait; links read no further when there are too many. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Why nothing is recorded at the moment; `null` when all is well. */
  get trouble(): ConvsweepError | null {
    return this.#trouble;
  }

  /** Queues an event. Ignored once the loop has stopped; refused to its sender while nothing can be recorded. */
  push(event: Event, origin: Origin | null = null): void {
    if (this.#closed) return;
    if (this.#trouble !== null && origin !== null) return origin.failed(this.#trouble);
    if (event.kind === "WorkerHello" && this.state.indexes.workers.has(event.worker)) this.#wake.cameBack();
    this.#queue.push({ event, at: this.#options.clock.now(), origin });
    this.#schedule();
  }

  /** Queues a call; resolves once what it changed is durable, or it was refused. Never rejects. */
  submit(call: Call): Promise<Reply> {
    return new Promise((resolve) => this.ask(call, resolve));
  }

  /** As `submit`, with a function that is called once with the reply. */
  ask(call: Call, answer: (reply: Reply) => void): void {
    const refusal = this.#closed ?? this.#trouble;
    if (refusal) return answer(refused(refusal));
    const id = this.#nextCall++;
    this.#calls.set(id, answer);
    this.push({ call: id, ...call } as CallEvent);
  }

  /** Calls `action` when memory holds nothing that the disk does not: at once, or at the end of the turn. */
  whenDurable(action: () => void): void {
    if (this.#hurry === null || this.#closed) action();
    else this.#durable.push(action);
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
    this.#hurry?.();
    while (!this.#closed && this.#trouble === null && this.waiting > 0 && !this.#turning) {
      this.#turn();
      this.#hurry?.();
    }
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
    if (this.#turning || this.#trouble !== null) return;
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#turns.next(() => {
        this.#scheduled = false;
        if (!this.#closed && this.#trouble === null) this.#turn();
      }, this.waiting);
    }
    if (this.#queue.pressing > 0) this.#turns.hurry();
  }

  #turn(): void {
    this.#turning = true;
    this.#step(() => {
      const turn = this.#decide();
      if (turn.mutations.length > 0) this.#commit(turn);
      else this.#end(turn);
    });
  }

  /** A part of a turn. Whatever it throws stops the loop; the next turn begins when none of this one is left. */
  #step(part: () => void): void {
    try {
      part();
    } catch (thrown) {
      const error = toConvsweepError(thrown);
      this.#stop(new ConvsweepError("UNAVAILABLE", `the coordinator had to stop: ${error.message}`, { cause: error }));
      this.#options.listener.fatal(error);
    }
    this.#turning = this.#hurry !== null;
    if (!this.#closed && this.waiting > 0) this.#schedule();
  }

  #decide(): Turn {
    const { clock } = this.#options;
    const started = clock.now();
    const mutations: Mutation[] = [];
    const effects: Effect[] = [];
    const decided: Entry[] = [];
    const undo: (() => void)[] = [];
    const freed: Millis[] = [];
    const most = this.#alone > 0 ? 1 : this.#turns.events;
    this.#alone = Math.max(0, this.#alone - 1);
    const pressed = this.#queue.pressing > 0;
    for (let count = 0; count < most && this.waiting > 0; count += 1) {
      if (pressed && this.#queue.pressing === 0) break;
      if (count % 16 === 15 && clock.now() - started > this.#turns.millis) break;
      const entry = this.#queue.take();
      if (entry.origin?.skip()) continue;
      const decision = this.#enact(entry);
      if (decision === null) continue;
      undo.push(decision.undo);
      for (const mutation of decision.mutations) {
        mutations.push(mutation);
        if (mutation.kind === "addReport") this.#remember(mutation.report);
      }
      for (const effect of decision.effects) effects.push(effect);
      if (decision.effects.some(isAssign)) freed.push(entry.at);
      decided.push(entry);
    }
    return { decided, mutations, effects, undo, freed };
  }

  /** Ends the turn once its mutations are durable: now, or when the disk has them. */
  #commit(turn: Turn): void {
    const { clock, store, meter } = this.#options;
    const began = clock.now();
    const timed = meter?.committing(turn.decided.length, turn.mutations.length);
    const durable = (): void => {
      this.#turns.committed(clock.now() - began);
      timed?.();
      this.#end(turn);
    };
    try {
      if (store.commitLater)
        this.#hurry = store.commitLater(turn.mutations, (failed) => this.#flushed(failed, durable));
      else store.commit(turn.mutations);
    } catch (thrown) {
      for (const back of turn.undo.toReversed()) back();
      this.#uncommitted.clear();
      return this.#commitFailed(turn.decided, toConvsweepError(thrown));
    }
    if (this.#hurry === null) durable();
  }

  /** The turn that was written is on the disk, or nobody knows whether it is. */
  #flushed(failed: ConvsweepError | null, durable: () => void): void {
    this.#hurry = null;
    if (this.#closed) return;
    this.#step(() => {
      if (failed) throw failed;
      durable();
    });
  }

  /** Lets out what the turn decided. */
  #end({ decided, mutations, effects, freed }: Turn): void {
    this.#uncommitted.clear();
    for (const { origin } of decided) origin?.committed();
    for (const effect of effects) this.#release(effect);
    for (const at of freed) this.#options.meter?.dispatched(this.#options.clock.now() - at);
    this.#options.listener.turnEnded(mutations, this.#options.clock.now());
    this.#wake.arm();
    if (this.#durable.length > 0) for (const action of this.#durable.splice(0)) action();
    if (this.#quiet.length > 0 && this.waiting < this.#turns.events)
      for (const action of this.#quiet.splice(0)) action();
  }

  /** Nothing of the turn is in the store, nor in memory any more. */
  #commitFailed(decided: readonly Entry[], error: ConvsweepError): void {
    const [only] = decided;
    if (PASSING.has(error.code)) {
      this.#queue.putBack(decided);
      this.#waitForDisk(error);
    } else if (error.code !== "BAD_INPUT" || only === undefined) throw error;
    else if (decided.length > 1) {
      this.#queue.putBack(decided);
      this.#alone = decided.length;
    } else this.#refuse(only, error);
  }

  /** Whoever waits is refused now and asks again later; what nobody sends again waits here. */
  #waitForDisk(error: ConvsweepError): void {
    this.#trouble = error;
    this.#wake.held = true;
    this.#options.log("error", "store-degraded", `nothing can be recorded: ${error.message}`, { reason: error.code });
    this.#options.store.makeRoom();
    for (const entry of this.#queue.takeAll()) {
      if ("call" in entry.event) this.#reply(entry.event.call, refused(error));
      else if (entry.origin) entry.origin.failed(error);
      else if (entry.event.kind === "Tick") this.#wake.again(entry.at);
      else this.#queue.push(entry);
    }
    this.#tryAgainLater();
  }

  #tryAgainLater(): void {
    const { clock, store, log, listener } = this.#options;
    clock.schedule(millis(clock.now() + DISK_RETRY_MILLIS), () => {
      if (this.#closed) return;
      try {
        store.tryWriting();
      } catch (thrown) {
        const error = toConvsweepError(thrown);
        if (PASSING.has(error.code)) {
          this.#trouble = error;
          return this.#tryAgainLater();
        }
        this.#stop(
          new ConvsweepError("UNAVAILABLE", `the coordinator had to stop: ${error.message}`, { cause: error }),
        );
        return listener.fatal(error);
      }
      const detail = this.#trouble?.message ?? "";
      this.#trouble = null;
      log("info", "store-recovered", "what happens is recorded again");
      this.#wake.held = false;
      this.#wake.heardAgain();
      this.#wake.arm();
      this.push({ kind: "Noted", note: "store-degraded", sweep: null, trial: null, detail });
    });
  }

  #remember(report: Report): void {
    const known = this.#uncommitted.get(report.attempt);
    if (known) known.push(report);
    else this.#uncommitted.set(report.attempt, [report]);
  }

  #enact(entry: Entry): Enacted | null {
    try {
      const decision = this.#mind(this.state, entry.event, entry.at, this, this.#algorithms);
      this.#options.meter?.decided(entry.event, decision);
      return decision;
    } catch (thrown) {
      this.#refuse(entry, toConvsweepError(thrown));
      return null;
    }
  }

  /** An event that cannot be decided, or whose outcome cannot be stored. */
  #refuse({ event, origin }: Entry, error: ConvsweepError): void {
    if (event.kind === "Booted" || event.kind === "Tick") throw error;
    this.#options.log("error", "event-refused", `an event could not be decided: ${error.message}`, {
      decided: event.kind,
      stack: error.cause instanceof Error ? error.cause.stack : error.stack,
    });
    if ("call" in event) this.#reply(event.call, refused(error));
    origin?.failed(error);
  }

  #release(effect: Effect): void {
    switch (effect.kind) {
      case "reply":
        this.#reply(effect.call, effect.reply);
        return;
      case "wakeAt":
        return this.#wake.ask(effect.at);
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

  #stop(error: ConvsweepError): void {
    if (this.#closed) return;
    this.#closed = error;
    this.#wake.stop();
    this.#queue.clear();
    for (const resolve of this.#calls.values()) resolve(refused(error));
    this.#calls.clear();
  }
}

function refused(error: ConvsweepError): Reply {
  return { ok: false, error: error.toData() };
}
