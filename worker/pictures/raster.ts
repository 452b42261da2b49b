/**
 * Small images laid out as one picture. Pure.
 *
 * Guarantees: values beyond the range are clamped, what is not a number is black; images stand in rows, from the left,
 * with a margin of `gap` pixels around each. Not here: files (png.ts, apng.ts), what the images are.
 */
import { ConvsweepError } from "../../proto/contract.js";

/** Rows of pixels, `channels` bytes each: grey, or red, green and blue. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Images of one size, one after another, each plane by plane as the engine has them. */
export interface Images {
  readonly shape: readonly [channels: number, rows: number, columns: number];
  readonly values: Float32Array;
}

export interface GridOptions {
  readonly columns: number;
  /** The values that become black and white. */
  readonly range: readonly [low: number, high: number];
  readonly gap?: number;
  /** Each pixel becomes a square of so many. */
  readonly scale?: number;
}

/** Throws BAD_INPUT for images of other than one or three channels. */
export function drawGrid({ shape, values }: Images, options: GridOptions): Raster {
  const [channels, rows, columns] = shape;
  if (channels !== 1 && channels !== 3) {
    throw new ConvsweepError("BAD_INPUT", `images of ${channels} channels cannot be drawn`, {
      expected: "1 or 3 channels",
      found: String(channels),
    });
  }
  const { gap = 2, scale = 1, columns: across, range } = options;
  const size = channels * rows * columns;
  const count = Math.floor(values.length / size);
  const down = Math.ceil(count / across);
  const cell = { width: columns * scale + gap, height: rows * scale + gap };
  const width = across * cell.width + gap;
  const height = down * cell.height + gap;
  const data = new Uint8Array(width * height * channels).fill(BACKGROUND);
  for (let image = 0; image < count; image += 1) {
    const left = gap + (image % across) * cell.width;
    const top = gap + Math.floor(image / across) * cell.height;
    for (let y = 0; y < rows * scale; y += 1) {
      for (let x = 0; x < columns * scale; x += 1) {
        const pixel = Math.floor(y / scale) * columns + Math.floor(x / scale);
        for (let c = 0; c < channels; c += 1) {
          const value = values[image * size + c * rows * columns + pixel] ?? 0;
          data[((top + y) * width + left + x) * channels + c] = byteOf(value, range);
        }
      }
    }
  }
  return { width, height, channels, data };
}

const BACKGROUND = 64;

function byteOf(value: number, [low, high]: readonly [number, number]): number {
  const share = (value - low) / (high - low);
  return Number.isNaN(share) ? 0 : Math.round(255 * Math.min(1, Math.max(0, share)));
}
