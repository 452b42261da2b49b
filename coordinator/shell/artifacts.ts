/**
 * The bytes of artifacts, as files beside the database: `artifacts/DIGEST`, the first two digits being a folder.
 *
 * Guarantees: a file is named by the digest of its content, so equal files are kept once and none is ever changed. Not here:
 * which trial has which (the store), how they are written (file-upload.ts).
 */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import { type Upload, UploadRoom } from "./file-upload.js";

export interface ArtifactFiles {
  /** Throws UNAVAILABLE when too many are under way or the disk is too full, TOO_LARGE beyond the limit. */
  begin(digest: string, bytes: number): Promise<Upload>;
  /** The file, open for reading; NOT_FOUND if it is not there. */
  open(digest: string): Promise<FileHandle>;
}

export function openArtifactFiles(storeDir: string): ArtifactFiles {
  const room = new UploadRoom();
  const folderOf = (digest: string): string => join(storeDir, "artifacts", digest.slice(0, 2));
  return {
    begin(digest, bytes) {
      const bytesAtMost = LIMITS.artifactBytes;
      return room.begin({ folder: folderOf(digest), digest, bytes, bytesAtMost, what: "artifact" });
    },
    async open(digest) {
      try {
        return await open(join(folderOf(digest), digest), "r");
      } catch (cause) {
        throw new ConvsweepError("NOT_FOUND", `the artifact ${digest.slice(0, 12)} is not there`, {
          path: digest,
          cause,
        });
      }
    },
  };
}
