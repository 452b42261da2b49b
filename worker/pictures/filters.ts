/**
 * The filters of a network's first layer as a picture.
 *
 * Guarantees: a filter each, in order, in rows as nearly square as can be; black is minus the largest weight of all, grey 0,
 * white the largest. Filters over three channels are in colour. `null` where the first layer is no convolution of one or three
 * channels.
 */
import type { LaneWeights } from "../engine.js";
import { encodePng } from "./png.js";
import { drawGrid } from "./raster.js";

/** Of a weight, in pixels. */
const SCALE = 8;

export function drawFilters({ tensors, data }: LaneWeights): Uint8Array | null {
  const [first] = tensors;
  const [filters = 0, channels = 0, rows = 0, columns = 0] = first?.shape ?? [];
  if (first === undefined || !first.name.endsWith(".conv2d.weight") || (channels !== 1 && channels !== 3)) return null;
  const values = data.subarray(0, filters * channels * rows * columns);
  const most = values.reduce((found, value) => Math.max(found, Math.abs(value)), 0) || 1;
  const grid = { columns: Math.ceil(Math.sqrt(filters)), range: [-most, most], scale: SCALE } as const;
  return encodePng(drawGrid({ shape: [channels, rows, columns], values }, grid));
}
