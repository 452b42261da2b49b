import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DatasetArrays } from "../../native/index.js";
import { dataFolder, locate, searchFolders } from "../../worker/data/cache.js";
import { parseIdx } from "../../worker/data/idx.js";
import { digestOf, loadDataset } from "../../worker/data/load.js";
import { PUBLISHED, PUBLISHED_NAMES } from "../../worker/data/publishers.js";
import { datasetSpec, failure, idxFile, labels, noise, recordFile, smallIdx, temporaryFolder } from "./data-files.js";

const NAMES = {
  trainImages: "train-images-idx3-ubyte",
  trainLabels: "train-labels-idx1-ubyte",
  testImages: "t10k-images-idx3-ubyte",
  testLabels: "t10k-labels-idx1-ubyte",
} as const;
type Key = keyof typeof NAMES;
const KEYS = Object.keys(NAMES) as readonly Key[];
const SPEC = datasetSpec("mnist", 6, 4);
const none = (): DatasetArrays => {
  throw new Error("not generated");
};

function writeIdx(folder: string, files: Readonly<Record<Key, Buffer>>, suffix = ""): void {
  mkdirSync(folder, { recursive: true });
  for (const key of KEYS) {
    writeFileSync(join(folder, NAMES[key] + suffix), suffix === ".gz" ? gzipSync(files[key]) : files[key]);
  }
}

/** Loads the small set with one of its files replaced, and answers the error. */
async function wrongFile(key: Key, bytes: Buffer) {
  const folder = temporaryFolder();
  writeIdx(folder, smallIdx());
  const file = join(folder, NAMES[key]);
  writeFileSync(file, bytes);
  return { error: await failure(loadDataset(SPEC, folder, none)), file };
}

describe("where data sets lie", () => {
  it("takes --data, then CONVSWEEP_DATA, then the cache folder", () => {
    expect(dataFolder("/a", { CONVSWEEP_DATA: "/b" })).toBe("/a");
    expect(dataFolder(null, { CONVSWEEP_DATA: "/b", XDG_CACHE_HOME: "/c" })).toBe("/b");
    expect(dataFolder(null, { CONVSWEEP_DATA: "", XDG_CACHE_HOME: "/c" })).toBe("/c/convsweep/data");
    expect(dataFolder(null, {})).toMatch(/\/\.cache\/convsweep\/data$/);
  });

  it.each([
    ["mnist", ""],
    ["mnist", "mnist"],
    ["mnist", "MNIST/raw"],
    ["fashion-mnist", "FashionMNIST/raw"],
    ["fashion-mnist", "fashion-mnist"],
  ])("finds %s in DIR/%s, plain and gzipped", async (name, below) => {
    const files = smallIdx();
    for (const suffix of ["", ".gz"]) {
      const dir = temporaryFolder();
      writeIdx(join(dir, below), files, suffix);
      const { arrays } = await loadDataset({ ...SPEC, name }, dir, none).catch((error) => {
        throw error;
      });
      expect(Buffer.from(arrays.trainImages)).toEqual(files.trainImages.subarray(16));
      expect(Buffer.from(arrays.testLabels)).toEqual(files.testLabels.subarray(8));
    }
  });

  it("accepts the dotted names that are also around", async () => {
    const dir = temporaryFolder();
    const files = smallIdx();
    for (const key of KEYS) writeFileSync(join(dir, NAMES[key].replace(/-(idx[0-9])/, ".$1")), files[key]);
    expect((await loadDataset(SPEC, dir, none)).arrays.trainLabels).toHaveLength(6);
  });

  it("never takes the same files in DIR for both MNIST and Fashion-MNIST", async () => {
    for (const [below, name, other] of [
      ["digits", "mnist", "fashion-mnist"],
      ["my-fashion", "fashion-mnist", "mnist"],
    ] as const) {
      const dir = temporaryFolder(below);
      writeIdx(dir, smallIdx());
      expect((await locate(PUBLISHED[name], dir)).folder).toBe(dir);
      expect((await failure(locate(PUBLISHED[other], dir))).code).toBe("NOT_FOUND");
    }
  });

  it("says what was looked for, where, and how to get it", async () => {
    const dir = temporaryFolder();
    const error = await failure(loadDataset(SPEC, dir, none));
    expect(error.code).toBe("NOT_FOUND");
    for (const part of [
      dir,
      join(dir, "MNIST/raw"),
      NAMES.trainImages,
      "convsweep data fetch mnist",
      "CONVSWEEP_DATA",
    ]) {
      expect(error.message).toContain(part);
    }
    writeFileSync(join(dir, NAMES.testLabels), "");
    const partial = await failure(loadDataset(SPEC, dir, none));
    expect(partial.message).toContain(`${dir} lacks ${NAMES.trainImages}, ${NAMES.trainLabels}, ${NAMES.testImages}.`);
  });

  it("looks for each set where its own fetch puts it", () => {
    for (const name of PUBLISHED_NAMES) {
      expect(searchFolders(PUBLISHED[name], "/d")[0]).toBe(join("/d", PUBLISHED[name].folder));
    }
  });
});

describe("published sums", () => {
  it("are whole and consistent with the formats", () => {
    for (const name of PUBLISHED_NAMES) {
      const set = PUBLISHED[name];
      const [c, h, w] = set.shape;
      for (const { md5, sha256, urls, file } of set.downloads) {
        expect(md5).toMatch(/^[0-9a-f]{32}$/);
        expect(sha256).toMatch(/^[0-9a-f]{64}$/);
        for (const url of urls) expect(url).toMatch(new RegExp(`^https?://.*/${file.replaceAll(".", "\\.")}$`));
      }
      if (set.format === "idx") expect(set.files.trainImages.bytes).toBe(16 + set.trainImages * c * h * w);
      else {
        const record = set.labelRanges.length + c * h * w;
        expect(set.train.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(set.trainImages * record);
        expect(set.test.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(set.testImages * record);
      }
    }
  });

  it("agree with the means published for normalisation", () => {
    // MNIST 0.1307, Fashion-MNIST 0.2860; CIFAR per channel 0.4914 0.4822 0.4465 and 0.5071 0.4865 0.4409.
    const mean = (name: (typeof PUBLISHED_NAMES)[number]): number => {
      const { trainPixelSum, trainImages, shape } = PUBLISHED[name];
      return trainPixelSum / trainImages / (shape[0] * shape[1] * shape[2]) / 255;
    };
    expect(mean("mnist")).toBeCloseTo(0.1307, 4);
    expect(mean("fashion-mnist")).toBeCloseTo(0.286, 4);
    expect(mean("cifar10")).toBeCloseTo((0.4914 + 0.4822 + 0.4465) / 3, 4);
    expect(mean("cifar100")).toBeCloseTo((0.5071 + 0.4865 + 0.4409) / 3, 4);
  });
});

describe("IDX files", () => {
  const whole = smallIdx();

  it.each([0, 1, 3, 4, 7, 8, 12, 15, 16, 17, 799, 800, 16 + 6 * 784 - 1])(
    "names byte %i where images are cut",
    async (cut) => {
      const { error, file } = await wrongFile("trainImages", whole.trainImages.subarray(0, cut));
      expect(error.code).toBe("CORRUPT");
      expect(error.path).toBe(`${file}:byte ${cut}`);
      expect(error.message).toContain(`${file}, byte ${cut}: expected`);
    },
  );

  it.each([0, 4, 7, 8, 13])("names byte %i where labels are cut", async (cut) => {
    const { error, file } = await wrongFile("trainLabels", whole.trainLabels.subarray(0, cut));
    expect(error.path).toBe(`${file}:byte ${cut}`);
  });

  it("names the byte after the end where a file goes on", async () => {
    const { error } = await wrongFile("testLabels", Buffer.concat([whole.testLabels, Buffer.from("rubbish")]));
    expect(error.path).toMatch(/:byte 12$/);
    expect(error.found).toBe("7 bytes more");
  });

  it("tells images and labels put in each other's place", async () => {
    const { error } = await wrongFile("trainImages", whole.trainLabels);
    expect(error.path).toMatch(/:byte 3$/);
    expect(error.expected).toContain("0x00000803 (unsigned bytes, 3 dimensions)");
    expect(error.found).toBe("0x00000801 (unsigned bytes, 1 dimension)");
  });

  it("tells other files and other types from IDX of bytes", async () => {
    expect((await wrongFile("trainImages", Buffer.from("<!DOCTYPE html><html>"))).error.found).toContain(
      "not an IDX file",
    );
    const floats = Buffer.from(whole.trainImages);
    floats[2] = 0x0d;
    const { error } = await wrongFile("trainImages", floats);
    expect([error.path?.slice(-7), error.found]).toEqual([":byte 2", "0x00000d03 (floats, 3 dimensions)"]);
  });

  it.each([
    [4, 7, "6 entries"],
    [8, 29, "dimension 2 to be 28"],
    [12, 32, "dimension 3 to be 28"],
  ])("names byte %i where a dimension is wrong", async (at, value, expected) => {
    const bytes = Buffer.from(whole.trainImages);
    bytes.writeUInt32BE(value, at);
    const { error } = await wrongFile("trainImages", bytes);
    expect([error.path?.endsWith(`:byte ${at}`), error.expected, error.found]).toEqual([true, expected, String(value)]);
  });

  it("names the byte of a label out of range", async () => {
    const bytes = Buffer.from(whole.testLabels);
    bytes[8 + 2] = 10;
    const { error } = await wrongFile("testLabels", bytes);
    expect([error.path?.endsWith(":byte 10"), error.expected, error.found]).toEqual([
      true,
      "a label from 0 to 9",
      "10",
    ]);
  });

  it("reads exactly what was written, for any dimensions, and refuses every strict prefix", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
        fc.integer(),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (dims, seed, share) => {
          const values = noise(
            dims.reduce((product, dim) => product * dim, 1),
            seed,
          );
          const file = idxFile(dims, values);
          expect(Buffer.from(parseIdx(file, "f", dims))).toEqual(values);
          const cut = Math.floor(share * file.length);
          expect(() => parseIdx(file.subarray(0, cut), "f", dims)).toThrow(`f, byte ${cut}:`);
        },
      ),
    );
  });
});

describe("gzipped files", () => {
  const whole = smallIdx();
  const packed = gzipSync(whole.trainImages);

  it("are told by their content, not their name", async () => {
    const dir = temporaryFolder();
    writeIdx(dir, whole);
    writeFileSync(join(dir, NAMES.trainImages), packed);
    expect((await loadDataset(SPEC, dir, none)).digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it("name the end where they are cut", async () => {
    for (const cut of [2, 10, 11, 500, packed.length - 8, packed.length - 1]) {
      const { error, file } = await wrongFile("trainImages", packed.subarray(0, cut));
      expect([error.path, error.found]).toEqual([`${file}:byte ${cut}`, "the end of the file"]);
    }
  });

  it("name the byte after the stream where they go on", async () => {
    const zeros = await wrongFile("trainImages", Buffer.concat([packed, Buffer.alloc(7)]));
    expect([zeros.error.path, zeros.error.found]).toEqual([`${zeros.file}:byte ${packed.length}`, "7 bytes more"]);
    // Anything else is taken for a second stream; its two-byte header is what is wrong.
    const { error } = await wrongFile("trainImages", Buffer.concat([packed, Buffer.from("rubbish")]));
    const byte = Number(error.path?.split(":byte ")[1]) - packed.length;
    expect([byte === 0 || byte === 1, error.found]).toEqual([true, "incorrect header check"]);
  });

  it("name a damaged checksum at the byte of the checksum", async () => {
    const damaged = Buffer.from(packed);
    damaged[packed.length - 8] = (damaged[packed.length - 8] ?? 0) ^ 1;
    const { error } = await wrongFile("trainImages", damaged);
    const byte = Number(error.path?.split(":byte ")[1]);
    expect(byte).toBeGreaterThanOrEqual(packed.length - 8);
    expect(byte).toBeLessThan(packed.length);
    expect(error.found).toContain("incorrect data check");
  });

  it("never yield other bytes, whichever bit is flipped", async () => {
    const dir = temporaryFolder();
    writeIdx(dir, whole);
    const file = join(dir, NAMES.trainLabels);
    const sound = gzipSync(whole.trainLabels);
    for (let bit = 0; bit < sound.length * 8; bit++) {
      const damaged = Buffer.from(sound);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(file, damaged);
      // Bytes 3 to 9 hold flags, time and system: a changed time changes nothing.
      const outcome = await loadDataset(SPEC, dir, none).catch((error: Error) => error);
      if (outcome instanceof Error) expect(outcome.message).toContain(`${file}`);
      else expect(Buffer.from(outcome.arrays.trainLabels)).toEqual(whole.trainLabels.subarray(8));
      if (outcome instanceof Error) expect(outcome.message).toMatch(/, byte \d+: expected/);
    }
  });

  it("hold no more than expected, however much they unpack to", async () => {
    const { error } = await wrongFile("trainImages", gzipSync(Buffer.alloc(64 << 20)));
    expect(error.code).toBe("CORRUPT");
    expect(error.path).toMatch(/\(unpacked\):byte 4720$/);
  });
});

describe("CIFAR files", () => {
  const rows10 = (first: number) => [[first], [(first + 3) % 10]];
  function writeCifar10(): { dir: string; files: Buffer[] } {
    const dir = temporaryFolder();
    const folder = join(dir, "cifar-10-batches-bin");
    mkdirSync(folder);
    const files = [0, 1, 2, 3, 4, 5].map((i) => recordFile(rows10(i), 10 * i));
    files.forEach((bytes, i) => {
      writeFileSync(join(folder, i < 5 ? `data_batch_${i + 1}.bin` : "test_batch.bin"), bytes);
    });
    return { dir, files };
  }
  const SPEC10 = datasetSpec("cifar10", 10, 2);

  it("give labels and planes in the files' order", async () => {
    const { dir, files } = writeCifar10();
    const { arrays } = await loadDataset(SPEC10, dir, none);
    expect([...arrays.trainLabels]).toEqual([0, 3, 1, 4, 2, 5, 3, 6, 4, 7]);
    expect([...arrays.testLabels]).toEqual([5, 8]);
    const images = files.slice(0, 5).flatMap((file) => [file.subarray(1, 3073), file.subarray(3074, 6146)]);
    expect(Buffer.from(arrays.trainImages)).toEqual(Buffer.concat(images));
  });

  it.each([
    [0, 0],
    [1, 1],
    [3072, 3072],
    [3073, 3073],
    [3074, 3074],
    [6145, 6145],
  ])("name byte %i where a file is cut", async (cut, byte) => {
    const { dir, files } = writeCifar10();
    const file = join(dir, "cifar-10-batches-bin", "data_batch_3.bin");
    writeFileSync(file, (files[2] ?? Buffer.alloc(0)).subarray(0, cut));
    const error = await failure(loadDataset(SPEC10, dir, none));
    expect(error.path).toBe(`${file}:byte ${byte}`);
  });

  it("name the byte of a label out of range and of what is too much", async () => {
    const { dir, files } = writeCifar10();
    const file = join(dir, "cifar-10-batches-bin", "test_batch.bin");
    const bytes = Buffer.from(files[5] ?? Buffer.alloc(0));
    bytes[3073] = 10;
    writeFileSync(file, bytes);
    expect((await failure(loadDataset(SPEC10, dir, none))).message).toBe(
      `${file}, byte 3073: expected a label from 0 to 9 (record 1), found 10`,
    );
    writeFileSync(file, Buffer.concat([files[5] ?? bytes, Buffer.alloc(3073)]));
    expect((await failure(loadDataset(SPEC10, dir, none))).path).toBe(`${file}:byte 6146`);
  });

  it("of CIFAR-100 give the fine label and check both", async () => {
    const dir = temporaryFolder();
    const folder = join(dir, "cifar-100-binary");
    mkdirSync(folder);
    const write = (name: string, rows: readonly (readonly number[])[]) =>
      writeFileSync(join(folder, name), recordFile(rows, 3));
    write("train.bin", [
      [19, 99],
      [0, 5],
    ]);
    write("test.bin", [[3, 42]]);
    const spec = datasetSpec("cifar100", 2, 1);
    const { arrays } = await loadDataset(spec, dir, none);
    expect([...arrays.trainLabels, ...arrays.testLabels]).toEqual([99, 5, 42]);
    write("train.bin", [
      [19, 99],
      [20, 5],
    ]);
    const coarse = await failure(loadDataset(spec, dir, none));
    expect(coarse.message).toContain("byte 3074: expected a coarse label from 0 to 19 (record 1), found 20");
    write("train.bin", [
      [19, 100],
      [0, 5],
    ]);
    const fine = await failure(loadDataset(spec, dir, none));
    expect(fine.message).toContain("byte 1: expected a fine label from 0 to 99 (record 0), found 100");
  });
});

describe("loading", () => {
  it("shares what is loaded, sees changed files, and keys equal data equally", async () => {
    const dir = temporaryFolder();
    writeIdx(dir, smallIdx());
    const [first, second] = await Promise.all([loadDataset(SPEC, dir, none), loadDataset(SPEC, dir, none)]);
    expect(second.arrays).toBe(first.arrays);
    expect((await loadDataset(SPEC, dir, none)).arrays).toBe(first.arrays);
    const packed = temporaryFolder();
    writeIdx(packed, smallIdx(), ".gz");
    expect((await loadDataset(SPEC, packed, none)).digest).toBe(first.digest);
    writeIdx(dir, smallIdx(2), ".gz");
    writeIdx(dir, smallIdx(2));
    expect((await loadDataset(SPEC, dir, none)).digest).not.toBe(first.digest);
  });

  it("has a digest that every byte and number changes", () => {
    const base = {
      shape: [1, 2, 2] as const,
      classes: 2,
      trainImages: noise(8, 1),
      trainLabels: labels(2, 2),
      testImages: noise(4, 2),
      testLabels: labels(1, 2),
    };
    const flipped = Buffer.from(base.testImages);
    flipped[3] = (flipped[3] ?? 0) ^ 1;
    const others = [
      { ...base, testImages: flipped },
      { ...base, classes: 3 },
      { ...base, shape: [1, 4, 1] as const },
      { ...base, trainLabels: labels(1, 2), testLabels: labels(2, 2) },
    ];
    expect(new Set([base, ...others].map(digestOf)).size).toBe(5);
    expect(digestOf({ ...base })).toBe(digestOf(base));
  });

  it("generates sets that have a seed, with no files", async () => {
    const arrays: DatasetArrays = {
      shape: [1, 28, 28],
      classes: 10,
      trainImages: noise(784, 1),
      trainLabels: labels(1, 10),
      testImages: noise(784, 2),
      testLabels: labels(1, 10),
    };
    const asked: number[][] = [];
    const spec = { ...datasetSpec("synthetic-digits", 1, 1), seed: 9 };
    const loaded = await loadDataset(spec, "/nowhere", (...args) => {
      asked.push(args);
      return arrays;
    });
    expect([loaded.arrays, asked]).toEqual([arrays, [[9, 1, 1]]]);
  });

  it("refuses unknown sets and impossible recipes by name", async () => {
    expect((await failure(loadDataset(datasetSpec("imagenet", 1, 1), "/nowhere", none))).message).toContain("imagenet");
    const odd = await failure(loadDataset({ ...SPEC, shape: [3, 28, 28] }, "/nowhere", none));
    expect([odd.code, odd.expected]).toEqual(["BAD_INPUT", "1x28x28 in 10 classes"]);
    const dir = temporaryFolder();
    writeIdx(dir, smallIdx());
    expect((await failure(loadDataset(datasetSpec("constructor", 1, 1), dir, none))).code).toBe("BAD_INPUT");
  });
});
