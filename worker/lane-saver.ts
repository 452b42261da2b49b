/**
 * When lanes are saved, so that another worker can go on from their last epoch.
 *
 * Guarantees: an attempt is saved as a slice left it, at the end of an epoch that another follows, not more often than
 * `checkpointMillis`, one at a time on its way, and saving takes `SAVING_SHARE` of the time at most; a lane that cannot be saved
 * trains on all the same. Not here: where the bytes go (checkpoint-client.ts).
 */
import type { Cohort } from "./cohort.js";
import { engineError } from "./engine.js";
import type { Held, ThreadMessage } from "./messages.js";

export interface LaneSaverParts {
  /** Milliseconds, never stepping back. */
  readonly now: () => number;
  readonly checkpointMillis: number;
  readonly post: (message: ThreadMessage) => void;
  /** Around every call of the engine. */
  readonly native: <T>(call: () => T) => T;
}

/** Saving may take this share of the time at most. */
const SAVING_SHARE = 0.02;

interface Saving {
  /** Epochs done. */
  epoch: number;
  due: number;
  uploading: boolean;
}

const keyOf = ({ attempt, token }: Held): string => `${attempt} ${token}`;

export class LaneSaver {
  readonly #parts: LaneSaverParts;
  readonly #savings = new Map<string, Saving>();

  constructor(parts: LaneSaverParts) {
    this.#parts = parts;
  }

  /** An attempt that has a lane now, with so many epochs behind it. */
  watch(held: Held, epoch: number): void {
    const { now, checkpointMillis } = this.#parts;
    this.#savings.set(keyOf(held), { epoch, due: now() + checkpointMillis, uploading: false });
  }

  forget(held: Held): void {
    this.#savings.delete(keyOf(held));
  }

  /** The last one saved is taken care of: there may be another. */
  uploaded(held: Held): void {
    const saving = this.#savings.get(keyOf(held));
    if (saving) saving.uploading = false;
  }

  /** At the end of an epoch that another follows. */
  consider(cohort: Cohort, lane: number, held: Held, epoch: number): void {
    const saving = this.#savings.get(keyOf(held));
    if (!saving) return;
    saving.epoch = epoch;
    if (!saving.uploading && this.#parts.now() >= saving.due) this.save(cohort, lane, held);
  }

  /** Now, unless no epoch is done. */
  save(cohort: Cohort, lane: number, held: Held): void {
    const saving = this.#savings.get(keyOf(held));
    if (!saving || saving.epoch === 0) return;
    const { now, checkpointMillis, native, post } = this.#parts;
    const started = now();
    try {
      const data = native(() => cohort.save(lane));
      saving.uploading = true;
      post({ kind: "saved", held, lane: { epoch: saving.epoch, data } });
    } catch (thrown) {
      const { code, message } = engineError(thrown);
      const said = `a lane was not saved: ${message}`;
      post({ kind: "log", level: "warn", event: "checkpoint-trouble", message: said, fields: { ...held, code } });
    }
    saving.due = now() + Math.max(checkpointMillis, (now() - started) / SAVING_SHARE);
  }
}
