/**
 * The bytes of checkpoints, as files beside the database: `checkpoints/SWEEP-NUMBER/DIGEST`.
 *
 * Guarantees: a file appears whole and fsynced under the digest of its content, or not at all; what is read is checked
 * against its name by whoever uses it; a trial's files that the core does not keep are deleted, after a restart also
 * those that a crash left. At most `UPLOADS_AT_ONCE` are written at a time, and none that would leave the disk with less
 * than a reserve: the record comes first. Not here: which checkpoints count (core/checkpoints.ts), the wire
 * (checkpoint-server.ts).
 */
import { createHash, type Hash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ConvsweepError, LIMITS, type TrialId, toConvsweepError } from "../../proto/contract.js";
import type { Trial } from "../core/types.js";
import { faultPoint } from "../store/fault-point.js";
import type { Log } from "./log.js";

const UPLOADS_AT_ONCE = 16;
/** Space on the disk that checkpoints leave to the database. */
const RESERVE_BYTES = 256 << 20;
const NEW = ".new";

export interface CheckpointFiles {
  /** Throws UNAVAILABLE when too many are under way or the disk is too full, TOO_LARGE beyond the limit. */
  begin(trial: TrialId, digest: string, bytes: number): Promise<Upload>;
  /** The file, open for reading; NOT_FOUND if it is not there. */
  open(trial: TrialId, digest: string): Promise<FileHandle>;
  /** Deletes the trial's other files, in the background. */
  keep(trial: TrialId, digests: readonly string[]): void;
  /** Deletes whatever belongs to none of these trials' checkpoints. */
  sweep(trials: ReadonlyMap<TrialId, Trial>): void;
  /** Resolves when everything begun is done. */
  settled(): Promise<void>;
}

export interface Upload {
  write(data: Uint8Array): Promise<void>;
  /** Resolves when the file is durable under its name. Throws CORRUPT if the bytes are not those of the digest. */
  finish(): Promise<void>;
  /** Leaves nothing behind. */
  abort(): Promise<void>;
}

const folderName = (trial: TrialId): string => trial.replace("/", "-");

export function openCheckpointFiles(storeDir: string, log: Log, reserve = RESERVE_BYTES): CheckpointFiles {
  const root = join(storeDir, "checkpoints");
  const folderOf = (trial: TrialId): string => join(root, folderName(trial));
  /** Deletions of one trial follow one another. */
  const pending = new Map<TrialId, Promise<void>>();
  let uploads = 0;

  async function prune(trial: TrialId, digests: readonly string[]): Promise<void> {
    const folder = folderOf(trial);
    if (digests.length === 0) return rm(folder, { recursive: true, force: true });
    for (const name of await readdir(folder).catch(() => [])) {
      // What is being written is not known yet.
      if (!digests.includes(name) && !name.endsWith(NEW)) await rm(join(folder, name), { force: true });
    }
  }

  return {
    async begin(trial, digest, bytes) {
      if (bytes > LIMITS.checkpointBytes) {
        throw new ConvsweepError("TOO_LARGE", `a checkpoint of ${bytes} bytes is too large`, {
          path: "header.bytes",
          expected: `at most ${LIMITS.checkpointBytes}`,
          found: String(bytes),
        });
      }
      if (uploads >= UPLOADS_AT_ONCE) throw new ConvsweepError("UNAVAILABLE", "too many checkpoints are on their way");
      uploads += 1;
      try {
        const folder = folderOf(trial);
        await mkdir(folder, { recursive: true, mode: 0o700 });
        const { bavail, bsize } = await statfs(folder);
        if (bavail * bsize < bytes + reserve) {
          throw new ConvsweepError("UNAVAILABLE", "the coordinator's disk has no room for checkpoints", {
            path: folder,
            expected: `${bytes + reserve} bytes free`,
            found: `${bavail * bsize}`,
          });
        }
        const fresh = join(folder, `${randomUUID()}${NEW}`);
        const file = await open(fresh, "wx", 0o600);
        return new FileUpload(file, fresh, folder, digest, bytes, () => {
          uploads -= 1;
        });
      } catch (thrown) {
        uploads -= 1;
        throw thrown instanceof ConvsweepError ? thrown : diskError(thrown);
      }
    },
    async open(trial, digest) {
      try {
        return await open(join(folderOf(trial), digest), "r");
      } catch (cause) {
        const path = `${folderName(trial)}/${digest}`;
        throw new ConvsweepError("NOT_FOUND", `the checkpoint ${path} is not there`, { path, cause });
      }
    },
    keep(trial, digests) {
      const done = (pending.get(trial) ?? Promise.resolve())
        .then(() => prune(trial, digests))
        .catch((thrown: unknown) => {
          log(
            "warn",
            "checkpoint-trouble",
            `old checkpoints of trial ${trial} stay: ${toConvsweepError(thrown).message}`,
          );
        })
        .finally(() => {
          if (pending.get(trial) === done) pending.delete(trial);
        });
      pending.set(trial, done);
    },
    sweep(trials) {
      if (!existsSync(root)) return;
      const wanted = new Map<string, ReadonlySet<string>>();
      for (const { id, checkpoints } of trials.values()) {
        if (checkpoints.length > 0) wanted.set(folderName(id), new Set(checkpoints.map(({ digest }) => digest)));
      }
      for (const folder of readdirSync(root)) {
        const names = wanted.get(folder);
        if (names === undefined) rmSync(join(root, folder), { recursive: true, force: true });
        else {
          for (const name of readdirSync(join(root, folder))) {
            if (!names.has(name)) rmSync(join(root, folder, name), { force: true });
          }
        }
      }
    },
    async settled() {
      await Promise.all(pending.values());
    },
  };
}

class FileUpload implements Upload {
  readonly #file: FileHandle;
  readonly #fresh: string;
  readonly #folder: string;
  readonly #digest: string;
  readonly #bytes: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #done: () => void;
  #written = 0;
  #over = false;

  constructor(file: FileHandle, fresh: string, folder: string, digest: string, bytes: number, done: () => void) {
    this.#file = file;
    this.#fresh = fresh;
    this.#folder = folder;
    this.#digest = digest;
    this.#bytes = bytes;
    this.#done = done;
  }

  async write(data: Uint8Array): Promise<void> {
    this.#written += data.byteLength;
    if (this.#written > this.#bytes) throw this.#wrong(`${this.#written} bytes or more`);
    this.#hash.update(data);
    await this.#file.writeFile(data).catch(rethrow);
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
      throw diskError(thrown);
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
    return new ConvsweepError("CORRUPT", "the checkpoint did not arrive whole", { path: "data", expected, found });
  }
}

function rethrow(thrown: unknown): never {
  throw diskError(thrown);
}

/** A disk that refuses a checkpoint is no fault of the worker's. */
function diskError(thrown: unknown): ConvsweepError {
  const error = toConvsweepError(thrown);
  return new ConvsweepError("UNAVAILABLE", `the checkpoint could not be written: ${error.message}`, { cause: thrown });
}
