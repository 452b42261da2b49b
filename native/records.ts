/**
 * Images of people's own in files of records, as CIFAR's binary ones are: one or more label bytes, of which the last one
 * counts, then the image, a plane a channel (red, green, blue), row by row.
 *
 * Guarantees: what is returned is complete; anything else is a RangeError that says at which byte and record, what was
 * expected and what was found, without the file's name. Format: https://www.cs.toronto.edu/~kriz/cifar.html. Not here:
 * reading files, and the published sets (worker/data/cifar.ts), of which more is known.
 */
import type { DatasetSpec } from "./recipe.js";

export interface Records {
  readonly count: number;
  /** [image][channel][row][column] */
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** Throws RangeError unless the file is whole records of that form. */
export function parseOwnRecords(file: Uint8Array, shape: DatasetSpec["shape"], labelBytes: number): Records {
  const imageBytes = shape[0] * shape[1] * shape[2];
  const recordBytes = labelBytes + imageBytes;
  const rest = file.length % recordBytes;
  const count = (file.length - rest) / recordBytes;
  const form = `records of ${recordBytes} bytes (${labelBytes} of labels, ${shape.join("x")} of image)`;
  if (file.length === 0) throw new RangeError(`expected ${form}, found an empty file`);
  if (rest > 0) {
    throw new RangeError(
      `expected ${form}, found ${file.length} bytes: record ${count}, at byte ${file.length - rest}, has only ${rest}`,
    );
  }
  const images = new Uint8Array(count * imageBytes);
  const labels = new Uint8Array(count);
  for (let record = 0; record < count; record++) {
    const at = record * recordBytes + labelBytes;
    labels[record] = file[at - 1] ?? 0;
    images.set(file.subarray(at, at + imageBytes), record * imageBytes);
  }
  return { count, images, labels };
}

/** Several files' images one after another. */
export function joinRecords(parts: readonly Records[]): Records {
  const join = (of: (part: Records) => Uint8Array): Uint8Array => {
    const joined = new Uint8Array(parts.reduce((sum, part) => sum + of(part).length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(of(part), at);
      at += of(part).length;
    }
    return joined;
  };
  const labels = join((part) => part.labels);
  return { count: labels.length, images: join((part) => part.images), labels };
}
