/**
 * A network's layers as a table: what each is, its output, parameters and multiply-adds an image, with a last line of sums.
 *
 * Guarantees: layers within others stand under them, moved in; a residual's or branches' own line holds the sums of what
 * stands below it, so that the lines that are not moved in add up to the last. No line is longer than `width` while
 * leaving out kernels and strides can make it so. Not here: checking the network (native/networks/shapes.ts).
 */

import { partsOf } from "../../native/networks/layers.js";
import type { inferShapes } from "../../native/networks/shapes.js";
import type { LayerSpec, Pair } from "../../native/recipe.js";
import { formatTable } from "./format.js";

type LayerSummary = ReturnType<typeof inferShapes>[number];

const COLUMNS = [
  { title: "layer", align: "left" },
  { title: "output", align: "right" },
  { title: "parameters", align: "right" },
  { title: "multiply-adds", align: "right" },
] as const;

const count = (value: number): string => value.toLocaleString("en");
const sides = ([rows, columns]: Pair): string => `${rows}x${columns}`;

export function layerTable(
  layers: readonly LayerSpec[],
  summaries: readonly LayerSummary[],
  width: number | null,
): string[] {
  const total = (of: (layer: LayerSummary) => number): string =>
    count(summaries.reduce((sum, layer) => sum + of(layer), 0));
  const last = ["total", "", total((layer) => layer.parameters), total((layer) => layer.multiplyAdds)];
  const table = (detailed: boolean): string[] =>
    formatTable(COLUMNS, [...rows(layers, summaries, "", detailed), last]).map((line) => line.trimEnd());
  const full = table(true);
  return width === null || full.every((line) => line.length <= width) ? full : table(false);
}

function rows(
  layers: readonly LayerSpec[],
  summaries: readonly LayerSummary[],
  indent: string,
  detailed: boolean,
): string[][] {
  return layers.flatMap((layer, i) => {
    const summary = summaries[i];
    if (summary === undefined) return [];
    const { output, parameters, multiplyAdds, parts } = summary;
    const shape = output[1] * output[2] === 1 ? String(output[0]) : output.join("x");
    const own = [`${indent}${layer.op}${detailed ? detail(layer) : ""}`, shape, count(parameters), count(multiplyAdds)];
    const below = partsOf(layer).flatMap((part, j) => {
      const name = `${indent}  ${part.place.replace("residual.", "")}`;
      if (part.layers.length === 0) return [[`${name}: the input`]];
      return [[name], ...rows(part.layers, parts[j]?.layers ?? [], `${indent}    `, detailed)];
    });
    return [own, ...below];
  });
}

/** What people look for first in a layer, without what it has unless told otherwise. */
function detail(layer: LayerSpec): string {
  const window = "kernel" in layer ? layer.kernel : "size" in layer ? layer.size : null;
  if (window === null || !("stride" in layer)) return "";
  const moved = layer.stride.some((step) => step !== 1) ? `, stride ${sides(layer.stride)}` : "";
  const groups = "groups" in layer && layer.groups > 1 ? `, ${layer.groups} groups` : "";
  return ` ${sides(window)}${moved}${groups}`;
}
