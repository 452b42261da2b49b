/**
 * Space set aside on the store's disk, in the file `ballast`: given back when the disk is full.
 *
 * On a full disk SQLite can neither delete nor fold its log, and nobody can look around: with some space back they can.
 * Guarantees: the space is written, not only promised; recording goes on only when twice as much is free, so that it is
 * there the next time too. Not here: noticing that the disk is full (shell/runtime.ts).
 */
import { closeSync, existsSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";
import { syncFile } from "./durable.js";

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
    this.#timer = setTimeout(() => this.keep(), LATER_MILLIS).unref();
  }

  /** A disk that has no room for it has none to set aside. */
  keep(): void {
    try {
      const { bytes } = this;
      const has = existsSync(this.#path) ? statSync(this.#path).size : 0;
      const { bavail, bsize } = statfsSync(this.#dir);
      if (has >= bytes || bavail * bsize < 2 * bytes) return;
      const file = openSync(this.#path, "w", 0o600);
      try {
        for (let left = bytes; left > 0; left -= CHUNK.length) writeSync(file, CHUNK, 0, Math.min(left, CHUNK.length));
      } finally {
        closeSync(file);
      }
      syncFile(this.#path);
    } catch {
      this.#remove();
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
  }
}
