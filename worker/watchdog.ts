/**
 * Tells a device's thread that is stuck inside the engine from one that works or waits.
 *
 * Guarantees: a thread is called stuck only if it was inside a native call and neither an operation nor a turn of its loop was
 * counted for `stuckMillis`, seen over at least two samples; an idle thread never is. Pure: samples and times come in.
 */
import type { Pulse } from "./control.js";

interface Seen {
  readonly beat: string;
  readonly since: number;
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
    if (!pulse.busy || before?.beat !== pulse.beat) {
      this.seen.set(device, { beat: pulse.busy ? pulse.beat : "idle", since: now });
      return null;
    }
    const silent = now - before.since;
    return silent >= this.stuckMillis ? silent : null;
  }
}
