/**
 * Tells a device's thread that is stuck inside the engine from one that works or waits.
 *
 * Guarantees: a thread is called stuck only if it was inside a native call and neither an operation nor a turn of its loop was
 * counted for `stuckMillis`, seen over at least two samples; an idle thread never is. Of the time between two samples no more
 * than `GAP_MILLIS` counts: samples that come late say that the whole process was held up (stopped, starved), its threads too.
 * Pure: samples and times come in.
 */
import type { Pulse } from "./control.js";

/** The most that one sample adds to a silence. */
export const GAP_MILLIS = 5_000;

interface Seen {
  readonly beat: string;
  readonly at: number;
  readonly silent: number;
}

export class Watchdog {
  private readonly stuckMillis: number;
  private readonly seen = new Map<string, Seen>();

  constructor(stuckMillis: number) {
    this.stuckMillis = stuckMillis;
  }

  /** Milliseconds of silence if the device is stuck, else `null`. */
  check(device: string, pulse: Pulse, now: number): number | null {
    const before = this.seen.get(device);
    const beat = pulse.busy ? pulse.beat : "idle";
    const silent = pulse.busy && before?.beat === beat ? before.silent + Math.min(now - before.at, GAP_MILLIS) : 0;
    this.seen.set(device, { beat, at: now, silent });
    return silent >= this.stuckMillis ? silent : null;
  }
}
