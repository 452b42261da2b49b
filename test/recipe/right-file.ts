/** A right sweep file, small changes to it, and the error that a wrong one earns. */
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { ConvsweepError } from "../../proto/contract.js";

export const base = `name: test
network: lenet
dataset: mnist
epochs: 3
batch_size: 100
optimizer: momentum
metric: {name: val_accuracy, goal: maximize}
method: random
run_cap: 16
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}
  l2: {distribution: log_uniform_values, min: 1e-6, max: 1e-2}
`;

/** All of it above its parameters. */
export const head = base.split("parameters:")[0] ?? "";

export function sub(from: string, to: string): string {
  if (!base.includes(from)) throw new Error(`the file has no ${from}`);
  return base.replace(from, to);
}

/** Another distribution of the learning rate. */
export function lr(text: string): string {
  return sub("{distribution: log_uniform_values, min: 1e-4, max: 1e-1}", text);
}

/** One more line above. */
export const top = (line: string): string => `${line}\n${base}`;

/** One more parameter. */
export const param = (text: string): string => `${base}  ${text}\n`;

/** A list of layers instead of a name. */
export function net(layers: readonly string[]): string {
  return sub("network: lenet", `network:\n${layers.map((layer) => `  - ${layer}`).join("\n")}`);
}

/** `folder` is where the file lies. */
export function refusalOf(text: string, folder?: string): ConvsweepError {
  try {
    compileSweep(text, "f.yaml", folder);
  } catch (thrown) {
    if (thrown instanceof ConvsweepError) return thrown;
    throw thrown;
  }
  throw new Error("it was accepted");
}
