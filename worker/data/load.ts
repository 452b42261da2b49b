/**
 * A data set of a recipe as arrays for the engine.
 *
 * Guarantees: what is returned was read completely and checked (magic, sizes, label ranges); its digest is the SHA-256
 * over shape, classes, counts and every byte, so equal digests are equal data. Loads of the same unchanged files within
 * a thread are shared while somebody still holds them.
 *
 * Does not compare with publishers' checksums (check.ts), download (fetch.ts), or make generated sets itself: the caller
 * gives `generate`.
 */
import { createHash } from "node:crypto";
import type { DatasetArrays } from "../../native/index.js";
import type { DatasetSpec } from "../../native/recipe.js";
import { ConvsweepError } from "../../proto/contract.js";
import { readArrays } from "./arrays.js";
import { type Located, locate } from "./cache.js";
import { readRecords } from "./cifar.js";
import { readIdxImages, readIdxLabels } from "./idx.js";
import { readFolder } from "./image-folder.js";
import { PUBLISHED_NAMES, type PublishedIdx, type PublishedRecords, published } from "./publishers.js";
import { readOwnRecords } from "./records.js";
import { readText } from "./text.js";

export interface LoadedDataset {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly arrays: DatasetArrays;
}

/** Makes a generated set: `engine.syntheticDigits`. */
export type Generate = (seed: number, trainImages: number, testImages: number) => DatasetArrays;

/** What a set must look like: the counts and shape of a `DatasetSpec`. */
export type Wanted = Pick<DatasetSpec, "name" | "shape" | "classes" | "train_images" | "test_images">;

interface Kept {
  readonly digest: string;
  readonly arrays: WeakRef<DatasetArrays>;
}

const kept = new Map<string, Kept>();
const loading = new Map<string, Promise<LoadedDataset>>();

/**
 * Loads the data set of a recipe from the data folder `dir`, or generates it. Throws NOT_FOUND (no such files), CORRUPT
 * (a wrong file, with the byte) or BAD_INPUT (a set nobody knows).
 */
export async function loadDataset(spec: DatasetSpec, dir: string, generate: Generate): Promise<LoadedDataset> {
  if (spec.seed !== null) {
    const { seed, train_images, test_images } = spec;
    const key = JSON.stringify(["generated", spec.name, seed, train_images, test_images]);
    return shared(key, async () => generate(seed, train_images, test_images));
  }
  const { text, arrays, folder, records } = spec;
  if (text !== undefined) return shared(JSON.stringify(["text", spec]), () => readText(spec, text));
  if (arrays !== undefined) return shared(JSON.stringify(["arrays", spec]), () => readArrays(spec, arrays));
  if (records !== undefined) return shared(JSON.stringify(["records", spec]), () => readOwnRecords(spec, records));
  if (folder !== undefined) {
    return shared(JSON.stringify(["folder", spec]), async () => readFolder(spec, folder));
  }
  const dataset = published(spec.name);
  if (dataset === null) {
    throw new ConvsweepError("BAD_INPUT", `no data set is called ${JSON.stringify(spec.name)}`, {
      path: "dataset.name",
      expected: PUBLISHED_NAMES.join(", "),
      found: spec.name,
    });
  }
  if (spec.classes !== dataset.classes || spec.shape.join() !== dataset.shape.join()) {
    throw new ConvsweepError("BAD_INPUT", `dataset ${spec.name}: its shape and classes are not those of the files`, {
      path: "dataset",
      expected: `${dataset.shape.join("x")} in ${dataset.classes} classes`,
      found: `${spec.shape.join("x")} in ${spec.classes} classes`,
    });
  }
  const located = await locate(dataset, dir);
  const key = JSON.stringify([
    [spec.name, spec.shape, spec.classes, spec.train_images, spec.test_images],
    located.files.map(({ path, bytes, modifiedMillis }) => [path, bytes, modifiedMillis]),
  ]);
  return shared(key, () =>
    dataset.format === "idx" ? readIdx(dataset, located, spec) : readCifar(dataset, located, spec),
  );
}

async function shared(key: string, read: () => Promise<DatasetArrays>): Promise<LoadedDataset> {
  const known = kept.get(key);
  const alive = known?.arrays.deref();
  if (known !== undefined && alive !== undefined) return { digest: known.digest, arrays: alive };
  const underWay = loading.get(key);
  if (underWay !== undefined) return underWay;
  const load = (async () => {
    const arrays = await read();
    const digest = known?.digest ?? digestOf(arrays);
    kept.set(key, { digest, arrays: new WeakRef(arrays) });
    return { digest, arrays };
  })();
  loading.set(key, load);
  try {
    return await load;
  } finally {
    loading.delete(key);
  }
}

/** SHA-256 over everything that decides what a trial sees. */
export function digestOf(arrays: DatasetArrays): string {
  const hash = createHash("sha256");
  const { shape, classes, trainLabels, testLabels } = arrays;
  const kind = arrays.text === undefined ? "convsweep-dataset-1" : "convsweep-text-1";
  hash.update(JSON.stringify([kind, shape, classes, trainLabels.length, testLabels.length]));
  for (const part of [arrays.trainImages, trainLabels, arrays.testImages, testLabels]) hash.update(part);
  return `sha256:${hash.digest("hex")}`;
}

function pathOf(located: Located, name: string): string {
  const file = located.files.find((candidate) => candidate.name === name);
  if (file === undefined) throw new ConvsweepError("INTERNAL", `${name} was not located`);
  return file.path;
}

/** Reads the four IDX files of a set. */
export async function readIdx(dataset: PublishedIdx, located: Located, wanted: Wanted): Promise<DatasetArrays> {
  const [, rows, columns] = wanted.shape;
  const at = (file: { readonly file: string }): string => pathOf(located, file.file);
  const { files } = dataset;
  return {
    shape: [...wanted.shape],
    classes: wanted.classes,
    trainImages: await readIdxImages(at(files.trainImages), wanted.train_images, rows, columns),
    trainLabels: await readIdxLabels(at(files.trainLabels), wanted.train_images, wanted.classes),
    testImages: await readIdxImages(at(files.testImages), wanted.test_images, rows, columns),
    testLabels: await readIdxLabels(at(files.testLabels), wanted.test_images, wanted.classes),
  };
}

/** Reads the record files of a set; each file of a part holds an equal share of its images. */
export async function readCifar(dataset: PublishedRecords, located: Located, wanted: Wanted): Promise<DatasetArrays> {
  const [channels, rows, columns] = wanted.shape;
  const format = { labelRanges: dataset.labelRanges, imageBytes: channels * rows * columns };
  const part = async (files: readonly { readonly file: string }[], count: number) => {
    const share = count / files.length;
    if (!Number.isInteger(share)) {
      throw new ConvsweepError(
        "BAD_INPUT",
        `${dataset.name}: ${count} images do not divide over ${files.length} files`,
        {
          path: "dataset.train_images",
          expected: `a multiple of ${files.length}`,
          found: String(count),
        },
      );
    }
    const images = new Uint8Array(count * format.imageBytes);
    const labels = new Uint8Array(count);
    for (const [i, { file }] of files.entries()) {
      await readRecords(pathOf(located, file), format, share, { images, labels, first: i * share });
    }
    return { images, labels };
  };
  const train = await part(dataset.train, wanted.train_images);
  const test = await part(dataset.test, wanted.test_images);
  return {
    shape: [...wanted.shape],
    classes: wanted.classes,
    trainImages: train.images,
    trainLabels: train.labels,
    testImages: test.images,
    testLabels: test.labels,
  };
}
