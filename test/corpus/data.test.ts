/**
 * Wrong data files and archives: each is refused with the file, the byte, what was expected and what was found, and
 * nothing is written outside of the folder it was to go to.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConvsweepError } from "../../proto/contract.js";
import { readRecords } from "../../worker/data/cifar.js";
import { readIdxImages, readIdxLabels } from "../../worker/data/idx.js";
import { unpackTarGz } from "../../worker/data/tar.js";
import { corpus, expectMessage, manifest, strays } from "./manifest.js";

interface Row {
  readonly file: string;
  readonly why: string;
  readonly read: keyof typeof readers;
  readonly code: string;
  readonly message: string;
}

const records = (file: string, labelRanges: readonly number[]) =>
  readRecords(file, { labelRanges, imageBytes: 4 }, 2, {
    images: new Uint8Array(8),
    labels: new Uint8Array(2),
    first: 0,
  });

/** Two images of 2 x 2 pixels, two labels, two records of 4 bytes, an archive with one file of 8 bytes. */
const readers = {
  images: (file: string) => readIdxImages(file, 2, 2, 2),
  labels: (file: string) => readIdxLabels(file, 2, 10),
  cifar10: (file: string) => records(file, [10]),
  cifar100: (file: string) => records(file, [20, 100]),
  tar: (file: string, folder: string) =>
    unpackTarGz(file, folder, [{ member: "set/data.bin", file: "set/data.bin", bytes: 8 }], 1 << 20),
};

const rows = manifest<Row>("data");

describe("wrong data files", () => {
  it("are many, and every one is in the manifest", () => {
    expect(rows.length).toBeGreaterThanOrEqual(50);
    expect(
      strays(
        "data",
        rows.map(({ file }) => file),
      ),
    ).toEqual([]);
  });

  it.each(rows)("$file: $why", async ({ file, read, code, message }) => {
    const outside = mkdtempSync(join(tmpdir(), "convsweep-corpus-"));
    try {
      const folder = mkdtempSync(join(outside, "target-"));
      const error = await readers[read](join(corpus, "data", file), folder).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      if (!(error instanceof ConvsweepError)) throw new Error(`accepted, or failed otherwise: ${error}`);
      expectMessage(error.message.replaceAll(join(corpus, "data/"), ""), message);
      expect(error.code).toBe(code);
      expect(readdirSync(outside)).toHaveLength(1);
      const left = readdirSync(folder, { recursive: true }).map(String);
      expect(left.filter((name) => name !== "set" && name !== "set/data.bin")).toEqual([]);
    } finally {
      rmSync(outside, { recursive: true, force: true });
    }
  });
});
