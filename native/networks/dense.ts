/** Networks without convolutions: `logit`, `mlp800`, `fcnet`. */
import type { LayerSpec } from "../recipe.js";
import type { NetworkEntry } from "./entry.js";
import { batchNorm, dropout, flatten, linear, relu } from "./layers.js";

/** A deep net's repeated part: linear, batch norm, ReLU, dropout. */
const block = (units: number): LayerSpec[] => [linear(units), batchNorm, relu, dropout(0.1)];

export const dense: readonly NetworkEntry[] = [
  {
    name: "logit",
    summary: "one linear layer: multinomial logistic regression",
    input: [1, 28, 28],
    layers: [flatten, linear(10)],
    defaults: { optimizer: "sgd", batch_size: 100, epochs: 20, hyperparameters: { learning_rate: 0.04 } },
    source: "the classic baseline on MNIST",
  },
  {
    name: "mlp800",
    summary: "784-800-10, one hidden layer",
    input: [1, 28, 28],
    layers: [flatten, linear(800), relu, linear(10)],
    defaults: { optimizer: "sgd", batch_size: 100, epochs: 20, hyperparameters: { learning_rate: 0.1 } },
    source: "Simard, Steinkraus, Platt 2003 (800 hidden units)",
  },
  {
    name: "fcnet",
    summary: "five hidden layers of 100 with batch norm, for CIFAR-10",
    input: [3, 32, 32],
    layers: [flatten, ...block(100), ...block(100), ...block(100), ...block(100), ...block(100), linear(10)],
    defaults: { optimizer: "adam", batch_size: 100, epochs: 10, hyperparameters: { learning_rate: 0.001 } },
    source: "Stanford CS231n, assignment 2: fully connected nets with batch norm and dropout",
  },
];
