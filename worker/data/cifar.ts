/**
 * The binary files of CIFAR-10 and CIFAR-100: records of one or two label bytes and 3,072 bytes of image, red plane
 * first. https://www.cs.toronto.edu/~kriz/cifar.html describes them.
 *
 * Guarantees: as many records as asked for, every label within its range; anything else is refused with the byte where
 * the file goes wrong. Reads plain and gzipped files.
 *
 * Does not unpack archives (tar.ts) or know which files make a set (load.ts).
 */
import { checkLength, fileFault } from "./fault.js";
import { readContents } from "./plain.js";

export interface RecordFormat {
  /** How many values each label byte may take; the last label is the one used (of CIFAR-100: the fine one). */
  readonly labelRanges: readonly number[];
  /** Bytes of an image. */
  readonly imageBytes: number;
}

/** Where the images and labels of a file go. */
export interface RecordTarget {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  /** Index of the first image to write. */
  readonly first: number;
}

const LABEL_NAMES: Readonly<Record<number, readonly string[]>> = { 1: ["label"], 2: ["coarse label", "fine label"] };

/** Takes `records` records out of `bytes`. `size` is the file's length where `bytes` holds only its beginning. */
export function parseRecords(
  bytes: Uint8Array,
  file: string,
  format: RecordFormat,
  records: number,
  target: RecordTarget,
  size = bytes.length,
): void {
  const { labelRanges, imageBytes } = format;
  const recordBytes = labelRanges.length + imageBytes;
  const whole = Math.min(records, Math.floor(bytes.length / recordBytes));
  for (let record = 0; record < whole; record++) {
    const at = record * recordBytes;
    let label = 0;
    for (const [i, range] of labelRanges.entries()) {
      label = bytes[at + i] ?? 0;
      if (label < range) continue;
      const name = LABEL_NAMES[labelRanges.length]?.[i] ?? "label";
      throw fileFault(file, at + i, `a ${name} from 0 to ${range - 1} (record ${record})`, String(label));
    }
    target.labels[target.first + record] = label;
    target.images.set(bytes.subarray(at + labelRanges.length, at + recordBytes), (target.first + record) * imageBytes);
  }
  if (size < records * recordBytes && size % recordBytes !== 0) {
    throw fileFault(
      file,
      size,
      `record ${whole} to go on for ${recordBytes - (size % recordBytes)} more bytes (${records} records of ${recordBytes})`,
      "the end of the file",
    );
  }
  checkLength(file, size, records * recordBytes);
}

/** Reads `records` records of a file into `target`. */
export async function readRecords(
  file: string,
  format: RecordFormat,
  records: number,
  target: RecordTarget,
): Promise<void> {
  const recordBytes = format.labelRanges.length + format.imageBytes;
  const { bytes, called, size } = await readContents(file, records * recordBytes);
  parseRecords(bytes, called, format, records, target, size);
}
