/** The data sets that can be named in a sweep file, as data. Loading them is the worker's (worker/data). */
import type { DatasetSpec } from "./recipe.js";

export interface DatasetInfo extends DatasetSpec {
  readonly summary: string;
}

const digits = {
  shape: [1, 28, 28],
  classes: 10,
  validation: 5_000,
  train_images: 60_000,
  test_images: 10_000,
  seed: null,
} as const;
const colour = {
  shape: [3, 32, 32],
  validation: 1_000,
  train_images: 50_000,
  test_images: 10_000,
  seed: null,
} as const;

export const datasets: readonly DatasetInfo[] = [
  {
    name: "synthetic-digits",
    shape: [1, 28, 28],
    classes: 10,
    validation: 1_000,
    train_images: 10_000,
    test_images: 2_000,
    seed: 1,
    summary: "generated digits, nothing to download",
  },
  { name: "mnist", ...digits, summary: "handwritten digits (LeCun, Cortes, Burges 1998)" },
  { name: "fashion-mnist", ...digits, summary: "clothes (Xiao, Rasul, Vollgraf 2017)" },
  { name: "cifar10", ...colour, classes: 10, summary: "small colour images, 10 classes (Krizhevsky 2009)" },
  { name: "cifar100", ...colour, classes: 100, summary: "small colour images, 100 fine classes (Krizhevsky 2009)" },
];

/** The data set of that name as a recipe holds it. */
export function findDataset(name: string): DatasetSpec | null {
  const info = datasets.find((entry) => entry.name === name);
  if (!info) return null;
  const { summary: _, ...spec } = info;
  return spec;
}
