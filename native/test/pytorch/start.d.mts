import type { DatasetArrays, Engine, Session } from "../../index.js";
import type { NetworkEntry } from "../../networks/index.js";
import type { recipeFor } from "../../networks/recipe-for.js";
import type { Recipe } from "../../recipe.js";

export interface Start {
  readonly name: string;
  readonly recipe: Recipe;
  readonly arrays: DatasetArrays;
}

export const STEPS: number;
export const SEED: bigint;
export function makeImages(
  shape: readonly [number, number, number],
  count: number,
  classes: number,
): { readonly images: Uint8Array; readonly labels: Uint8Array };
export function makeStarts(networks: readonly NetworkEntry[], make: typeof recipeFor): Start[];
export function sha256(bytes: Uint8Array): string;
export function openStart(
  engine: Engine,
  start: Start,
  vector: Float64Array,
): { readonly session: Session; readonly lane: number };
