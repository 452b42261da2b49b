/** Picture files: the pixels that Pillow reads, what is refused, and the rule by which they come to a network's size. */
import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodePicture, fitPicture, type Picture } from "../../native/picture-file.js";
import { fileOf } from "../../worker/pictures/png.js";

const folder = new URL("../golden/pictures/", import.meta.url);
const file = (name: string): Uint8Array => readFileSync(new URL(name, folder));
const pillow = JSON.parse(readFileSync(new URL("pillow.json", folder), "utf8")) as Record<string, number[]>;

describe("a picture file", () => {
  it.each([
    ["colour.png", 3, 0],
    ["grey.png", 1, 0],
    ["grey16.png", 1, 0],
    ["palette.png", 3, 0],
    ["alpha.png", 3, 0],
    // Decoders may round the inverse transform and the change of colours differently.
    ["baseline.jpg", 3, 3],
    ["progressive.jpg", 3, 3],
    ["grey.jpg", 1, 2],
  ])("%s has the pixels that Pillow reads", (name, channels, apart) => {
    const picture = decodePicture(file(name));
    const expected = pillow[name] ?? [];
    expect([picture.width, picture.height, picture.channels]).toEqual([27, 19, channels]);
    expect(picture.data.length).toBe(expected.length);
    expect(Math.max(...expected.map((value, i) => Math.abs(value - (picture.data[i] ?? 0))))).toBeLessThanOrEqual(
      apart,
    );
  });

  it("with halved colours is near what Pillow reads, which smooths them", () => {
    const { data } = decodePicture(file("subsampled.jpg"));
    const expected = pillow["subsampled.jpg"] ?? [];
    const apart = expected.reduce((sum, value, i) => sum + Math.abs(value - (data[i] ?? 0)), 0) / expected.length;
    expect(data.length).toBe(expected.length);
    expect(apart).toBeLessThan(8);
  });

  it("that is none, is cut short or is printed in four colours is refused", () => {
    expect(() => decodePicture(new Uint8Array(0))).toThrow("expected a PNG or JPEG file, found an empty file");
    expect(() => decodePicture(new TextEncoder().encode("<html>"))).toThrow("other bytes at the start");
    expect(() => decodePicture(file("cmyk.jpg"))).toThrow("4 colour components");
    for (const name of ["baseline.jpg", "progressive.jpg", "colour.png"]) {
      const whole = file(name);
      for (const share of [0.05, 0.5, 0.9]) {
        expect(() => decodePicture(whole.subarray(0, Math.floor(whole.length * share)))).toThrow(
          /whole (PNG|JPEG) file/,
        );
      }
    }
    const huge = Uint8Array.from(file("colour.png"));
    new DataView(huge.buffer).setUint32(16, 200_000);
    new DataView(huge.buffer).setUint32(20, 200_000);
    expect(() => decodePicture(huge)).toThrow("at most 100000000 pixels, found 200000x200000");
  });

  it("with a palette of fewer colours than it asks for is refused", () => {
    // One pixel, of colour 5 of a palette of one.
    const chunks = [
      { type: "IHDR", data: Buffer.from("0000000100000001" + "0803000000", "hex") },
      { type: "PLTE", data: Buffer.from([255, 0, 0]) },
      { type: "IDAT", data: deflateSync(Buffer.from([0, 5])) },
      { type: "IEND", data: new Uint8Array(0) },
    ];
    expect(() => decodePicture(fileOf(chunks))).toThrowError(
      new RangeError("expected a whole PNG file, found Incorrect index of palette color"),
    );
  });

  it("never ends in another fault than a RangeError, whatever bytes stand in it", () => {
    const whole = ["baseline.jpg", "progressive.jpg", "colour.png", "palette.png"].map(file);
    fc.assert(
      fc.property(fc.constantFrom(...whole), fc.nat(), fc.nat({ max: 255 }), (bytes, at, value) => {
        const damaged = Uint8Array.from(bytes);
        damaged[2 + (at % (bytes.length - 2))] = value;
        try {
          const { width, height, channels, data } = decodePicture(damaged);
          expect(data.length).toBe(width * height * channels);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("a picture in a network's size", () => {
  const pixels = (width: number, height: number, channels: 1 | 3, data: readonly number[]): Picture => ({
    width,
    height,
    channels,
    data: Uint8Array.from(data),
  });

  it("is itself where the sizes are equal, a plane a channel", () => {
    const picture = pixels(2, 1, 3, [1, 2, 3, 4, 5, 6]);
    expect([...fitPicture(picture, [3, 1, 2])]).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it("is its middle, each pixel the mean of what it covers", () => {
    // The outer columns are cut off; of the rest each pixel is a square of four.
    const row = [9, 10, 20, 30, 50, 9];
    const below = [9, 30, 40, 50, 70, 9];
    expect([...fitPicture(pixels(6, 2, 1, [...row, ...below]), [1, 1, 2])]).toEqual([25, 50]);
    // Three pixels on two: the middle one counts half on either side.
    expect([...fitPicture(pixels(3, 3, 1, [0, 90, 30, 0, 90, 30, 0, 90, 30]), [1, 2, 2])]).toEqual([30, 50, 30, 50]);
  });

  it("turns grey by the eye's weights and coloured by repetition", () => {
    expect([...fitPicture(pixels(1, 1, 3, [200, 100, 50]), [1, 1, 1])]).toEqual([Math.round(59.8 + 58.7 + 5.7)]);
    expect([...fitPicture(pixels(1, 1, 1, [7]), [3, 1, 1])]).toEqual([7, 7, 7]);
    expect(() => fitPicture(pixels(1, 1, 1, [7]), [2, 1, 1])).toThrow("1 or 3 channels, found 2");
  });

  it("of one colour stays of that colour, whatever the sizes", () => {
    const side = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(side, side, side, side, fc.nat({ max: 255 }), (width, height, rows, columns, value) => {
        const picture = pixels(width, height, 1, Array(width * height).fill(value) as number[]);
        expect(new Set(fitPicture(picture, [1, rows, columns]))).toEqual(new Set([value]));
      }),
    );
  });
});
