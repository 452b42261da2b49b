/**
 * Space set aside on the store's disk, in the file `ballast`: given back when the disk is full.
 *
 * On a full disk SQLite can neither delete nor fold its log, and nobody can look around: with some space back they can.
 * Guarantees: the space is written, not only promised; recording goes on only when twice as much is free, so that it is
 * there the next time too. It is written a piece at a time beside the main thread, each flushed before the next, so that
 * commits need not wait for it. Not here: noticing that the disk is full (shell/runtime.ts).
 */
import { existsSync, rmSync, statfsSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";

const BYTES_AT_MOST = 64 << 20;
/** Of a small disk this part. */
const SHARE = 1 / 32;
const CHUNK = Buffer.alloc(1 << 20);
/** A coordinator that lives for seconds only has no need of it. */
const LATER_MILLIS = 10_000;

export class Ballast {
  readonly #path: string;
  readonly #dir: string;
  #timer: NodeJS.Timeout | null = null;
  #keeping = false;
  /** Not wanted any more, also when it is being written. */
  #released = false;
  #closed = false;

  constructor(dir: string) {
    this.#dir = dir;
    this.#path = join(dir, "ballast");
  }

  get bytes(): number {
    const { blocks, bsize } = statfsSync(this.#dir);
    return Math.floor(Math.min(BYTES_AT_MOST, blocks * bsize * SHARE));
  }

  release(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#released = true;
    this.#remove();
  }

  /** Throws DISK_FULL while there is not room for what is recorded and for the ballast. */
  demandRoom(): void {
    const { bavail, bsize } = statfsSync(this.#dir);
    const [free, wanted] = [bavail * bsize, 2 * this.bytes];
    if (free >= wanted || existsSync(this.#path)) return;
    throw new ConvsweepError("DISK_FULL", `the disk of ${this.#dir} is full`, {
      path: this.#dir,
      expected: `${wanted} bytes free`,
      found: String(free),
    });
  }

  keepLater(): void {
    this.#timer = setTimeout(() => void this.keep(), LATER_MILLIS).unref();
  }

  /** A disk that has no room for it has none to set aside. */
  async keep(): Promise<void> {
    if (this.#keeping || this.#closed) return;
    this.#keeping = true;
    this.#released = false;
    try {
      const { bytes } = this;
      const has = existsSync(this.#path) ? statSync(this.#path).size : 0;
      const { bavail, bsize } = statfsSync(this.#dir);
      if (has < bytes && bavail * bsize >= 2 * bytes) await this.#write(bytes);
    } catch {
      this.#released = true;
    }
    this.#keeping = false;
    if (this.#released) this.#remove();
  }

  async #write(bytes: number): Promise<void> {
    const file = await open(this.#path, "w", 0o600);
    try {
      for (let left = bytes; left > 0 && !this.#released && !this.#closed; left -= CHUNK.length) {
        await file.write(CHUNK, 0, Math.min(left, CHUNK.length));
        await file.datasync();
      }
    } finally {
      await file.close();
    }
  }

  #remove(): void {
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // A disk that can only be read gives nothing back.
    }
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#closed = true;
  }
}
