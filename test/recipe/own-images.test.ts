/**
 * Images of one's own beside each other: records in CIFAR's form, test sets and names of classes, from the sweep file to the
 * arrays that the engine takes; what is refused, with the file and the words.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { orderOf } from "../../native/arrays.js";
import { classNamesOf } from "../../native/datasets.js";
import { checkSpec } from "../../worker/data/check-own.js";
import { loadDataset } from "../../worker/data/load.js";
import { npy } from "../worker/array-files.js";
import { failure } from "../worker/data-files.js";
import { ownData } from "./own-data.js";

const { root, put, compile, refused } = ownData("own", 3);
const never = () => {
  throw new Error("not generated");
};

/** Images of 1 x 2 x 2, label i mod 3, all four pixels `first + i`. */
const records = (count: number, first: number, coarse: readonly number[] = []): Uint8Array =>
  Uint8Array.from(
    Array.from({ length: count }, (_, i) => [...coarse, i % 3, ...Array.from({ length: 4 }, () => first + i)]).flat(),
  );

describe("records in CIFAR's form", () => {
  put("a.bin", records(9, 0));
  put("b.bin", records(6, 100));
  put("test.bin", records(4, 200));
  put("coarse.bin", records(6, 0, [9]));

  it("come with their names, digests and test images, each image with its label", async () => {
    const { dataset } = compile(
      "{records: [a.bin, b.bin], shape: [1, 2, 2], classes: [rose, tulip, daisy], test: test.bin}",
      "test_at_end: true\n",
    );
    expect(dataset).toMatchObject({
      name: "a.bin",
      shape: [1, 2, 2],
      classes: 3,
      validation: 1,
      train_images: 15,
      test_images: 4,
      records: { label_bytes: 1, files: [{ path: join(root, "a.bin") }, { path: join(root, "b.bin") }] },
    });
    expect(classNamesOf(dataset)).toEqual(["rose", "tulip", "daisy"]);
    const { arrays } = await loadDataset(dataset, "/nowhere", never);
    const order = orderOf(15, dataset.records?.files[0]?.sha256 ?? "");
    expect([...arrays.trainLabels]).toEqual([...order].map((i) => (i < 9 ? i : i - 9) % 3));
    expect([...arrays.trainImages].filter((_, at) => at % 4 === 0)).toEqual(
      [...order].map((i) => (i < 9 ? i : 100 + i - 9)),
    );
    expect([...arrays.testLabels]).toEqual([0, 1, 2, 0]);
    expect([...arrays.testImages].filter((_, at) => at % 4 === 3)).toEqual([200, 201, 202, 203]);
  });

  it("may have several label bytes, of which the last one counts", async () => {
    const { dataset } = compile("{records: coarse.bin, shape: [1, 2, 2], label_bytes: 2}");
    const { arrays } = await loadDataset(dataset, "/nowhere", never);
    expect(dataset).toMatchObject({ classes: 3, train_images: 6 });
    expect([...arrays.trainLabels].sort()).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("are of CIFAR's shape unless another one is said", () => {
    put(
      "cifar.bin",
      Uint8Array.from({ length: 6 * 3073 }, (_, at) => (at % 3073 === 0 ? (at / 3073) % 3 : at % 251)),
    );
    expect(compile("{records: cifar.bin}").dataset).toMatchObject({ shape: [3, 32, 32], classes: 3, train_images: 6 });
  });

  it("are refused with the byte where a record is cut", () => {
    expect(refused("{records: [a.bin, cifar.bin], shape: [1, 2, 2]}")).toMatch(
      /records\[1\]: .*cifar\.bin: expected records of 5 bytes \(1 of labels, 1x2x2 of image\), found 18438 bytes: record 3687, at byte 18435, has only 3/,
    );
    put("none.bin", new Uint8Array(0));
    expect(refused("{records: none.bin}")).toMatch(/none\.bin: expected records of 3073 bytes .*, found an empty file/);
  });

  it.each([
    [
      "{records: a.bin, shape: [2, 2, 2]}",
      /dataset\.shape\[0\]: expected 1 channel \(grey\) or 3 \(red, green, blue\), found 2/,
    ],
    ["{records: a.bin, shape: [1, 2]}", /dataset\.shape: expected three whole numbers: channels, rows, columns/],
    ["{records: []}", /dataset\.records: expected 1 to 1000 paths, found an empty list|found a list of 0/],
    [
      "{records: a.bin, shape: [1, 2, 2], classes: [rose, tulip]}",
      /a\.bin: expected labels from 0 to 1, a class each, found 2 at 2/,
    ],
    [
      "{records: a.bin, shape: [1, 2, 2], classes: [rose, tulip, rose]}",
      /classes\[2\]: expected a name of its own; class 0 is called so already, found "rose"/,
    ],
    ["{records: a.bin, shape: [1, 2, 2], classes: [rose]}", /dataset\.classes: expected 2 to 256 names/],
    [
      "{records: a.bin, shape: [1, 2, 2], classes: 3}",
      /dataset\.classes: expected a list of names, one for each label from 0, found 3/,
    ],
    ["{records: a.bin, shape: [1, 2, 2], test: gone.bin}", /there is no file .*gone\.bin/],
    ["{records: a.bin, shape: [1, 2, 2], size: 3}", /dataset\.size: unknown key/],
  ])("%s", (dataset, message) => expect(refused(dataset)).toMatch(message));

  it("are refused by a worker whose files are others, test files too", async () => {
    const { dataset } = compile("{records: a.bin, shape: [1, 2, 2], test: test.bin}");
    put("test.bin", records(4, 201));
    expect(await failure(loadDataset(dataset, "/nowhere", never))).toMatchObject({ code: "CORRUPT" });
    rmSync(join(root, "test.bin"));
    expect(await failure(loadDataset(dataset, "/nowhere", never))).toMatchObject({
      code: "NOT_FOUND",
      path: join(root, "test.bin"),
    });
  });
});

describe("array files", () => {
  const labels = Uint8Array.from({ length: 20 }, (_, i) => i % 3);
  put(
    "x.npy",
    npy(
      "|u1",
      [20, 2, 3],
      Uint8Array.from({ length: 120 }, (_, i) => i),
    ),
  );
  put("y.npy", npy("|u1", [20], labels));
  put(
    "tx.npy",
    npy(
      "|u1",
      [2, 2, 3],
      Uint8Array.from({ length: 12 }, (_, i) => 100 + i),
    ),
  );
  put("ty.npy", npy("|u1", [2], Uint8Array.of(2, 1)));
  const own = "images: x.npy, labels: y.npy";

  it("may have names and test images", async () => {
    const { dataset } = compile(`{${own}, classes: [a, b, c], test: {images: tx.npy, labels: ty.npy}}`);
    expect(dataset).toMatchObject({ classes: 3, test_images: 2 });
    expect(classNamesOf(dataset)).toEqual(["a", "b", "c"]);
    const { arrays } = await loadDataset(dataset, "/nowhere", never);
    expect([...arrays.testLabels]).toEqual([2, 1]);
    expect([...arrays.testImages]).toEqual(Array.from({ length: 12 }, (_, i) => 100 + i));
    const check = await checkSpec(dataset, "/nowhere");
    expect(check).toMatchObject({ name: "x.npy", state: "ok" });
    expect(check.messages.slice(0, 2)).toEqual([
      "20 images of 1x2x3 in 3 classes, 2 of them held out; 2 test images",
      "of each class: a 7, b 7, c 6",
    ]);
    expect(check.messages[2]).toMatch(/^bytes trained on, each channel: mean \d+\.\d, deviation \d+\.\d$/);
  });

  it("refuse test images that are not like the others", () => {
    put("wide.npy", npy("|u1", [2, 2, 4], new Uint8Array(16)));
    put("three.npy", npy("|u1", [2], Uint8Array.of(0, 3)));
    const test = (images: string, of: string) => refused(`{${own}, test: {images: ${images}, labels: ${of}}}`);
    expect(test("wide.npy", "ty.npy")).toMatch(
      /dataset\.test\.images: .*wide\.npy: expected images of 1x2x3 as those to train on are, found 1x2x4/,
    );
    expect(test("tx.npy", "three.npy")).toMatch(
      /dataset\.test\.labels: .*three\.npy: expected labels from 0 to 2, a class each, found 3 at 1/,
    );
    expect(refused(`{${own}, test: {images: tx.npy}}`)).toMatch(/dataset\.test: array files need labels/);
    expect(refused(`{${own}, test: tx.npy}`)).toMatch(/dataset\.test: expected images and labels, found "tx\.npy"/);
  });
});

describe("a folder", () => {
  const png = (colour: readonly number[], width = 3): Uint8Array =>
    encode({
      width,
      height: 2,
      channels: colour.length,
      depth: 8,
      data: Uint8Array.from({ length: width * 2 * colour.length }, (_, i) => colour[i % colour.length] ?? 0),
    });
  for (const [i, name] of ["ash", "elm", "oak"].entries()) {
    for (let k = 0; k < 4; k++) put(`trees/${name}/${k}.png`, png([10 * i, k, 200]));
  }
  put("more/oak/x.png", png([50]));
  put("more/ash/x.png", png([1, 2, 3]));
  put("stranger/fir/x.png", png([1, 2, 3]));
  put("wide/oak/x.png", png([1, 2, 3], 5));

  it("may have a test folder, whose classes are told by their names", async () => {
    const { dataset } = compile("{folder: trees, test: more}", "test_at_end: true\n");
    expect(dataset).toMatchObject({ classes: 3, train_images: 12, test_images: 2 });
    const { arrays } = await loadDataset(dataset, "/nowhere", never);
    // By name: ash is class 0, oak class 2; the grey image has become coloured.
    expect([...arrays.testLabels].sort()).toEqual([0, 2]);
    const oak = arrays.testLabels.indexOf(2);
    expect([...arrays.testImages.subarray(18 * oak, 18 * oak + 18)]).toEqual(Array.from({ length: 18 }, () => 50));
  });

  it("refuses test images of other classes and sizes", () => {
    expect(refused("{folder: trees, test: stranger}")).toMatch(
      /dataset\.test: .*stranger: expected subfolders called as the classes trained on \(ash, elm, oak\), found fir/,
    );
    expect(refused("{folder: trees, test: wide}")).toMatch(
      /wide.oak.x\.png: expected 3x2 pixels as each that is trained on has \(or say a size\), found 5x2 pixels/,
    );
    expect(compile("{folder: trees, test: wide, size: [2, 2]}").dataset).toMatchObject({
      shape: [3, 2, 2],
      test_images: 1,
    });
  });
});
