/**
 * When the core is told that time has passed: one timer for everything it asked to be woken for.
 *
 * Guarantees: a Tick comes at or after the earliest moment asked for. After nobody could be heard for a while (the process
 * stood still, nothing could be recorded), and after a start for as long as workers keep coming back with what they hold,
 * it says from when on leases may be judged; trials that wait are placed all the same. Not here: what a Tick does
 * (core/leases.ts).
 */
import { type Millis, millis, TIMES } from "../../proto/contract.js";
import type { Event } from "../core/events.js";
import type { Clock } from "./clock.js";
import type { Log } from "./log.js";

/**
 * A wake this late means that the process stood still: stopped, swapped out, a disk that hung. What the workers said
 * meanwhile is still in the sockets, and their links may have to come back, so no lease is judged for as long as after
 * a restart.
 */
const STOOD_STILL_MILLIS = 1_000;

/**
 * A thousand workers take longer to be back than one lease, and come in waves (six seconds apart have been seen). Each
 * that comes says that others may be on their way, but not for ever: who died with the coordinator has to be given up.
 */
const COMING_BACK = { gapMillis: TIMES.lease, atMostMillis: 60_000 } as const;

export class Wake {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #push: (event: Event) => void;
  #at: Millis | null = null;
  /** What the one timer is set to. */
  #armed: Millis | null = null;
  #judgesFrom: Millis | null = null;
  readonly #started: Millis;
  /** Workers that held something at the start are still coming back. */
  #comingBackUntil: Millis;
  #cancel: () => void = () => {};
  /** While nothing can be recorded no lease is judged; afterwards they get a fresh time. */
  held = false;

  constructor(clock: Clock, log: Log, push: (event: Event) => void) {
    this.#clock = clock;
    this.#started = clock.now();
    this.#comingBackUntil = this.#started;
    this.#log = log;
    this.#push = push;
  }

  /** Keeps the earliest; `arm` sets the timer. */
  ask(at: Millis): void {
    if (this.#at === null || at < this.#at) this.#at = at;
  }

  /** A Tick that could not be recorded: it comes again. */
  again(at: Millis): void {
    this.#at = at;
  }

  /** Workers could not be heard until now. */
  heardAgain(): void {
    this.#judgesFrom = millis(this.#clock.now() + TIMES.lease);
  }

  /** A worker that holds attempts, or held them when it was last heard, is back on a link. */
  cameBack(): void {
    const { gapMillis, atMostMillis } = COMING_BACK;
    this.#comingBackUntil = millis(Math.min(this.#clock.now() + gapMillis, this.#started + atMostMillis));
  }

  arm(): void {
    const at = this.#at;
    if (at === null || this.#armed === at) return;
    this.#cancel();
    this.#armed = at;
    this.#cancel = this.#clock.schedule(at, () => this.#wake(at));
  }

  stop(): void {
    this.#at = null;
    this.#cancel();
  }

  #wake(at: Millis): void {
    const now = this.#clock.now();
    this.#armed = null;
    this.#cancel = () => {};
    const late = now - at;
    // Hardly late twice in a row counts once: on a machine that always is, leases have to run out all the same.
    if (late >= (this.#judgesFrom === null ? STOOD_STILL_MILLIS : TIMES.lease)) {
      this.#log("warn", "stood-still", "the coordinator stood still; leases get a fresh time", { millis: late });
      const detail = `the process did not run for ${(late / 1_000).toFixed(1)} s; leases get a fresh time`;
      this.#push({ kind: "Noted", note: "coordinator-stood-still", sweep: null, trial: null, detail });
      this.#judgesFrom = millis(now + TIMES.lease);
    }
    if (this.held) return;
    this.#at = null;
    if (this.#judgesFrom !== null && now >= this.#judgesFrom) this.#judgesFrom = null;
    const from = millis(Math.max(this.#judgesFrom ?? now, this.#comingBackUntil));
    this.#push(now < from ? { kind: "Tick", judgesFrom: from } : { kind: "Tick" });
  }
}
