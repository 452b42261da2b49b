/**
 * One life of the coordinator's process: the real core, runtime and Links over the simulated clock, disk and network.
 *
 * Guarantees: nothing of a dead life does anything any more; a life that stands still (stopped, waiting for its disk)
 * takes in what came meanwhile when it goes on. Every event is shown to the oracle as it is decided.
 */
import { applyUndoable } from "../../coordinator/core/apply.js";
import { type decide, enact } from "../../coordinator/core/decide.js";
import type { Event } from "../../coordinator/core/events.js";
import { type State, stateFrom } from "../../coordinator/core/state.js";
import type { Clock } from "../../coordinator/shell/clock.js";
import type { SessionParts } from "../../coordinator/shell/link-session.js";
import { Links } from "../../coordinator/shell/links.js";
import { type Enact, type Origin, Runtime, type RuntimeOptions } from "../../coordinator/shell/runtime.js";
import { type Millis, millis } from "../../proto/contract.js";
import { ALGORITHMS } from "./algorithms.js";
import { Standstill } from "./process.js";
import type { Life, World } from "./surroundings.js";
import type { Timer } from "./timeline.js";

/** The wall clock when virtual time is 0. */
export const EPOCH = 1_700_000_000_000;

export class SimulatedLife implements Life {
  readonly state: State;
  readonly runtime: Runtime;
  readonly links = new Links();
  readonly clock: Clock;
  dead = false;
  readonly process: Standstill;
  /** Messages that still leave before it dies; `null` when it goes on living. */
  #sendsLeft: number | null = null;
  /** The turn that was asked for last. */
  #turn: Timer | null = null;
  readonly #world: World;
  readonly #offset: number;

  constructor(world: World) {
    this.#world = world;
    this.process = new Standstill(world.timeline);
    this.#offset = EPOCH + world.wallStep;
    const { disk, plan } = world;
    this.clock = { now: () => this.now(), schedule: (at, action) => this.#schedule(at, action) };
    disk.opened();
    const store = disk.store((wait, action) => world.timeline.at(world.now + wait, () => this.enter(action)));
    this.state = stateFrom(store.load());
    const options: RuntimeOptions = {
      state: this.state,
      store,
      clock: this.clock,
      log: (level, message, fields) => {
        if (message === "store-degraded") world.count("degraded");
        else if (level === "error") world.oracle.fail("CORE", `${message} ${JSON.stringify(fields)}`);
      },
      turns: {
        events: plan.batch,
        millis: 2,
        next: (turn) => {
          const wait = plan.turnMillis === 0 ? 0 : world.random.disk.below(plan.turnMillis + 1);
          this.#turn = world.timeline.at(world.now + wait, () => this.enter(turn));
        },
        hurry: () => {
          const turn = this.#turn;
          if (turn === null || turn.run === null || turn.at <= world.now) return;
          this.#turn = world.timeline.at(world.now, turn.run);
          turn.run = null;
        },
        committed: () => undefined,
      },
      enact: this.#watched(world.mutant.decide === null ? enact : enacting(world.mutant.decide)),
      algorithms: ALGORITHMS,
      listener: {
        effect: (effect) => {
          if (effect.kind === "send") this.links.send(world.mutant.send(this.state, effect));
          else if (effect.kind === "keepCheckpoints") world.files.keep(effect.trial, effect.digests);
        },
        turnEnded: (mutations) => {
          this.links.turnEnded();
          if (!this.dead) world.turnEnded(mutations);
        },
        fatal: (error) => world.coordinatorStopped(this, error),
      },
    };
    this.runtime = world.mutant.acknowledgesFirst ? new HastyRuntime(options, this) : new Runtime(options);
  }

  now(): Millis {
    return millis(this.#offset + Math.max(this.#world.now, this.process.until));
  }

  /** Decides `Booted`; false if the life ended there and then. */
  boot(): boolean {
    this.runtime.push({ kind: "Booted", tokens: this.#world.disk.position().openings.at(-1)?.tokens ?? 0 });
    try {
      this.runtime.settle();
    } catch {
      return false;
    }
    return !this.dead;
  }

  /** Runs `action` as soon as the process runs; drops it when the process is dead. */
  enter(action: () => void): void {
    if (this.dead) return;
    this.process.enter(() => {
      if (!this.dead) action();
    });
  }

  sessionParts(): SessionParts {
    const { runtime, links, clock } = this;
    return { runtime, links, clock, log: () => undefined, store: () => this.#world.disk.told() };
  }

  dieAfter(sends: number): void {
    this.#sendsLeft = sends;
  }

  /** A message is about to leave; true if the process is dead before it does. */
  sent(): boolean {
    if (this.#sendsLeft === null) return false;
    if (this.#sendsLeft > 0) {
      this.#sendsLeft -= 1;
      return false;
    }
    this.#world.coordinatorDied(this);
    return true;
  }

  /** At the end of a turn that was to be the last. */
  endIfDying(): void {
    if (this.#sendsLeft !== null && !this.dead) this.#world.coordinatorDied(this);
  }

  /** Shows every event to the oracle, as it is decided; what a mutant lets out before the commit leaves here. */
  #watched(mind: Enact): Enact {
    const { oracle, mutant } = this.#world;
    return (state, event, now, history, algorithms) => {
      oracle.deciding(state, event, now);
      const decision = mind(state, event, now, history, algorithms);
      if (mutant.sendsFirst === null) return decision;
      const { sendsFirst } = mutant;
      const early = decision.effects.filter((one) => one.kind === "send" && sendsFirst(one));
      for (const effect of early) if (effect.kind === "send") this.links.send(effect);
      return { ...decision, effects: decision.effects.filter((one) => !early.includes(one)) };
    };
  }

  #schedule(at: Millis, action: () => void): () => void {
    let timer: Timer | null = this.#world.timeline.at(at - this.#offset, () => this.enter(() => timer && action()));
    return () => {
      if (timer) timer.run = null;
      timer = null;
    };
  }
}

/** What a mutant decides, applied as the core would. */
function enacting(mind: typeof decide): Enact {
  return (state, event, now, history, algorithms) => {
    const { mutations, effects } = mind(state, event, now, history, algorithms);
    const undo = mutations.map((mutation) => applyUndoable(state, mutation));
    return {
      mutations,
      effects,
      undo: () => {
        for (const back of undo.reverse()) back();
      },
    };
  };
}

/** A mutant's: acknowledges as soon as an event is taken up. */
class HastyRuntime extends Runtime {
  readonly #life: Life;

  constructor(options: RuntimeOptions, life: Life) {
    super(options);
    this.#life = life;
  }

  override push(event: Event, origin: Origin | null = null): void {
    if (origin === null) return super.push(event);
    super.push(event, {
      skip: () => {
        if (origin.skip()) return true;
        origin.committed();
        this.#life.links.turnEnded();
        return false;
      },
      committed: () => undefined,
      failed: (error) => origin.failed(error),
    });
  }
}
