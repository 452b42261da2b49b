/**
 * PNG and JPEG files as bytes, and in a network's size.
 *
 * Guarantees: the same file gives the same bytes on every machine (no vector instructions, no colour profiles; what EXIF says of
 * a picture's turn is passed over); what is no whole picture, or one of more than 100 million pixels, is a RangeError that says
 * what was expected, without the file's name. Transparency is left out; of 16 bits the upper 8 are taken.
 * Not here: reading files.
 */
import { convertIndexedToRgb, decode as decodePng } from "fast-png";
import jpeg from "jpeg-js";
import type { DatasetSpec } from "./recipe.js";

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** [row][column][channel] */
  readonly data: Uint8Array;
}

const MAX_PIXELS = 100e6;
/** What the JPEG decoder may use, in MiB; a baseline picture of the most pixels needs about half of it. */
const MAX_JPEG_MEMORY = 2_048;

const unexpected = (expected: string, found: string): RangeError =>
  new RangeError(`expected ${expected}, found ${found}`);

/** Told by the first bytes, whatever the file is called. Throws RangeError. */
export function decodePicture(file: Uint8Array): Picture {
  if (file[0] === 0x89 && file[1] === 0x50) return fromPng(file);
  if (file[0] === 0xff && file[1] === 0xd8) return fromJpeg(file);
  throw unexpected("a PNG or JPEG file", file.length === 0 ? "an empty file" : "other bytes at the start");
}

function checkPixels(width: number, height: number): void {
  if (width * height > MAX_PIXELS) throw unexpected(`at most ${MAX_PIXELS} pixels`, `${width}x${height}`);
}

function fromPng(file: Uint8Array): Picture {
  if (file.length >= 24) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    checkPixels(view.getUint32(16), view.getUint32(20));
  }
  let png: ReturnType<typeof decodePng>;
  let values: ArrayLike<number>;
  try {
    png = decodePng(file, { checkCrc: true });
    // A palette may have fewer colours than the picture asks for.
    values = png.palette === undefined ? png.data : convertIndexedToRgb(png);
  } catch (cause) {
    throw unexpected("a whole PNG file", (cause as Error).message);
  }
  const { width, height, depth } = png;
  if (png.palette === undefined && depth < 8) throw unexpected("8 or 16 bits a channel", String(depth));
  const stride = png.palette === undefined ? png.channels : (png.palette[0]?.length ?? 3);
  const channels = stride >= 3 ? 3 : 1;
  const shift = png.palette === undefined && depth === 16 ? 8 : 0;
  const data = new Uint8Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < channels; c++) data[pixel * channels + c] = (values[pixel * stride + c] ?? 0) >> shift;
  }
  return { width, height, channels, data };
}

function fromJpeg(file: Uint8Array): Picture {
  const frame = jpegFrame(file);
  checkPixels(frame.width, frame.height);
  if (frame.components !== 1 && frame.components !== 3) {
    throw unexpected("a grey or coloured JPEG file", `${frame.components} colour components`);
  }
  let decoded: { readonly width: number; readonly height: number; readonly data: Uint8Array };
  try {
    decoded = jpeg.decode(file, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: MAX_PIXELS / 1e6,
      maxMemoryUsageInMB: MAX_JPEG_MEMORY,
    });
  } catch (cause) {
    throw unexpected("a whole JPEG file", (cause as Error).message);
  }
  const { width, height, data } = decoded;
  const { components: channels } = frame;
  const grey = channels === 1 ? Uint8Array.from({ length: width * height }, (_, i) => data[3 * i] ?? 0) : data;
  return { width, height, channels, data: grey };
}

/** Size and colour components, from the file's frame header. */
function jpegFrame(file: Uint8Array): { readonly width: number; readonly height: number; readonly components: number } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 2; at + 10 <= file.length; ) {
    if (view.getUint8(at) !== 0xff) break;
    const marker = view.getUint8(at + 1);
    // 0xff may be repeated in front of a marker; C4, C8 and CC are no frames.
    if (marker === 0xff) at += 1;
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: view.getUint8(at + 9) };
    } else at += 2 + view.getUint16(at + 2);
  }
  throw unexpected("a whole JPEG file", "no frame header");
}

/**
 * The middle of a picture in a network's size: [channel][row][column]. As much of the middle as has the network's
 * proportions is taken; each new pixel is the mean of the area that it covers. Grey from colours is 0.299 red + 0.587 green +
 * 0.114 blue; colours from grey are all that grey. Throws RangeError for other than 1 or 3 channels.
 */
export function fitPicture(picture: Picture, [channels, rows, columns]: DatasetSpec["shape"]): Uint8Array {
  if (channels !== 1 && channels !== 3) throw unexpected("a network of 1 or 3 channels", String(channels));
  if (picture.channels === channels && picture.height === rows && picture.width === columns) return planesOf(picture);
  const scale = Math.min(picture.width / columns, picture.height / rows);
  const across = spans(columns, (picture.width - columns * scale) / 2, scale, picture.width);
  const down = spans(rows, (picture.height - rows * scale) / 2, scale, picture.height);
  const plane = rows * columns;
  const fitted = new Uint8Array(channels * plane);
  const mean = [0, 0, 0];
  for (const [row, vertical] of down.entries()) {
    for (const [column, horizontal] of across.entries()) {
      for (let c = 0; c < picture.channels; c++) mean[c] = meanOf(picture, c, vertical, horizontal);
      const [red = 0, green = 0, blue = 0] = mean;
      const grey = picture.channels === 1 ? red : 0.299 * red + 0.587 * green + 0.114 * blue;
      const at = row * columns + column;
      for (let c = 0; c < channels; c++) {
        fitted[c * plane + at] = Math.round(channels === 1 || picture.channels === 1 ? grey : (mean[c] ?? 0));
      }
    }
  }
  return fitted;
}

function planesOf({ width, height, channels, data }: Picture): Uint8Array {
  const plane = width * height;
  const planes = new Uint8Array(data.length);
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let c = 0; c < channels; c++) planes[c * plane + pixel] = data[pixel * channels + c] ?? 0;
  }
  return planes;
}

/** Pixels of a line with the share of each that a new one covers. */
type Span = readonly { readonly pixel: number; readonly share: number }[];

function spans(count: number, from: number, scale: number, size: number): Span[] {
  return Array.from({ length: count }, (_, i) => {
    const start = from + i * scale;
    const end = start + scale;
    const parts: { pixel: number; share: number }[] = [];
    for (let pixel = Math.max(0, Math.floor(start)); pixel < Math.min(size, Math.ceil(end)); pixel++) {
      const share = Math.min(end, pixel + 1) - Math.max(start, pixel);
      if (share > 0) parts.push({ pixel, share });
    }
    return parts;
  });
}

function meanOf({ width, channels, data }: Picture, c: number, down: Span, across: Span): number {
  let sum = 0;
  let weight = 0;
  for (const { pixel: row, share: high } of down) {
    for (const { pixel: column, share: wide } of across) {
      sum += high * wide * (data[(row * width + column) * channels + c] ?? 0);
      weight += high * wide;
    }
  }
  return sum / weight;
}
