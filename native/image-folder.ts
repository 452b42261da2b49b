/**
 * A folder of images by class: a subfolder a class, PNG and JPEG files in it.
 *
 * Guarantees: classes stand in the order of their names' code points, files within them too, so every machine with the same
 * files finds the same images and the same digest; what is wrong is a RangeError that names the file. Files and folders whose
 * names begin with a dot are passed over. Grey images among coloured ones become coloured. With a size every image is brought to
 * it as `fitPicture` says; without one all images must have the same.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodePicture, fitPicture, type Picture } from "./picture-file.js";
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

/** Rows and columns. */
export type Size = readonly [number, number];

interface Planes {
  readonly file: string;
  readonly size: Size;
  readonly channels: 1 | 3;
  /** [channel][row][column] */
  readonly values: Uint8Array;
}

const MAX_CLASSES = 256;
/** Of all pixels together. */
const MAX_BYTES = 1024 ** 3;

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const unexpected = (file: string, expected: string, found: string): RangeError =>
  new RangeError(`${file}: expected ${expected}, found ${found}`);

const entries = (path: string) => readdirSync(path, { withFileTypes: true }).filter(({ name }) => name[0] !== ".");

/** `wanted`: the size of all images, or `null` for the one that they have. Throws RangeError, or what the file system throws. */
export function readImageFolder(folder: string, wanted: Size | null): ImageFolder {
  const classNames = entries(folder)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort(byName);
  if (classNames.length < 2 || classNames.length > MAX_CLASSES) {
    throw unexpected(folder, `2 to ${MAX_CLASSES} subfolders, one a class`, String(classNames.length));
  }
  return readClasses(folder, { size: wanted, like: null, classNames }, classNames);
}

/**
 * A folder of test images beside the one that is trained on, `like`, whose classes, channels and size it has; not every class
 * must have a subfolder. Throws as readImageFolder does.
 */
export function readTestFolder(folder: string, wanted: Size | null, like: TrainingFolder): ImageFolder {
  const names = entries(folder).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  const stranger = names.sort(byName).find((name) => !like.classNames.includes(name));
  if (stranger !== undefined) {
    throw unexpected(folder, `subfolders called as the classes trained on (${like.classNames.join(", ")})`, stranger);
  }
  if (names.length === 0) throw unexpected(folder, "at least one subfolder, one a class", "none");
  return readClasses(folder, { size: wanted, like, classNames: like.classNames }, names);
}

/** What of the training images' folder the test images must have. */
export type TrainingFolder = Pick<ImageFolder, "classNames" | "shape">;

interface Wish {
  /** Of all images; `null` for the one that they have. */
  readonly size: Size | null;
  readonly classNames: readonly string[];
  /** Whose channels and, without a size, whose size the images must have; `null`: any. */
  readonly like: TrainingFolder | null;
}

/** `names`: the subfolders to read. */
function readClasses(folder: string, { size, classNames, like }: Wish, names: readonly string[]): ImageFolder {
  const hash = createHash("sha256");
  const read: Planes[] = [];
  const labels: number[] = [];
  let bytes = 0;
  for (const name of names) {
    const files = entries(join(folder, name)).map((entry) => entry.name);
    if (files.length === 0) throw unexpected(join(folder, name), "at least one PNG or JPEG file", "none");
    for (const fileName of files.sort(byName)) {
      const file = join(folder, name, fileName);
      if (!/\.(png|jpe?g)$/i.test(fileName)) {
        throw unexpected(file, "a PNG or JPEG file (.png, .jpg, .jpeg)", "another kind of file");
      }
      const content = readFileSync(file);
      hash.update(`${name}/${fileName}\0${createHash("sha256").update(content).digest("hex")}\n`);
      const image = planesOf(file, content, size);
      const first =
        like === null ? (read[0] ?? image) : { file: "each that is trained on", size: [like.shape[1], like.shape[2]] };
      if (image.size.join() !== first.size.join()) {
        const text = ([rows, columns]: readonly number[]): string => `${columns}x${rows} pixels`;
        throw unexpected(file, `${text(first.size)} as ${first.file} has (or say a size)`, text(image.size));
      }
      if (like?.shape[0] === 1 && image.channels === 3) throw unexpected(file, "a grey image as all are", "colours");
      bytes += 3 * image.size[0] * image.size[1];
      if (bytes > MAX_BYTES) throw unexpected(folder, `at most ${MAX_BYTES} bytes of pixels`, "more");
      read.push(image);
      labels.push(classNames.indexOf(name));
    }
  }
  const [rows, columns] = read[0]?.size ?? [0, 0];
  const channels = like?.shape[0] ?? (read.some((image) => image.channels === 3) ? 3 : 1);
  const plane = rows * columns;
  const images = new Uint8Array(read.length * channels * plane);
  for (const [i, image] of read.entries()) {
    for (let c = 0; c < channels; c++) {
      const from = image.channels === 3 ? c * plane : 0;
      images.set(image.values.subarray(from, from + plane), (i * channels + c) * plane);
    }
  }
  return {
    sha256: hash.digest("hex"),
    classNames,
    shape: [channels, rows, columns],
    images,
    labels: Uint8Array.from(labels),
  };
}

function planesOf(file: string, content: Uint8Array, wanted: Size | null): Planes {
  let picture: Picture;
  try {
    picture = decodePicture(content);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new RangeError(`${file}: ${cause.message}`);
  }
  const { channels } = picture;
  const size = wanted ?? ([picture.height, picture.width] as const);
  return { file, size, channels, values: fitPicture(picture, [channels, ...size]) };
}
