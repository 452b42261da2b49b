/**
 * Files of people's own that a sweep file names by their path.
 *
 * Guarantees: relative paths lead from the folder that the sweep was submitted from; a file that is not there, is too
 * large or cannot be read is a ConvsweepError with its path. Not here: what the bytes mean.
 */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";

export interface OwnFile {
  /** Absolute. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface OwnFiles {
  /** Absolute. */
  resolve(path: string): string;
  read(path: string, maxBytes: number): OwnFile;
}

/** The files of this machine, from `folder`. */
export function filesFrom(folder: string): OwnFiles {
  return {
    resolve: (given) => resolve(folder, given),
    read(given, maxBytes) {
      const path = resolve(folder, given);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile()) {
        throw new ConvsweepError("NOT_FOUND", `there is no file ${path}`, { path, expected: "a file" });
      }
      if (stat.size > maxBytes) {
        throw new ConvsweepError("TOO_LARGE", `${path} has ${stat.size} bytes; expected at most ${maxBytes}`, { path });
      }
      try {
        return { path, bytes: readFileSync(path) };
      } catch (cause) {
        throw new ConvsweepError("NOT_FOUND", `${path} cannot be read: ${(cause as Error).message}`, { path, cause });
      }
    },
  };
}
