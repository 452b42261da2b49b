/**
 * A file of people's own on this machine.
 *
 * Guarantees: it is the one that the recipe was made from, to the byte, or it is refused with its path.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConvsweepError } from "../../proto/contract.js";

/** `what` names its kind: `the text`. Throws NOT_FOUND or CORRUPT. */
export async function readOwnFile(
  what: string,
  { path, sha256 }: { readonly path: string; readonly sha256: string },
): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unreadable";
    throw new ConvsweepError(
      "NOT_FOUND",
      `${what} ${path} is not on this machine (${why}); put the same file there, or a folder that all machines share`,
      { path, expected: `a file of SHA-256 ${sha256}`, found: why, cause },
    );
  }
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found === sha256) return bytes;
  throw new ConvsweepError("CORRUPT", `${path} is not ${what} that the sweep was made from: its SHA-256 differs`, {
    path,
    expected: sha256,
    found,
  });
}
