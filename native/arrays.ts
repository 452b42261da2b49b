/**
 * Images and labels of people's own in array files: NumPy's `.npy` (versions 1 to 3) and IDX, told apart by their first bytes.
 *
 * Guarantees: what is returned is complete and checked; anything else is a RangeError that says what was expected and what was
 * found, without the file's name. Images come out plane by plane, whichever way they lay. Only unsigned bytes are images.
 * Formats: numpy.lib.format, http://yann.lecun.com/exdb/mnist/. Not here: reading files.
 */
import type { DatasetSpec } from "./recipe.js";

export interface ImageArray {
  readonly shape: DatasetSpec["shape"];
  readonly count: number;
  /** [image][channel][row][column] */
  readonly values: Uint8Array;
}

interface Values {
  /** As NumPy writes it, without the byte order: `u1`, `i8`. */
  readonly type: string;
  readonly littleEndian: boolean;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

/** More would not fit the bytes that the engine keeps labels in. */
const MAX_CLASSES = 256;
const MAX_SIDE = 4_096;
const IDX_TYPES: Readonly<Record<number, string>> = { 8: "u1", 9: "i1", 11: "i2", 12: "i4", 13: "f4", 14: "f8" };

const unexpected = (expected: string, found: string): RangeError =>
  new RangeError(`expected ${expected}, found ${found}`);

/**
 * [count][rows][columns] are grey images; [count][rows][columns][1 or 3] or [count][1 or 3][rows][columns] have channels. Where
 * both could be meant the channels are last.
 */
export function parseImages(file: Uint8Array): ImageArray {
  const { type, dims, bytes } = valuesOf(file);
  if (type !== "u1") throw unexpected("unsigned bytes (uint8), 0 to 255", `the type ${type}`);
  const [count = 0, a = 0, b = 0, c = 0] = dims;
  const last = dims.length === 4 && (c === 1 || c === 3);
  if (dims.length !== 3 && !last && !(dims.length === 4 && (a === 1 || a === 3))) {
    throw unexpected(
      "[images, rows, columns], [images, rows, columns, 1 or 3] or [images, 1 or 3, rows, columns]",
      `[${dims.join(", ")}]`,
    );
  }
  const shape: DatasetSpec["shape"] = dims.length === 3 ? [1, a, b] : last ? [c, a, b] : [a, b, c];
  if (count < 1 || shape.some((size) => size < 1 || size > MAX_SIDE)) {
    throw unexpected(`at least one image, and sides of 1 to ${MAX_SIDE}`, `[${dims.join(", ")}]`);
  }
  return { shape, count, values: last && c > 1 ? planesFirst(bytes, count, a * b, c) : bytes };
}

function planesFirst(bytes: Uint8Array, count: number, plane: number, channels: number): Uint8Array {
  const values = new Uint8Array(bytes.length);
  for (let image = 0; image < count; image++) {
    const at = image * plane * channels;
    for (let pixel = 0; pixel < plane; pixel++) {
      for (let c = 0; c < channels; c++) values[at + c * plane + pixel] = bytes[at + pixel * channels + c] ?? 0;
    }
  }
  return values;
}

/** One label an image: whole numbers of any width, [count] or [count][1], each from 0 to 255. */
export function parseLabels(file: Uint8Array): Uint8Array {
  const { type, littleEndian, dims, bytes } = valuesOf(file);
  const read = READERS[type];
  if (read === undefined) throw unexpected("whole numbers", `the type ${type}`);
  const [count = 0, one = 1] = dims;
  if (dims.length < 1 || dims.length > 2 || one !== 1) throw unexpected("[labels]", `[${dims.join(", ")}]`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = widthOf(type);
  return Uint8Array.from({ length: count }, (_, i) => {
    const label = read(view, i * width, littleEndian);
    if (!(label >= 0 && label < MAX_CLASSES))
      throw unexpected(`a label from 0 to ${MAX_CLASSES - 1}`, `${label} at ${i}`);
    return label;
  });
}

const READERS: Readonly<Record<string, (view: DataView, at: number, little: boolean) => number>> = {
  u1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  i2: (view, at, little) => view.getInt16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
};

const widthOf = (type: string): number => Number(type.slice(1));

function valuesOf(file: Uint8Array): Values {
  const npy = file[0] === 0x93 && Buffer.from(file.subarray(1, 6)).toString("latin1") === "NUMPY";
  const values = npy ? readNpy(file) : readIdx(file);
  const wanted = values.dims.reduce((product, size) => product * size, widthOf(values.type));
  if (values.bytes.length !== wanted) {
    throw unexpected(`${wanted} bytes of values for [${values.dims.join(", ")}]`, `${values.bytes.length}`);
  }
  return values;
}

function readNpy(file: Uint8Array): Values {
  const long = (file[6] ?? 0) > 1;
  const start = long ? 12 : 10;
  if (file.length < start) throw unexpected("a header", "the end of the file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const end = start + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  if (file.length < end) throw unexpected(`a header of ${end} bytes`, `the end of the file after ${file.length}`);
  const header = Buffer.from(file.subarray(start, end)).toString("latin1");
  const descr = /'descr': *'([<>|=])([a-zA-Z][0-9]+)'/.exec(header);
  const order = /'fortran_order': *(True|False)/.exec(header);
  const shape = /'shape': *\(([0-9, ]*)\)/.exec(header);
  if (descr === null || order === null || shape === null) {
    throw unexpected("a plain array's type, order and shape in the header", header.trim().slice(0, 80));
  }
  if (order[1] === "True") throw unexpected("an array in C order (numpy.ascontiguousarray)", "Fortran order");
  const dims = (shape[1] ?? "").split(",").filter((part) => part.trim() !== "");
  return {
    type: descr[2] ?? "",
    littleEndian: descr[1] !== ">",
    dims: dims.map(Number),
    bytes: file.subarray(end),
  };
}

function readIdx(file: Uint8Array): Values {
  const type = IDX_TYPES[file[2] ?? 0];
  const count = file[3] ?? 0;
  const start = 4 + 4 * count;
  if (file[0] !== 0 || file[1] !== 0 || type === undefined || count < 1) {
    throw unexpected("an array file (.npy or IDX)", "other bytes at the start");
  }
  if (file.length < start) throw unexpected(`${count} dimensions`, "the end of the file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const dims = Array.from({ length: count }, (_, i) => view.getUint32(4 + 4 * i));
  return { type, littleEndian: false, dims, bytes: file.subarray(start) };
}

/**
 * The order in which images of one's own are taken, so that the end of it, which is held out, is no class by itself: a
 * Fisher-Yates shuffle by mulberry32, seeded with the first 32 bits of a digest in hex. The same on every machine.
 */
export function orderOf(count: number, digest: string): Uint32Array {
  let state = Number.parseInt(digest.slice(0, 8), 16);
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}
