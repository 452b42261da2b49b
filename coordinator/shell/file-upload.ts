/**
 * Files that workers send, while they arrive.
 *
 * Guarantees: a file appears whole and fsynced under the digest of its content, or not at all. At most `UPLOADS_AT_ONCE` are
 * written at a time in one room, and none that would leave the disk with less than a reserve: the record comes first. Not
 * here: the wire (upload-server.ts), which files are kept (checkpoints.ts, artifacts.ts).
 */
import { createHash, type Hash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ConvsweepError, toConvsweepError } from "../../proto/contract.js";
import { faultPoint } from "../store/fault-point.js";

const UPLOADS_AT_ONCE = 16;
/** Space on the disk that is left to the database. */
const RESERVE_BYTES = 256 << 20;
/** What the name of a file that is being written ends in. */
export const NEW = ".new";

export interface UploadTarget {
  readonly folder: string;
  readonly digest: string;
  readonly bytes: number;
  readonly bytesAtMost: number;
  /** For messages: `checkpoint`. */
  readonly what: string;
}

export interface Upload {
  write(data: Uint8Array): Promise<void>;
  /** Resolves when the file is durable under its name. Throws CORRUPT if the bytes are not those of the digest. */
  finish(): Promise<void>;
  /** Leaves nothing behind. */
  abort(): Promise<void>;
}

/** Counts what is under way. */
export class UploadRoom {
  readonly #reserve: number;
  #uploads = 0;

  constructor(reserve = RESERVE_BYTES) {
    this.#reserve = reserve;
  }

  /** Throws UNAVAILABLE when too many are under way or the disk is too full, TOO_LARGE beyond the limit. */
  async begin(to: UploadTarget): Promise<Upload> {
    const { folder, bytes, bytesAtMost, what } = to;
    if (bytes > bytesAtMost) {
      throw new ConvsweepError("TOO_LARGE", `${aOrAn(what)} of ${bytes} bytes is too large`, {
        path: "header.bytes",
        expected: `at most ${bytesAtMost}`,
        found: String(bytes),
      });
    }
    if (this.#uploads >= UPLOADS_AT_ONCE) {
      throw new ConvsweepError("UNAVAILABLE", `too many ${what}s are on their way`);
    }
    this.#uploads += 1;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const { bavail, bsize } = await statfs(folder);
      if (bavail * bsize < bytes + this.#reserve) {
        throw new ConvsweepError("UNAVAILABLE", `the coordinator's disk has no room for ${what}s`, {
          path: folder,
          expected: `${bytes + this.#reserve} bytes free`,
          found: `${bavail * bsize}`,
        });
      }
      const fresh = join(folder, `${randomUUID()}${NEW}`);
      const file = await open(fresh, "wx", 0o600);
      return new FileUpload(file, fresh, to, () => {
        this.#uploads -= 1;
      });
    } catch (thrown) {
      this.#uploads -= 1;
      throw thrown instanceof ConvsweepError ? thrown : diskError(thrown, what);
    }
  }
}

const aOrAn = (what: string): string => `${/^[aeiou]/.test(what) ? "an" : "a"} ${what}`;

class FileUpload implements Upload {
  readonly #file: FileHandle;
  readonly #fresh: string;
  readonly #folder: string;
  readonly #digest: string;
  readonly #bytes: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #what: string;
  readonly #done: () => void;
  #written = 0;
  #over = false;

  constructor(file: FileHandle, fresh: string, to: UploadTarget, done: () => void) {
    this.#file = file;
    this.#fresh = fresh;
    this.#folder = to.folder;
    this.#digest = to.digest;
    this.#bytes = to.bytes;
    this.#what = to.what;
    this.#done = done;
  }

  async write(data: Uint8Array): Promise<void> {
    this.#written += data.byteLength;
    if (this.#written > this.#bytes) throw this.#wrong(`${this.#written} bytes or more`);
    this.#hash.update(data);
    try {
      await this.#file.writeFile(data);
    } catch (thrown) {
      throw diskError(thrown, this.#what);
    }
    faultPoint("midCheckpointCopy");
  }

  async finish(): Promise<void> {
    const digest = this.#hash.digest("hex");
    if (this.#written !== this.#bytes) throw this.#wrong(`${this.#written} bytes`);
    if (digest !== this.#digest) throw this.#wrong(`the digest ${digest}`);
    try {
      await this.#file.sync();
      await this.#file.close();
      await rename(this.#fresh, join(this.#folder, this.#digest));
      const folder = await open(this.#folder, "r");
      await folder.sync().finally(() => folder.close());
    } catch (thrown) {
      throw diskError(thrown, this.#what);
    }
    this.#end();
  }

  async abort(): Promise<void> {
    if (this.#over) return;
    this.#end();
    await this.#file.close().catch(() => undefined);
    await rm(this.#fresh, { force: true }).catch(() => undefined);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#done();
  }

  #wrong(found: string): ConvsweepError {
    const expected = `${this.#bytes} bytes of the digest ${this.#digest}`;
    return new ConvsweepError("CORRUPT", `the ${this.#what} did not arrive whole`, { path: "data", expected, found });
  }
}

/** A disk that refuses a file is no fault of the worker's. */
function diskError(thrown: unknown, what: string): ConvsweepError {
  const error = toConvsweepError(thrown);
  return new ConvsweepError("UNAVAILABLE", `the ${what} could not be written: ${error.message}`, { cause: thrown });
}
