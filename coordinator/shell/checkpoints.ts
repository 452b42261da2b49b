/**
 * The bytes of checkpoints, as files beside the database: `checkpoints/SWEEP-NUMBER/DIGEST`.
 *
 * Guarantees: a file appears whole and fsynced under the digest of its content, or not at all; what is read is checked
 * against its name by whoever uses it; a trial's files that the core does not keep are deleted, after a restart also
 * those that a crash left. Not here: which checkpoints count (core/checkpoints.ts), how they are written (file-upload.ts),
 * the wire (checkpoint-server.ts).
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { type FileHandle, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ConvsweepError, LIMITS, type TrialId, toConvsweepError } from "../../proto/contract.js";
import type { Trial } from "../core/types.js";
import { NEW, type Upload, UploadRoom } from "./file-upload.js";
import type { Log } from "./log.js";

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

const folderName = (trial: TrialId): string => trial.replace("/", "-");

export function openCheckpointFiles(storeDir: string, log: Log, reserve?: number): CheckpointFiles {
  const root = join(storeDir, "checkpoints");
  const folderOf = (trial: TrialId): string => join(root, folderName(trial));
  /** Deletions of one trial follow one another. */
  const pending = new Map<TrialId, Promise<void>>();
  const room = new UploadRoom(reserve);

  async function prune(trial: TrialId, digests: readonly string[]): Promise<void> {
    const folder = folderOf(trial);
    if (digests.length === 0) return rm(folder, { recursive: true, force: true });
    for (const name of await readdir(folder).catch(() => [])) {
      // What is being written is not known yet.
      if (!digests.includes(name) && !name.endsWith(NEW)) await rm(join(folder, name), { force: true });
    }
  }

  return {
    begin(trial, digest, bytes) {
      const target = {
        folder: folderOf(trial),
        digest,
        bytes,
        bytesAtMost: LIMITS.checkpointBytes,
        what: "checkpoint",
      };
      return room.begin(target);
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
