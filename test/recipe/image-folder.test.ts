/** A folder of images by class: what a sweep records of it, what the worker makes of it, what is refused. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { readImageFolder } from "../../native/image-folder.js";
import { decodePicture, fitPicture } from "../../native/picture-file.js";
import type { Recipe } from "../../native/recipe.js";
import { ConvsweepError } from "../../proto/contract.js";
import { loadDataset } from "../../worker/data/load.js";
import { failure } from "../worker/data-files.js";
import { ownData } from "./own-data.js";

const { root, put, compile: compileData } = ownData("folder", 2);
const compile = (folder: string, size = ""): Recipe => compileData(`{folder: ${folder}${size}}`);
/** Every pixel of the colour given. */
const png = (colour: readonly number[], width = 3, height = 2): Uint8Array => {
  const data = Uint8Array.from({ length: width * height * colour.length }, (_, i) => colour[i % colour.length] ?? 0);
  return encode({ width, height, channels: colour.length, depth: 8, data });
};
const never = () => {
  throw new Error("not generated");
};

describe("a folder of images", () => {
  for (let i = 0; i < 10; i++) put(`good/tulip/${i}.png`, png([200 + i, 10, 20]));
  for (let i = 0; i < 9; i++) put(`good/aster/${i}.png`, png([i, 100, 150, 255]));
  put("good/aster/grey.png", png([7]));
  put("good/.hidden/x.txt", Uint8Array.of(1));

  it("says its shape, the names of its classes and a digest", () => {
    const { dataset } = compile("good");
    expect(dataset).toMatchObject({
      name: "good",
      shape: [3, 2, 3],
      classes: 2,
      validation: 2,
      train_images: 20,
      folder: { path: join(root, "good"), classes: ["aster", "tulip"] },
    });
  });

  it("comes out plane by plane with the labels of its classes", async () => {
    const { dataset } = compile("good");
    const { arrays } = await loadDataset(dataset, "/nowhere", never);
    const seen = new Set<number>();
    arrays.trainLabels.forEach((label, i) => {
      const at = (c: number) => [...arrays.trainImages.subarray((i * 3 + c) * 6, (i * 3 + c + 1) * 6)];
      const [red = 0] = at(0);
      expect(at(0)).toEqual(Array(6).fill(red));
      const grey = red === 7 && at(1)[0] === 7;
      expect([at(1)[0], at(2)[0]]).toEqual(grey ? [7, 7] : label === 1 ? [10, 20] : [100, 150]);
      expect(red >= 200 ? 1 : 0).toBe(label);
      seen.add(grey ? -1 : red);
    });
    expect(seen.size).toBe(20);
  });

  it("takes the upper half of 16 bits", () => {
    const deep = (value: number) =>
      encode({ width: 1, height: 1, channels: 1, depth: 16, data: Uint16Array.of(value) });
    put("deep/a/0.png", deep(0x1234));
    put("deep/b/0.png", deep(0xffff));
    expect([...readImageFolder(join(root, "deep"), null).images]).toEqual([0x12, 0xff]);
  });

  it("with a size may hold JPEG and PNG files of any", async () => {
    const jpeg = readFileSync(new URL("../golden/pictures/baseline.jpg", import.meta.url));
    put("mixed/a/0.jpg", jpeg);
    put("mixed/a/1.JPEG", jpeg);
    put("mixed/b/0.png", png([50], 9, 4));
    put("mixed/b/1.png", png([60, 70, 80], 2, 6));
    expect(() => compile("mixed")).toThrow("mixed/b/0.png: expected 27x19 pixels as");
    const { dataset } = compile("mixed", ", size: [2, 4]");
    expect(dataset).toMatchObject({ shape: [3, 2, 4], train_images: 4, folder: { size: [2, 4] } });
    expect(compile("mixed", ", size: 5").dataset).toMatchObject({ shape: [3, 5, 5], folder: { size: [5, 5] } });
    const { arrays } = await loadDataset(dataset, "/nowhere", never);
    const images = [...arrays.trainLabels.keys()].map((i) => [...arrays.trainImages.subarray(i * 24, (i + 1) * 24)]);
    const eight = (value: number): number[] => Array(8).fill(value);
    expect(images).toContainEqual(Array(24).fill(50));
    expect(images).toContainEqual([...eight(60), ...eight(70), ...eight(80)]);
    const fitted = [...fitPicture(decodePicture(jpeg), [3, 2, 4])];
    expect(images.filter((image) => image.join() === fitted.join()).length).toBe(2);
  });

  it.each([
    ["0", "dataset.size"],
    ["[2]", "[rows, columns]"],
    ["[2, 3, 4]", "[rows, columns]"],
    ["[2, 9999]", "dataset.size[1]"],
  ])("of size %s is refused", (size, message) => {
    expect(() => compile("good", `, size: ${size}`)).toThrow(message);
  });

  it("that has changed or is missing on a worker is refused", async () => {
    put("moved/a/0.png", png([1]));
    put("moved/b/0.png", png([2]));
    const { dataset } = compile("moved");
    put("moved/b/0.png", png([3]));
    expect(await failure(loadDataset(dataset, "/nowhere", never))).toMatchObject({ code: "CORRUPT" });
    rmSync(join(root, "moved"), { recursive: true });
    expect(await failure(loadDataset(dataset, "/nowhere", never))).toMatchObject({ code: "NOT_FOUND" });
  });

  it.each([
    [
      "ragged",
      png([1], 4, 2),
      "1.png",
      /ragged\/b\/1\.png: expected 3x2 pixels as .*a\/0\.png has \(or say a size\), found 4x2 pixels/,
    ],
    ["broken", png([1]).subarray(0, 40), "1.png", /broken\/b\/1\.png: expected a whole PNG file, found /],
    ["jpeg", Uint8Array.of(0xff, 0xd8), "1.jpg", /jpeg\/b\/1\.jpg: expected a whole JPEG file, found no frame header/],
    [
      "text",
      Uint8Array.of(65),
      "1.txt",
      /text\/b\/1\.txt: expected a PNG or JPEG file \(\.png, \.jpg, \.jpeg\), found ano/,
    ],
    ["renamed", Uint8Array.of(65), "1.png", /renamed\/b\/1\.png: expected a PNG or JPEG file, found other bytes/],
  ])("%s is refused", (folder, bytes, name, message) => {
    put(`${folder}/a/0.png`, png([1]));
    put(`${folder}/b/${name}`, bytes);
    expect(() => compile(folder)).toThrow(message);
    expect(() => compile(folder)).toThrow(ConvsweepError);
  });

  it("without classes, or not there, is refused", () => {
    put("single/a/0.png", png([1]));
    expect(() => compile("single")).toThrow(/expected 2 to 256 subfolders, one a class, found 1/);
    expect(() => compile("gone")).toThrow(/dataset\.folder: ENOENT/);
  });
});
