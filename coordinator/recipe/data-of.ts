/**
 * The data set of a sweep file alone, and of files and folders given by their paths: what `convsweep data check` looks at
 * before anybody trains.
 *
 * Guarantees: reads and refuses as compileSweep does. Not here: whether a worker can load it (worker/data).
 */
import { statSync } from "node:fs";
import { basename, dirname, extname, resolve } from "node:path";
import type { DatasetSpec } from "../../native/recipe.js";
import { ConvsweepError } from "../../proto/contract.js";
import { filesFrom } from "./own-files.js";
import { Reader } from "./reader.js";
import { TopLevel } from "./top-level.js";
import { compileDataset } from "./training.js";
import { parseFile } from "./yaml.js";

export interface FoundData {
  readonly dataset: DatasetSpec;
  readonly warnings: readonly string[];
}

/** Throws as compileSweep does. */
export function dataOfSweep(text: string, fileName: string, folder: string): FoundData {
  const reader = new Reader(fileName);
  const top = new TopLevel(reader, parseFile(text, fileName));
  const dataset = compileDataset(reader, top.need("dataset"), top.node("validation"), filesFrom(folder));
  return { dataset, warnings: reader.warnings };
}

export const isSweepFile = (path: string): boolean => /\.(ya?ml|json)$/i.test(path);

/**
 * Paths that are no sweep files, as data sets: a folder, a text (`.txt`), records in CIFAR's form (`.bin`), and array files in
 * pairs, images then labels. Throws BAD_INPUT.
 */
export function dataOfPaths(paths: readonly string[]): FoundData[] {
  const found: FoundData[] = [];
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i] ?? "";
    const kind = kindOf(path);
    if (kind !== "images") {
      found.push(written(path, { [kind]: resolve(path) }));
      continue;
    }
    i += 1;
    const labels = paths[i];
    if (labels === undefined) {
      throw new ConvsweepError("BAD_INPUT", `${path}: array files come in pairs: images, then their labels`, {
        path,
        expected: "the path of the labels behind it",
        found: "no more paths",
      });
    }
    found.push(written(path, { images: resolve(path), labels: resolve(labels) }));
  }
  return found;
}

function kindOf(path: string): "folder" | "text" | "records" | "images" {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return "folder";
  const extension = extname(path).toLowerCase();
  return extension === ".txt" ? "text" : extension === ".bin" ? "records" : "images";
}

/** As if the sweep file said so. */
function written(path: string, dataset: Readonly<Record<string, string>>): FoundData {
  return dataOfSweep(JSON.stringify({ dataset }), basename(path), dirname(path));
}
