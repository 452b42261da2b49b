/** Small data files for the tests of worker/data, made byte by byte from the formats' descriptions. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import type { DatasetSpec } from "../../native/recipe.js";
import { ConvsweepError } from "../../proto/contract.js";
import type { Download, PublishedIdx, PublishedRecords } from "../../worker/data/publishers.js";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A fresh folder, gone after the test. */
export function temporaryFolder(...below: string[]): string {
  const root = mkdtempSync(join(tmpdir(), "convsweep-data-"));
  folders.push(root);
  const folder = join(root, ...below);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** An IDX file of unsigned bytes. */
export function idxFile(dims: readonly number[], values: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * dims.length);
  header.writeUInt32BE(0x0800 + dims.length, 0);
  dims.forEach((dim, i) => {
    header.writeUInt32BE(dim, 4 + 4 * i);
  });
  return Buffer.concat([header, values]);
}

/** Bytes that look random, the same for the same seed. */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export const labels = (count: number, classes: number): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, i) => (7 * i) % classes));

/** Records of CIFAR: label bytes, then the image. */
export function recordFile(rows: readonly (readonly number[])[], seed: number): Buffer {
  return Buffer.concat(rows.map((row, i) => Buffer.concat([Buffer.from(row), noise(3072, seed + i)])));
}

export function datasetSpec(name: string, train: number, test: number): DatasetSpec {
  const cifar = name.startsWith("cifar");
  return {
    name,
    shape: cifar ? [3, 32, 32] : [1, 28, 28],
    classes: name === "cifar100" ? 100 : 10,
    validation: 1,
    train_images: train,
    test_images: test,
    seed: null,
  };
}

export interface Member {
  readonly name: string;
  readonly data: Buffer;
  readonly flag?: string;
  readonly link?: string;
}

/** A tar archive in the ustar format, from POSIX 1003.1. */
export function tarFile(members: readonly Member[]): Buffer {
  const blocks = members.flatMap(({ name, data, flag = "0", link = "" }) => {
    const header = Buffer.alloc(512);
    header.write(name, 0, "latin1");
    header.write("0000644\0", 100);
    header.write("0000000\0", 108);
    header.write("0000000\0", 116);
    header.write(`${data.length.toString(8).padStart(11, "0")} `, 124);
    header.write("00000000000 ", 136);
    header.write("        ", 148);
    header.write(flag, 156);
    header.write(link, 157);
    header.write("ustar\u000000", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** How a publisher would describe these bytes. */
export function describeDownload(file: string, bytes: Buffer, urls: readonly string[]): Download {
  const sum = (name: string): string => createHash(name).update(bytes).digest("hex");
  return { file, bytes: bytes.length, md5: sum("md5"), sha256: sum("sha256"), urls };
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** The four files of a small MNIST-like set: 6 training and 4 test images. */
export function smallIdx(seed = 1): Record<"trainImages" | "trainLabels" | "testImages" | "testLabels", Buffer> {
  return {
    trainImages: idxFile([6, 28, 28], noise(6 * 784, seed)),
    trainLabels: idxFile([6], labels(6, 10)),
    testImages: idxFile([4, 28, 28], noise(4 * 784, seed + 1)),
    testLabels: idxFile([4], labels(4, 10)),
  };
}

const IDX_NAMES = {
  trainImages: "train-images-idx3-ubyte",
  trainLabels: "train-labels-idx1-ubyte",
  testImages: "t10k-images-idx3-ubyte",
  testLabels: "t10k-labels-idx1-ubyte",
} as const;

/** smallIdx() as a published set; `pack` makes the downloads, `urls` their addresses. */
export function publishedIdx(
  files: ReturnType<typeof smallIdx>,
  pack: (bytes: Buffer) => Buffer,
  urls: (file: string) => readonly string[],
): PublishedIdx {
  const file = (key: keyof typeof IDX_NAMES) => ({
    file: IDX_NAMES[key],
    bytes: files[key].length,
    sha256: sha256(files[key]),
  });
  return {
    name: "mnist",
    title: "small digits",
    shape: [1, 28, 28],
    classes: 10,
    trainImages: 6,
    testImages: 4,
    trainPixelSum: files.trainImages.subarray(16).reduce((sum, byte) => sum + byte, 0),
    folder: "mnist",
    folders: ["mnist", "."],
    format: "idx",
    files: {
      trainImages: file("trainImages"),
      trainLabels: file("trainLabels"),
      testImages: file("testImages"),
      testLabels: file("testLabels"),
    },
    downloads: (["trainImages", "trainLabels", "testImages", "testLabels"] as const).map((key) => {
      const name = `${IDX_NAMES[key]}.gz`;
      return describeDownload(name, pack(files[key]), urls(name));
    }),
  };
}

/** Two record files in an archive, as a published set. */
export function publishedRecords(
  train: Buffer,
  test: Buffer,
  archive: Buffer,
  urls: readonly string[],
): PublishedRecords {
  return {
    name: "cifar10",
    title: "small things",
    shape: [3, 32, 32],
    classes: 10,
    trainImages: train.length / 3073,
    testImages: test.length / 3073,
    trainPixelSum: 0,
    folder: "cifar-10-batches-bin",
    folders: ["cifar-10-batches-bin", "."],
    format: "records",
    labelRanges: [10],
    train: [{ file: "data_batch_1.bin", bytes: train.length, sha256: sha256(train) }],
    test: [{ file: "test_batch.bin", bytes: test.length, sha256: sha256(test) }],
    downloads: [describeDownload("cifar-10-binary.tar.gz", archive, urls)],
  };
}

/** What a promise fails with, as a ConvsweepError. */
export async function failure(promise: Promise<unknown>): Promise<ConvsweepError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ConvsweepError) return error;
    throw error;
  }
  throw new Error("expected it to fail");
}
