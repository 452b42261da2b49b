/** Recurrent networks: `lstm-rows`. */
import type { NetworkEntry } from "./entry.js";
import { linear, lstm, rowsAsSequence } from "./layers.js";

export const recurrent: readonly NetworkEntry[] = [
  {
    name: "lstm-rows",
    summary: "a digit's rows as a sequence, two LSTM layers of 128, 214,282 parameters",
    input: [1, 28, 28],
    layers: [rowsAsSequence, lstm(128, "every step"), lstm(128, "last step"), linear(10)],
    defaults: { optimizer: "adam", batch_size: 60, epochs: 10, hyperparameters: { learning_rate: 0.001 } },
    source: "the row-by-row LSTM of the MXNet and PyTorch tutorials; Hochreiter and Schmidhuber 1997",
  },
];
