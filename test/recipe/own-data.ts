/** A folder of data of one's own, and what a sweep over it compiles to or earns. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import type { Recipe } from "../../native/recipe.js";
import { refusalOf } from "./right-file.js";

export interface OwnData {
  /** Gone after the file's tests. */
  readonly root: string;
  /** Writes a file below `root`. */
  put(path: string, bytes: Uint8Array): void;
  /** The recipe of a sweep file in `root` with this `dataset`, and more lines above. */
  compile(dataset: string, more?: string): Recipe;
  /** The words that it is refused with. */
  refused(dataset: string, more?: string): string;
}

/** `classes` is how many the network tells apart. */
export function ownData(name: string, classes: number): OwnData {
  const root = mkdtempSync(join(tmpdir(), `convsweep-${name}-`));
  afterAll(() => rmSync(root, { recursive: true }));
  const sweep = (dataset: string, more: string): string =>
    `network: [flatten, {linear: ${classes}}]\ndataset: ${dataset}\nbatch_size: 1\nepochs: 1\n${more}` +
    "method: random\nrun_cap: 1\nparameters: {learning_rate: {min: 0.001, max: 0.01}}\n";
  return {
    root,
    put(path, bytes) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), bytes);
    },
    compile: (dataset, more = "") =>
      compileSweep(sweep(dataset, more), "f.yaml", root).spec.recipe as unknown as Recipe,
    refused: (dataset, more = "") => refusalOf(sweep(dataset, more), root).message,
  };
}
