/**
 * The IDX format of MNIST and its kin: a magic number (0, 0, type, number of dimensions), the dimensions as big-endian
 * 32-bit numbers, then the values. http://yann.lecun.com/exdb/mnist/ describes it.
 *
 * Guarantees: what is returned has exactly the dimensions asked for; anything else is refused with the byte where the
 * file goes wrong. Reads plain and gzipped files. Only unsigned bytes (type 0x08), the only type these sets use.
 *
 * Does not decide which file belongs to which data set.
 */
import { checkLabels, checkLength, fileFault } from "./fault.js";
import { readContents } from "./plain.js";

const UNSIGNED_BYTE = 0x08;
const TYPES: Readonly<Record<number, string>> = {
  8: "unsigned bytes",
  9: "signed bytes",
  11: "16-bit numbers",
  12: "32-bit numbers",
  13: "floats",
  14: "doubles",
};

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, "0")}`;

function describeMagic(magic: number): string {
  const type = TYPES[(magic >> 8) & 0xff];
  const dims = magic & 0xff;
  return magic >>> 16 === 0 && type !== undefined && dims > 0
    ? `${hex(magic, 8)} (${type}, ${dims} dimension${dims === 1 ? "" : "s"})`
    : `${hex(magic >>> 0, 8)} (not an IDX file)`;
}

/**
 * The values of an IDX file whose bytes are `bytes`, a view of them. `dims` are the dimensions it must have; `size` is
 * the file's length where `bytes` holds only its beginning.
 */
export function parseIdx(bytes: Uint8Array, file: string, dims: readonly number[], size = bytes.length): Uint8Array {
  const header = 4 + 4 * dims.length;
  const wanted = (UNSIGNED_BYTE << 8) | dims.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < 4; i++) {
    const byte = (wanted >>> (24 - 8 * i)) & 0xff;
    if (i >= bytes.length) throw fileFault(file, i, `the magic number ${describeMagic(wanted)}`, "the end of the file");
    if (bytes[i] !== byte) {
      const found = bytes.length < 4 ? hex(bytes[i] ?? 0, 2) : describeMagic(view.getUint32(0));
      throw fileFault(file, i, `the magic number ${describeMagic(wanted)}`, found);
    }
  }
  let count = 1;
  dims.forEach((dim, i) => {
    const at = 4 + 4 * i;
    const name = i === 0 ? `${dim} entries` : `dimension ${i + 1} to be ${dim}`;
    if (bytes.length < at + 4) throw fileFault(file, bytes.length, name, "the end of the file");
    const found = view.getUint32(at);
    if (found !== dim) throw fileFault(file, at, name, String(found));
    count *= dim;
  });
  checkLength(file, size, header + count);
  return bytes.subarray(header);
}

/** Images of a file: `count` of them, rows x columns bytes each, one after another. */
export async function readIdxImages(file: string, count: number, rows: number, columns: number): Promise<Uint8Array> {
  const { bytes, called, size } = await readContents(file, 16 + count * rows * columns);
  return parseIdx(bytes, called, [count, rows, columns], size);
}

/** Labels of a file: `count` of them, each below `classes`. */
export async function readIdxLabels(file: string, count: number, classes: number): Promise<Uint8Array> {
  const { bytes, called, size } = await readContents(file, 8 + count);
  const labels = parseIdx(bytes, called, [count], size);
  checkLabels(called, labels, classes, 8, 1);
  return labels;
}
