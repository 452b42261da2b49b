/** What `plan` says of a sweep that is known without training: the layers of its networks, and how much there is to train. Pure. */
import { inferNetworks } from "../../native/networks/shapes.js";
import type { LayerSpec, Recipe } from "../../native/recipe.js";
import { formatNumber } from "./format.js";
import { layerTable } from "./layer-table.js";

type Summaries = ReturnType<typeof inferNetworks>;

export interface NetworkTable {
  readonly title: string;
  /** The first line is the table's head. */
  readonly lines: readonly string[];
}

/** One table, or of a pair of networks one each, with sums of its own. */
export function networkTables(recipe: Recipe, width: number | null): readonly NetworkTable[] {
  const { network, dataset, procedure } = recipe;
  const summaries: Summaries = inferNetworks(network.layers, procedure, dataset);
  const title = `${network.name ?? "network"} on ${dataset.name} (${dataset.shape.join("x")})`;
  const table = (of: string, layers: readonly LayerSpec[], from: number): NetworkTable => ({
    title: of,
    lines: layerTable(layers, summaries.slice(from, from + layers.length), width),
  });
  if (procedure === undefined) return [table(title, network.layers, 0)];
  return [
    table(`${title}: the generator`, network.layers, 0),
    table("the discriminator", procedure.discriminator, network.layers.length),
  ];
}

/** `16 trials of 3 epochs: 2.64 million images to train`. */
export function workLine(trials: number, { epochs, dataset }: Recipe, images: number): string {
  const size = images < 1e6 ? images.toLocaleString("en") : `${formatNumber(images / 1e6)} million`;
  return `${counted(trials, "trial")} of ${counted(epochs, "epoch")}: ${size} ${unitOf({ dataset })} to train`;
}

/** What is counted: of a text windows stand for images. */
export const unitOf = ({ dataset }: Pick<Recipe, "dataset">): string =>
  dataset.text === undefined ? "images" : "windows";

const counted = (count: number, what: string): string =>
  `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
