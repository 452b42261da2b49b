/**
 * A trial's files, as the command line lists and saves them.
 *
 * Guarantees: what is written has the digest on record, or the verb fails and says which file. Files are read from the store's
 * folder, so saving works on the coordinator's machine only; elsewhere the page shows them.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Confusion, isConfusionFile, parseConfusion } from "../../proto/confusion.js";
import { ConvsweepError } from "../../proto/contract.js";
import { ask } from "./connect.js";
import type { Context } from "./context.js";
import { asObjects } from "./rows.js";

/** Of a text that is shown among other things. */
const MAX_TEXT_BYTES = 16_384;
/** Of a confusion matrix, which is shown in part: one of 256 classes has about a tenth of it. */
const MAX_CONFUSION_BYTES = 4 << 20;

export interface ArtifactLine {
  readonly id: number;
  readonly name: string;
  readonly epoch: number;
  readonly media_type: string;
  readonly bytes: number;
  readonly digest: string;
}

/** Of each name and epoch the newest attempt's. */
export async function artifactsOf(context: Context, trial: string): Promise<readonly ArtifactLine[]> {
  const rows = await ask(
    context,
    `SELECT id, name, epoch, media_type, bytes, digest FROM artifacts WHERE trial = ? AND (name, epoch, id) IN (
       SELECT name, epoch, max(id) FROM artifacts WHERE trial = ? GROUP BY name, epoch)
     ORDER BY name, epoch`,
    [trial, trial],
  );
  return asObjects(rows) as unknown as readonly ArtifactLine[];
}

/** Answers the paths written. */
export async function saveArtifacts(
  context: Context,
  artifacts: readonly ArtifactLine[],
  folder: string,
): Promise<readonly string[]> {
  if (context.options.coordinator !== null) {
    throw new ConvsweepError("BAD_INPUT", "--save reads the store's folder: use it on the coordinator's machine", {
      path: "--save",
      expected: "no --coordinator",
      found: context.options.coordinator,
    });
  }
  await mkdir(folder, { recursive: true });
  const written: string[] = [];
  for (const artifact of artifacts) {
    const path = join(folder, fileNameOf(artifact));
    await writeFile(path, await bytesOf(context.options.store, artifact));
    written.push(path);
  }
  return written;
}

/** A short text artifact's text; `null` for any other, and where the store's folder is not at hand. */
export async function textOf(context: Context, artifact: ArtifactLine): Promise<string | null> {
  const { coordinator, store } = context.options;
  if (coordinator !== null || artifact.media_type !== "text/plain" || artifact.bytes > MAX_TEXT_BYTES) return null;
  return (await bytesOf(store, artifact)).toString("utf8");
}

/** What an artifact says was taken for what; `null` as with `textOf`, and where it is no such file. */
export async function confusionIn(context: Context, artifact: ArtifactLine): Promise<Confusion | null> {
  const { coordinator, store } = context.options;
  const { name, media_type, bytes } = artifact;
  if (coordinator !== null || !isConfusionFile(name, media_type) || bytes > MAX_CONFUSION_BYTES) return null;
  return parseConfusion((await bytesOf(store, artifact)).toString("utf8"));
}

async function bytesOf(store: string, { digest, name }: ArtifactLine): Promise<Buffer> {
  const path = join(store, "artifacts", digest.slice(0, 2), digest);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ConvsweepError("NOT_FOUND", `the file of ${name} is gone: ${path}`, { path, cause });
  });
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found === digest) return bytes;
  throw new ConvsweepError("CORRUPT", `the file of ${name} is damaged: ${path}`, { path, expected: digest, found });
}

function fileNameOf({ name, epoch, media_type }: ArtifactLine): string {
  const kind = media_type.split("/")[1]?.replace("apng", "png").replace("plain", "txt") ?? "bin";
  return epoch > 0 ? `${name}-${String(epoch).padStart(4, "0")}.${kind}` : `${name}.${kind}`;
}
