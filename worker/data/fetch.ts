/**
 * Gets a published data set into the data folder: downloads, checks, unpacks.
 *
 * Guarantees: afterwards every file that loaders need is in the data set's own folder with the publisher's checksum; a
 * second call finds that and downloads nothing. Interrupted at any point, the next call goes on from there. Files that
 * a user put there himself are never touched unless they bear a publisher's name and are wrong.
 *
 * Does not load the data.
 */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type DownloadOptions, download, sumsAgree, sumsOf } from "./download.js";
import type { DataFile, PublishedDataset, PublishedRecords } from "./publishers.js";
import { unpackTarGz } from "./tar.js";

export interface Fetched {
  readonly folder: string;
  /** Bytes taken from the network's files; 0 when all was there. */
  readonly downloaded: number;
}

/** Archives hold little more than the files wanted of them. */
const ARCHIVE_EXTRA_BYTES = 1 << 20;

/** Makes the data set complete in `dir`. Throws UNAVAILABLE, CORRUPT or CONFLICT. */
export async function fetchDataset(dataset: PublishedDataset, dir: string, options: DownloadOptions): Promise<Fetched> {
  const folder = join(dir, dataset.folder);
  if (dataset.format === "records") return { folder, downloaded: await fetchArchive(dataset, dir, options) };
  let downloaded = 0;
  for (const what of dataset.downloads) {
    const path = join(folder, what.file);
    if (await sumsAgree(what, path)) continue;
    await download(what, path, options);
    downloaded += what.bytes;
  }
  return { folder, downloaded };
}

async function fetchArchive(dataset: PublishedRecords, dir: string, options: DownloadOptions): Promise<number> {
  const files = [...dataset.train, ...dataset.test];
  if (await allSound(files, join(dir, dataset.folder))) return 0;
  const [what] = dataset.downloads;
  const archive = join(dir, what.file);
  const there = await sumsAgree(what, archive);
  if (!there) await download(what, archive, options);
  const wanted = files.map(({ file, bytes }) => ({
    member: `${dataset.folder}/${file}`,
    file: join(dataset.folder, file),
    bytes,
  }));
  const most = files.reduce((sum, { bytes }) => sum + bytes, 0) + ARCHIVE_EXTRA_BYTES;
  await unpackTarGz(archive, dir, wanted, most);
  await rm(archive);
  return there ? 0 : what.bytes;
}

async function allSound(files: readonly DataFile[], folder: string): Promise<boolean> {
  for (const { file, bytes, sha256 } of files) {
    const path = join(folder, file);
    if ((await stat(path).catch(() => null))?.size !== bytes) return false;
    if (sha256 !== null && (await sumsOf(path)).sha256 !== sha256) return false;
  }
  return true;
}
