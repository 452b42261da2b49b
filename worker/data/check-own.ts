/**
 * Looks at a data set of people's own as a trial would load it, for `data check`.
 *
 * Guarantees: `ok` means that a trial would train on it; then it is said how many images there are of each class, and the mean
 * and deviation of each channel that they are normalised by. Reads every byte, changes nothing.
 */
import { classNamesOf, findDataset } from "../../native/datasets.js";
import type { DatasetArrays } from "../../native/index.js";
import type { DatasetSpec } from "../../native/recipe.js";
import { toConvsweepError } from "../../proto/contract.js";
import { type Check, checkDataset } from "./check.js";
import { loadDataset } from "./load.js";
import { published } from "./publishers.js";

/** More classes are only counted. */
const NAMED_CLASSES = 20;

/** `dir`: the data folder, for a set that has a name. */
export async function checkSpec(spec: DatasetSpec, dir: string): Promise<Check> {
  const known = spec.seed === null && findDataset(spec.name) !== null ? published(spec.name) : null;
  if (known !== null) return checkDataset(known, dir);
  const found = { name: spec.name, folder: null };
  if (spec.seed !== null) return { ...found, state: "ok", messages: ["generated, needs no files"], digest: null };
  try {
    const { digest, arrays } = await loadDataset(spec, dir, () => {
      throw new Error("a generated set has a seed");
    });
    return {
      ...found,
      state: "ok",
      messages: arrays.text === true ? aboutText(spec) : aboutImages(spec, arrays),
      digest,
    };
  } catch (thrown) {
    const error = toConvsweepError(thrown);
    const state = error.code === "NOT_FOUND" ? "missing" : "wrong";
    return { ...found, state, messages: [error.message], digest: null };
  }
}

function aboutText({ classes, train_images, validation, shape }: DatasetSpec): string[] {
  return [`${train_images} windows of ${shape[2]} characters, ${validation} of them held out; ${classes} characters`];
}

function aboutImages(spec: DatasetSpec, arrays: DatasetArrays): string[] {
  const { shape, classes, validation, train_images, test_images } = spec;
  const test = test_images === 0 ? "no test images" : `${test_images} test images`;
  const messages = [
    `${train_images} images of ${shape.join("x")} in ${classes} classes, ${validation} of them held out; ${test}`,
  ];
  if (classes <= NAMED_CLASSES) {
    const count = (labels: Uint8Array, label: number): number =>
      labels.reduce((sum, l) => sum + (l === label ? 1 : 0), 0);
    const each = classNamesOf(spec).map((name, label) => `${name} ${count(arrays.trainLabels, label)}`);
    messages.push(`of each class: ${each.join(", ")}`);
  }
  const trained = arrays.trainImages.subarray(0, (train_images - validation) * shape[0] * shape[1] * shape[2]);
  messages.push(`bytes trained on, each channel: ${channelsOf(trained, shape).join("; ")}`);
  return messages;
}

/** Mean and deviation of each channel. */
function channelsOf(images: Uint8Array, [channels, rows, columns]: DatasetSpec["shape"]): string[] {
  const plane = rows * columns;
  return Array.from({ length: channels }, (_, channel) => {
    let count = 0;
    let sum = 0;
    let squares = 0;
    for (let at = channel * plane; at < images.length; at += channels * plane) {
      for (let i = at; i < at + plane; i++) {
        const value = images[i] ?? 0;
        sum += value;
        squares += value * value;
      }
      count += plane;
    }
    const mean = sum / count;
    return `mean ${mean.toFixed(1)}, deviation ${Math.sqrt(Math.max(0, squares / count - mean * mean)).toFixed(1)}`;
  });
}
