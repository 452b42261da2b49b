/**
 * Where data sets lie on disk.
 *
 * The data folder is `--data DIR`, else CONVSWEEP_DATA, else `${XDG_CACHE_HOME:-~/.cache}/convsweep/data`. In it each set
 * is looked for in the folders of publishers.ts, first to last, under the publishers' names, plain or with `.gz`:
 *
 *   mnist           DIR/mnist, DIR/MNIST/raw, DIR/MNIST, DIR
 *   fashion-mnist   DIR/fashion-mnist, DIR/FashionMNIST/raw, DIR/FashionMNIST, DIR/fashion_mnist, DIR
 *   cifar10         DIR/cifar-10-batches-bin, DIR/cifar10/cifar-10-batches-bin, DIR/cifar10, DIR
 *   cifar100        DIR/cifar-100-binary, DIR/cifar100/cifar-100-binary, DIR/cifar100, DIR
 *
 * MNIST and Fashion-MNIST call their files the same. Files directly in DIR are taken for Fashion-MNIST where DIR's own
 * name says `fashion`, else for MNIST, never for both.
 *
 * Does not read the files.
 */
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";
import type { PublishedDataset } from "./publishers.js";

/** The data folder, absolute. `option` is what `--data` said, `null` if nothing. */
export function dataFolder(option: string | null, env: NodeJS.ProcessEnv): string {
  const chosen = option ?? env["CONVSWEEP_DATA"];
  if (chosen !== undefined && chosen !== "") return resolve(chosen);
  const cache = env["XDG_CACHE_HOME"];
  return join(cache !== undefined && cache !== "" ? resolve(cache) : join(homedir(), ".cache"), "convsweep", "data");
}

/** A file of a data set as found. */
export interface LocatedFile {
  /** Its name in publishers.ts. */
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMillis: number;
}

export interface Located {
  readonly folder: string;
  readonly files: readonly LocatedFile[];
}

/** The names of the files that make a set, in the order in which they are loaded. */
export function fileNames(dataset: PublishedDataset): readonly string[] {
  return dataset.format === "idx"
    ? [dataset.files.trainImages, dataset.files.trainLabels, dataset.files.testImages, dataset.files.testLabels].map(
        ({ file }) => file,
      )
    : [...dataset.train, ...dataset.test].map(({ file }) => file);
}

/** `train-images-idx3-ubyte` is also around as `train-images.idx3-ubyte`, and each may be gzipped. */
function variants(name: string): readonly string[] {
  const dotted = name.replace(/-(idx[0-9])-/, ".$1-");
  return [...new Set([name, `${name}.gz`, dotted, `${dotted}.gz`])];
}

/** The folders where `dataset` is looked for, absolute. */
export function searchFolders(dataset: PublishedDataset, dir: string): readonly string[] {
  const fashionable = /fashion/i.test(basename(dir));
  return dataset.folders
    .filter(
      (folder) => folder !== "." || dataset.format !== "idx" || fashionable === (dataset.name === "fashion-mnist"),
    )
    .map((folder) => join(dir, folder));
}

async function findFile(folder: string, name: string): Promise<LocatedFile | null> {
  for (const variant of variants(name)) {
    const path = join(folder, variant);
    const found = await stat(path).catch(() => null);
    if (found?.isFile()) return { name, path, bytes: found.size, modifiedMillis: found.mtimeMs };
  }
  return null;
}

/** Finds all files of a set in one folder. Throws NOT_FOUND saying what was looked for, where, and how to get it. */
export async function locate(dataset: PublishedDataset, dir: string): Promise<Located> {
  const names = fileNames(dataset);
  const folders = searchFolders(dataset, dir);
  let partial: string | null = null;
  for (const folder of folders) {
    const files: LocatedFile[] = [];
    const missing: string[] = [];
    for (const name of names) {
      const file = await findFile(folder, name);
      if (file === null) missing.push(name);
      else files.push(file);
    }
    if (missing.length === 0) return { folder, files };
    if (files.length > 0) partial ??= `${folder} lacks ${missing.join(", ")}`;
  }
  throw new ConvsweepError(
    "NOT_FOUND",
    `${dataset.name} is not in the data folder ${dir}: ${
      partial ?? `looked for ${names.join(", ")} (plain or .gz) in ${folders.join(", ")}`
    }. \`convsweep data fetch ${dataset.name}\` gets it; --data DIR or CONVSWEEP_DATA names another folder.`,
    { path: dir, expected: names.join(", "), found: partial ?? "none of them" },
  );
}
