/**
 * A folder of images by class: a subfolder a class, PNG files in it.
 *
 * Guarantees: classes stand in the order of their names' code points, files within them too, so every machine with the same
 * files finds the same images and the same digest; what is wrong is a RangeError that names the file. Files and folders whose
 * names begin with a dot are passed over. Grey images among coloured ones become coloured; transparency is left out; of 16
 * bits the upper 8 are taken. Does not resize: all images have one size.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { convertIndexedToRgb, decode } from "fast-png";
import type { DatasetSpec } from "./recipe.js";

export interface ImageFolder {
  /** SHA-256, in hex, over the relative name and the SHA-256 of each file. */
  readonly sha256: string;
  readonly classNames: readonly string[];
  readonly shape: DatasetSpec["shape"];
  /** [image][channel][row][column] */
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

interface Decoded {
  readonly file: string;
  readonly width: number;
  readonly height: number;
  /** Bytes a pixel in `data`, of which the first 1 or 3 are its colour. */
  readonly stride: number;
  readonly coloured: boolean;
  readonly data: ArrayLike<number>;
  /** What a value is divided by. */
  readonly unit: number;
}

const MAX_CLASSES = 256;
/** Of all pixels together. */
const MAX_BYTES = 1024 ** 3;

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const unexpected = (file: string, expected: string, found: string): RangeError =>
  new RangeError(`${file}: expected ${expected}, found ${found}`);

/** Throws RangeError, or what the file system throws. */
export function readImageFolder(folder: string): ImageFolder {
  const entries = (path: string) => readdirSync(path, { withFileTypes: true }).filter(({ name }) => name[0] !== ".");
  const classNames = entries(folder)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort(byName);
  if (classNames.length < 2 || classNames.length > MAX_CLASSES) {
    throw unexpected(folder, `2 to ${MAX_CLASSES} subfolders, one a class`, String(classNames.length));
  }
  const hash = createHash("sha256");
  const decoded: Decoded[] = [];
  const labels: number[] = [];
  let bytes = 0;
  for (const [label, name] of classNames.entries()) {
    const files = entries(join(folder, name)).map((entry) => entry.name);
    if (files.length === 0) throw unexpected(join(folder, name), "at least one PNG file", "none");
    for (const fileName of files.sort(byName)) {
      const file = join(folder, name, fileName);
      if (!/\.png$/i.test(fileName)) throw unexpected(file, "a PNG file (.png)", "another kind of file");
      const content = readFileSync(file);
      hash.update(`${name}/${fileName}\0${createHash("sha256").update(content).digest("hex")}\n`);
      const image = decodePng(file, content);
      const first = decoded[0] ?? image;
      if (image.width !== first.width || image.height !== first.height) {
        const size = ({ width, height }: Decoded): string => `${width}x${height} pixels`;
        throw unexpected(file, `${size(first)} as ${first.file} has`, size(image));
      }
      bytes += 3 * image.width * image.height;
      if (bytes > MAX_BYTES) throw unexpected(folder, `at most ${MAX_BYTES} bytes of pixels`, "more");
      decoded.push(image);
      labels.push(label);
    }
  }
  const { width = 0, height = 0 } = decoded[0] ?? {};
  const channels = decoded.some(({ coloured }) => coloured) ? 3 : 1;
  const images = new Uint8Array(decoded.length * channels * width * height);
  for (const [i, image] of decoded.entries()) writePlanes(image, channels, images, i * channels * width * height);
  return {
    sha256: hash.digest("hex"),
    classNames,
    shape: [channels, height, width],
    images,
    labels: Uint8Array.from(labels),
  };
}

function decodePng(file: string, content: Uint8Array): Decoded {
  let png: ReturnType<typeof decode>;
  try {
    png = decode(content, { checkCrc: true });
  } catch (cause) {
    throw unexpected(file, "a whole PNG file", (cause as Error).message);
  }
  const { width, height, depth } = png;
  if (png.palette !== undefined) {
    const stride = png.palette[0]?.length ?? 3;
    return { file, width, height, stride, coloured: true, data: convertIndexedToRgb(png), unit: 1 };
  }
  if (depth < 8) throw unexpected(file, "8 or 16 bits a channel", String(depth));
  const coloured = png.channels >= 3;
  return { file, width, height, stride: png.channels, coloured, data: png.data, unit: depth === 16 ? 256 : 1 };
}

function writePlanes(
  { width, height, stride, coloured, data, unit }: Decoded,
  channels: number,
  to: Uint8Array,
  at: number,
) {
  const plane = width * height;
  for (let c = 0; c < channels; c++) {
    const from = coloured ? c : 0;
    for (let pixel = 0; pixel < plane; pixel++) {
      to[at + c * plane + pixel] = Math.floor((data[pixel * stride + from] ?? 0) / unit);
    }
  }
}
