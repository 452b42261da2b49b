/** Grids of images and their files, read back by a decoder that this project did not write. */
import { decode, decodeApng } from "fast-png";
import { describe, expect, it } from "vitest";
import { animate } from "../../worker/pictures/apng.js";
import { chunksOf, encodePng, fileOf } from "../../worker/pictures/png.js";
import { drawGrid, type Raster } from "../../worker/pictures/raster.js";

const grey = (values: readonly number[], rows: number, columns: number) => ({
  shape: [1, rows, columns] as const,
  values: Float32Array.from(values),
});

describe("a grid", () => {
  it("puts images in rows with a margin, black at the low end and white at the high one", () => {
    // Three images of 1 x 2 in two columns: width 2 * (2 + 1) + 1 = 7, height 2 * (1 + 1) + 1 = 5.
    const { width, height, channels, data } = drawGrid(grey([-1, 1, 0, -2, 2, Number.NaN], 1, 2), {
      columns: 2,
      range: [-1, 1],
      gap: 1,
    });
    expect([width, height, channels]).toEqual([7, 5, 1]);
    const row = (y: number) => [...data.subarray(y * 7, y * 7 + 7)];
    expect(row(0)).toEqual([64, 64, 64, 64, 64, 64, 64]);
    expect(row(1)).toEqual([64, 0, 255, 64, 128, 0, 64]);
    expect(row(3)).toEqual([64, 255, 0, 64, 64, 64, 64]);
  });

  it("interleaves three planes and makes pixels larger", () => {
    const values = Float32Array.from([0, 1, 0.5, 0.5, 1, 0]);
    const raster = drawGrid({ shape: [3, 1, 2], values }, { columns: 1, range: [0, 1], gap: 0, scale: 2 });
    expect([raster.width, raster.height]).toEqual([4, 2]);
    const line = [0, 128, 255, 0, 128, 255, 255, 128, 0, 255, 128, 0];
    expect([...raster.data]).toEqual([...line, ...line]);
  });

  it("refuses two channels", () => {
    const two = { shape: [2, 1, 1] as const, values: new Float32Array(2) };
    expect(() => drawGrid(two, { columns: 1, range: [0, 1] })).toThrow(
      expect.objectContaining({ code: "BAD_INPUT", found: "2" }),
    );
  });
});

const raster = (seed: number, channels: 1 | 3 = 1): Raster => ({
  width: 23,
  height: 9,
  channels,
  data: Uint8Array.from({ length: 23 * 9 * channels }, (_, i) => (i * 7 + seed * 31 + (i >> 3)) % 256),
});

describe("a PNG file", () => {
  it.each([1, 3] as const)("of %d channels holds the pixels", (channels) => {
    const picture = raster(1, channels);
    const found = decode(encodePng(picture), { checkCrc: true });
    expect(found).toMatchObject({ width: 23, height: 9, channels, depth: 8 });
    expect([...found.data]).toEqual([...picture.data]);
  });

  it("is the same bytes each time, and its chunks put together are the file", () => {
    const file = encodePng(raster(2));
    expect(Buffer.compare(file, encodePng(raster(2)))).toBe(0);
    expect(Buffer.compare(fileOf(chunksOf(file)), file)).toBe(0);
  });

  it("cut short, or of another kind, is refused", () => {
    const file = encodePng(raster(3));
    for (const wrong of [file.subarray(0, -1), file.subarray(0, 20), Buffer.from("GIF89a"), new Uint8Array(0)]) {
      expect(() => chunksOf(wrong)).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    }
  });
});

describe("an animated PNG", () => {
  it("holds every frame and how long it stays", () => {
    const pictures = [raster(1, 3), raster(2, 3), raster(3, 3)];
    const file = animate(pictures.map(encodePng), { frameMillis: 250, lastMillis: 2_000 });
    const found = decodeApng(file, { checkCrc: true });
    expect(found.numberOfFrames).toBe(3);
    expect(found.numberOfPlays).toBe(0);
    expect(found.frames.map((frame) => frame.delayNumber / frame.delayDenominator)).toEqual([0.25, 0.25, 2]);
    for (const [i, { data }] of found.frames.entries()) expect([...data]).toEqual([...(pictures[i]?.data ?? [])]);
    // A program that knows no animation.
    expect([...decode(file).data]).toEqual([...(pictures[0]?.data ?? [])]);
  });

  it("of no frames, or of frames that differ in size, is refused", () => {
    const options = { frameMillis: 100, lastMillis: 100 };
    expect(() => animate([], options)).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
    const small = encodePng({ width: 1, height: 1, channels: 1, data: new Uint8Array(1) });
    expect(() => animate([encodePng(raster(1)), small], options)).toThrow("frame 1");
  });
});
