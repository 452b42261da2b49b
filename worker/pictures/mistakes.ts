/**
 * Images that a network takes for something else, as a picture: rows are the predicted class, columns the actual one.
 *
 * Guarantees: the first such image of each pair of classes, none on the diagonal; `null` where there are too many classes for
 * anybody to look at, or the images are not grey or in colour.
 */
import { encodePng } from "./png.js";
import { drawGrid } from "./raster.js";

const MOST_CLASSES = 32;
/** Images are brought to about so many pixels a side. */
const SIDE = 40;

/** `images`: bytes, plane by plane, as published; `predicted` and `actual`: a class for each. */
export function drawMistakes(
  images: Uint8Array,
  shape: readonly [number, number, number],
  predicted: Uint8Array,
  actual: Uint8Array,
  classes: number,
): Uint8Array | null {
  const [channels, rows, columns] = shape;
  if (classes > MOST_CLASSES || (channels !== 1 && channels !== 3)) return null;
  const size = channels * rows * columns;
  // What is not a number is drawn black.
  const values = new Float32Array(classes * classes * size).fill(Number.NaN);
  const taken = new Set<number>();
  for (const [image, row] of predicted.entries()) {
    const column = actual[image] ?? 0;
    const cell = row * classes + column;
    if (row === column || taken.has(cell)) continue;
    taken.add(cell);
    values.set(images.subarray(image * size, (image + 1) * size), cell * size);
  }
  const scale = Math.max(1, Math.round(SIDE / Math.max(rows, columns)));
  return encodePng(drawGrid({ shape, values }, { columns: classes, range: [0, 255], scale }));
}
