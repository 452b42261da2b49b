/**
 * The catalogue of networks, as data: a new network is a new entry in the file of its family. The resolved layers, not
 * the name, are stored with a sweep.
 */
import { convolutional } from "./convolutional.js";
import { dense } from "./dense.js";
import type { NetworkEntry } from "./entry.js";
import { generative } from "./generative.js";
import { inceptionNetworks } from "./inception.js";
import { recurrent } from "./recurrent.js";
import { residualNetworks } from "./residual.js";

export type { NetworkEntry } from "./entry.js";

export const networks: readonly NetworkEntry[] = [
  ...dense,
  ...convolutional,
  ...residualNetworks,
  ...inceptionNetworks,
  ...recurrent,
  ...generative,
];

export function findNetwork(name: string): NetworkEntry | null {
  return networks.find((entry) => entry.name === name) ?? null;
}
