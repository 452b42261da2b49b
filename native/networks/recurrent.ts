/** Recurrent networks: `lstm-rows`, `char-rnn`. */
import type { NetworkEntry } from "./entry.js";
import { conv2d, embedding, linear, lstm, rowsAsSequence, withInit } from "./layers.js";

export const recurrent: readonly NetworkEntry[] = [
  {
    name: "lstm-rows",
    summary: "a digit's rows as a sequence, two LSTM layers of 128, 214,282 parameters",
    input: [1, 28, 28],
    layers: [rowsAsSequence, lstm(128, "every step"), lstm(128, "last step"), linear(10)],
    defaults: { optimizer: "adam", batch_size: 60, epochs: 10, hyperparameters: { learning_rate: 0.001 } },
    source: "the row-by-row LSTM of the MXNet and PyTorch tutorials; Hochreiter and Schmidhuber 1997",
  },
  {
    name: "char-rnn",
    summary: "characters one after another: an LSTM layer of 128 that says what comes next, and writes text",
    input: [1, 1, 64],
    layers: [embedding(32), lstm(128, "every step"), ...withInit("glorot_uniform", [conv2d(10, 1)])],
    defaults: { optimizer: "adam", batch_size: 32, epochs: 20, hyperparameters: { learning_rate: 0.003 } },
    text: true,
    source: "A. Karpathy, The Unreasonable Effectiveness of Recurrent Neural Networks, 2015, with one LSTM layer",
  },
];
