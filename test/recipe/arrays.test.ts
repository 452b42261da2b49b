/** Array files as a data set of a sweep: what is known of them, and what is refused, with the file and the words. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { idx, npy } from "../worker/array-files.js";
import { ownData } from "./own-data.js";

const { root, put, compile, refused } = ownData("arrays", 3);
const pixels = Uint8Array.from({ length: 20 * 6 }, (_, i) => i);
const labels = Uint8Array.from({ length: 20 }, (_, i) => i % 3);
put("images.npy", npy("|u1", [20, 2, 3], pixels));
put("labels.npy", npy("|u1", [20], labels));
put("labels.idx", idx(8, [20], labels));

describe("array files", () => {
  it("say their shape, classes and digests", () => {
    const { dataset } = compile("{images: images.npy, labels: labels.idx}");
    expect(dataset).toMatchObject({
      name: "images.npy",
      shape: [1, 2, 3],
      classes: 3,
      validation: 2,
      train_images: 20,
      test_images: 0,
      seed: null,
      arrays: { images: { path: join(root, "images.npy") }, labels: { path: join(root, "labels.idx") } },
    });
    expect(compile("{images: images.npy, labels: labels.npy}", "validation: 5\n").dataset.validation).toBe(5);
  });

  const wrong: readonly (readonly [name: string, bytes: Uint8Array, message: RegExp])[] = [
    ["text.npy", Buffer.from("hello there"), /text\.npy: expected an array file \(\.npy or IDX\), found other bytes/],
    [
      "floats.npy",
      npy("<f4", [2, 1, 1], new Uint8Array(8)),
      /floats\.npy: expected unsigned bytes .*, found the type f4/,
    ],
    [
      "cut.npy",
      npy("|u1", [3, 2, 2], new Uint8Array(7)),
      /cut\.npy: expected 12 bytes of values for \[3, 2, 2\], found 7/,
    ],
    [
      "header.npy",
      npy("|u1", [1], new Uint8Array(1)).subarray(0, 40),
      /header\.npy: expected a header of 128 bytes, found the end of the file after 40/,
    ],
    [
      "flat.npy",
      npy("|u1", [4, 4], new Uint8Array(16)),
      /flat\.npy: expected \[images, rows, columns\].*, found \[4, 4\]/,
    ],
    [
      "fortran.npy",
      npy("|u1", [1, 2, 2], new Uint8Array(4), true),
      /expected an array in C order .*, found Fortran order/,
    ],
    ["none.npy", npy("|u1", [0, 2, 2], new Uint8Array(0)), /expected at least one image/],
  ];
  it.each(wrong)("%s is refused", (name, bytes, message) => {
    put(name, bytes);
    expect(refused(`{images: ${name}, labels: labels.npy}`)).toMatch(message);
  });

  it("refuses labels that do not fit the images", () => {
    put("few.npy", npy("|u1", [19], labels.subarray(1)));
    put("minus.npy", npy("|i1", [20], Uint8Array.from(labels).fill(0xff, 4, 5)));
    put("large.npy", npy("<i8", [1], Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0)));
    put("zeros.npy", npy("|u1", [20], new Uint8Array(20)));
    const said = (name: string) => refused(`{images: images.npy, labels: ${name}}`);
    expect(said("few.npy")).toMatch(/few\.npy: expected 20 labels, one an image, found 19/);
    expect(said("minus.npy")).toMatch(/minus\.npy: expected a label from 0 to 255, found -1 at 4/);
    expect(said("large.npy")).toMatch(/large\.npy: expected a label from 0 to 255, found 256 at 0/);
    expect(said("zeros.npy")).toMatch(/at least two classes/);
    expect(said("gone.npy")).toMatch(/there is no file .*gone\.npy/);
    expect(refused("{images: images.npy}")).toMatch(/array files need labels/);
    expect(refused("{images: images.npy, labels: labels.npy}", "test_at_end: true\n")).toMatch(/has no test images/);
  });
});

it("keep_weights stands in the recipe only where it is asked for", () => {
  const dataset = "{images: images.npy, labels: labels.npy}";
  expect(compile(dataset, "keep_weights: true\n").keep_weights).toBe(true);
  expect(compile(dataset, "keep_weights: false\n")).not.toHaveProperty("keep_weights");
  expect(refused(dataset, "keep_weights: 3\n")).toMatch(/keep_weights/);
});
