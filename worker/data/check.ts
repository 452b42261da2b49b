/**
 * Looks at the data sets in the data folder: what is there (`survey`, quick) and whether it is right (`checkDataset`,
 * reads every byte).
 *
 * Guarantees: a set whose files loaders would refuse is `wrong`, with the file and the byte; one that loads but is not
 * byte for byte the publisher's is a `warning`, never silently fine.
 *
 * Does not change anything on disk.
 */
import type { DatasetArrays } from "../../native/index.js";
import { toConvsweepError } from "../../proto/contract.js";
import { type Located, locate } from "./cache.js";
import { sumsOf } from "./download.js";
import { digestOf, readCifar, readIdx } from "./load.js";
import type { DataFile, PublishedDataset } from "./publishers.js";

export interface Survey {
  readonly name: string;
  readonly title: string;
  readonly trainImages: number;
  readonly testImages: number;
  readonly state: "present" | "missing";
  readonly folder: string | null;
  /** On disk; `null` when missing. */
  readonly bytes: number | null;
  /** To fetch it. */
  readonly downloadBytes: number;
}

export interface Check {
  readonly name: string;
  readonly state: "ok" | "warning" | "missing" | "wrong";
  readonly folder: string | null;
  /** One sentence each. */
  readonly messages: readonly string[];
  /** As trials record it; `null` unless it loads. */
  readonly digest: string | null;
}

/** Says whether a set's files are there, without reading them. */
export async function survey(dataset: PublishedDataset, dir: string): Promise<Survey> {
  const located = await locate(dataset, dir).catch(() => null);
  return {
    name: dataset.name,
    title: dataset.title,
    trainImages: dataset.trainImages,
    testImages: dataset.testImages,
    state: located === null ? "missing" : "present",
    folder: located?.folder ?? null,
    bytes: located === null ? null : located.files.reduce((sum, { bytes }) => sum + bytes, 0),
    downloadBytes: dataset.downloads.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Loads a set as a trial would and compares it with what its publisher says of it. */
export async function checkDataset(dataset: PublishedDataset, dir: string): Promise<Check> {
  const { name } = dataset;
  let located: Located | null = null;
  try {
    located = await locate(dataset, dir);
    const wanted = {
      name,
      shape: dataset.shape,
      classes: dataset.classes,
      train_images: dataset.trainImages,
      test_images: dataset.testImages,
    };
    const arrays =
      dataset.format === "idx" ? await readIdx(dataset, located, wanted) : await readCifar(dataset, located, wanted);
    const messages = await compare(dataset, located, arrays);
    const state = messages.length === 0 ? "ok" : "warning";
    return { name, state, folder: located.folder, messages, digest: digestOf(arrays) };
  } catch (thrown) {
    const error = toConvsweepError(thrown);
    const state = error.code === "NOT_FOUND" ? "missing" : "wrong";
    return { name, state, folder: located?.folder ?? null, messages: [error.message], digest: null };
  }
}

/** What differs from the publisher's, one sentence a file. */
async function compare(dataset: PublishedDataset, located: Located, arrays: DatasetArrays): Promise<readonly string[]> {
  const files: readonly DataFile[] =
    dataset.format === "idx" ? Object.values(dataset.files) : [...dataset.train, ...dataset.test];
  const messages: string[] = [];
  let unknown = false;
  for (const { name, path } of located.files) {
    const file = files.find((candidate) => candidate.file === name);
    const zipped = dataset.downloads.find((candidate) => candidate.file === `${name}.gz`);
    const sum = (await sumsOf(path)).sha256;
    const expected = path.endsWith(".gz") ? (zipped?.sha256 ?? null) : (file?.sha256 ?? null);
    if (expected === null) unknown = true;
    else if (sum !== expected) {
      messages.push(`${path}: sizes and labels fine, checksum differs from the publisher's`);
    }
  }
  if (unknown && pixelSum(arrays.trainImages) !== dataset.trainPixelSum) {
    messages.push(`${located.folder}: sizes and labels fine, the training images' mean differs from the published one`);
  }
  return messages;
}

function pixelSum(images: Uint8Array): number {
  let sum = 0;
  for (const value of images) sum += value;
  return sum;
}
