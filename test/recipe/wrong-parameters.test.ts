/**
 * Wrong parameters in sweep files and the exact message each earns: place, key path, what was expected, what was found,
 * and the nearest known word. One change to a right file a row.
 */
import { describe, expect, it } from "vitest";
import { head, lr, param, refusalOf, sub } from "./right-file.js";

/** What is wrong, the file, the message after `f.yaml:`. */
const wrong: readonly (readonly [string, string, string])[] = [
  [
    "parameters empty",
    `${head}parameters: {}\n`,
    "10:13: parameters: expected at least one parameter, found a mapping with no keys",
  ],
  [
    "parameters list",
    `${head}parameters: [learning_rate]\n`,
    "10:13: parameters: expected a mapping of parameter names, found a list of 1",
  ],
  [
    "parameter mistyped",
    param("momntum: {value: 0.9}"),
    "13:3: parameters.momntum: unknown parameter; did you mean momentum?",
  ],
  [
    "parameter unknown",
    param("hidden_layer_size: {values: [32, 64]}"),
    "13:3: parameters.hidden_layer_size: unknown parameter; the parameters here are learning_rate, l2, momentum, rho, beta1, beta2, epsilon, dropout, label_smoothing, schedule_factor, schedule_floor, schedule_warmup, flip, crop_padding, cutout, brightness, contrast, saturation, batch_size, epochs, optimizer",
  ],
  ["parameter twice by alias", param("lr: {value: 0.1}"), "13:3: parameters.lr: learning_rate is the same parameter"],
  [
    "parameter of the recipe too",
    param("batch_size: {values: [50, 100]}"),
    "5:1: batch_size: stands here and in parameters; keep one of them",
  ],
  [
    "parameter a bare number",
    lr("0.1"),
    "11:18: parameters.learning_rate: expected a mapping such as {min: 0.1, max: 1.0}, {values: [1, 2]} or {value: 1}, found 0.1",
  ],
  [
    "parameter a bare list",
    lr("[0.1, 0.2]"),
    "11:18: parameters.learning_rate: expected a mapping such as {min: 0.1, max: 1.0}, {values: [1, 2]} or {value: 1}, found a list of 2",
  ],
  [
    "parameter nothing",
    lr("{}"),
    "11:18: parameters.learning_rate: expected value, values, min and max, or distribution, found no keys",
  ],
  [
    "parameter only min",
    lr("{min: 0.1}"),
    "11:18: parameters.learning_rate: expected value, values, min and max, or distribution, found min",
  ],
  [
    "parameter unknown key",
    lr("{min: 0.1, maxx: 0.2}"),
    "11:29: parameters.learning_rate.maxx: unknown key; did you mean max?",
  ],
  [
    "parameter distribution mistyped",
    lr("{distribution: log_unifrom_values, min: 1e-4, max: 1e-1}"),
    '11:33: parameters.learning_rate.distribution: expected one of constant, categorical, categorical_w_probabilities, int_uniform, uniform, q_uniform, log_uniform, log_uniform_values, q_log_uniform, q_log_uniform_values, inv_log_uniform, inv_log_uniform_values, normal, q_normal, log_normal, q_log_normal, beta, q_beta, zero_or_log, found "log_unifrom_values"; did you mean log_uniform_values?',
  ],
  [
    "parameter min above max",
    lr("{min: 0.2, max: 0.1}"),
    "11:34: parameters.learning_rate.max: expected a number > min (0.2), found 0.1",
  ],
  [
    "parameter min equals max",
    lr("{distribution: uniform, min: 0.1, max: 0.1}"),
    "11:57: parameters.learning_rate.max: expected a number > min (0.1), found 0.1",
  ],
  [
    "parameter log of zero",
    lr("{distribution: log_uniform_values, min: 0, max: 0.1}"),
    "11:58: parameters.learning_rate.min: expected a number > 0, found 0",
  ],
  [
    "parameter log of negative exponent out of reach",
    lr("{distribution: log_uniform, min: -800, max: 0.1}"),
    "11:51: parameters.learning_rate: log_uniform takes natural exponents; e^-800 to e^0.1 is out of reach; use log_uniform_values",
  ],
  [
    "parameter text bound",
    lr("{min: small, max: 0.1}"),
    '11:24: parameters.learning_rate.min: expected a number, found "small"',
  ],
  [
    "parameter negative",
    lr("{min: -0.1, max: 0.1}"),
    "11:18: parameters.learning_rate: expected numbers from 0 to 1000000, found a distribution that gives -0.1 to 0.1",
  ],
  [
    "parameter q zero",
    lr("{distribution: q_uniform, min: 0, max: 1, q: 0}"),
    "11:63: parameters.learning_rate.q: expected a number > 0, found 0",
  ],
  [
    "parameter q_uniform leaves range",
    param("dropout: {distribution: q_uniform, min: 0.1, max: 0.9, q: 0.5}"),
    "13:12: parameters.dropout: expected numbers from 0 to below 1, found a distribution that gives 0 to 1",
  ],
  [
    "parameter keys of another distribution",
    lr("{distribution: uniform, min: 0.1, max: 0.2, mu: 1}"),
    "11:62: parameters.learning_rate.mu: uniform takes min, max, found mu",
  ],
  [
    "parameter categorical with probabilities",
    lr("{distribution: categorical, values: [0.1], probabilities: [1]}"),
    "11:61: parameters.learning_rate.probabilities: categorical takes values, found probabilities; with probabilities the distribution is categorical_w_probabilities",
  ],
  [
    "parameter probabilities sum",
    lr("{values: [0.1, 0.2], probabilities: [0.5, 0.6]}"),
    "11:54: parameters.learning_rate.probabilities: expected a sum of 1, found 1.1",
  ],
  [
    "parameter probabilities length",
    lr("{values: [0.1, 0.2], probabilities: [1]}"),
    "11:54: parameters.learning_rate.probabilities: expected 2 probabilities, one a value, found 1",
  ],
  [
    "parameter no values",
    lr("{values: []}"),
    "11:27: parameters.learning_rate.values: expected a list of values that is not empty",
  ],
  [
    "parameter value twice",
    lr("{values: [0.1, 0.1]}"),
    "11:33: parameters.learning_rate.values[1]: 0.1 stands there twice",
  ],
  [
    "parameter value text",
    lr("{values: [fast, slow]}"),
    '11:18: parameters.learning_rate: expected numbers from 0 to 1000000, found "fast"',
  ],
  [
    "parameter value nothing",
    lr("{values: [0.1, ~]}"),
    "11:33: parameters.learning_rate.values[1]: expected a number, text or true/false, found nothing",
  ],
  [
    "parameter int of fractions",
    lr("{distribution: int_uniform, min: 0.5, max: 2}"),
    "11:51: parameters.learning_rate.min: expected a whole number, found 0.5",
  ],
  [
    "parameter sigma",
    lr("{distribution: normal, mu: 0.1, sigma: 0}"),
    "11:57: parameters.learning_rate.sigma: expected a number > 0, found 0",
  ],
  [
    "parameter normal outside",
    param("beta1: {distribution: constant, value: 2}"),
    "13:10: parameters.beta1: expected numbers from 0 to below 1, found 2",
  ],
  [
    "parameter p",
    param("label_smoothing: {distribution: zero_or_log, p: 2, min: 0.1, max: 0.2}"),
    "13:51: parameters.label_smoothing.p: expected a number >= 0 and <= 1, found 2",
  ],
  [
    "parameter no p",
    param("label_smoothing: {distribution: zero_or_log, min: 0.1, max: 0.2}"),
    "13:20: parameters.label_smoothing: zero_or_log needs p",
  ],
  [
    "parameter nested",
    param("model: {parameters: {learning_rate: {value: 1}}}"),
    "13:3: parameters.model: unknown parameter; the parameters here are learning_rate, l2, momentum, rho, beta1, beta2, epsilon, dropout, label_smoothing, schedule_factor, schedule_floor, schedule_warmup, flip, crop_padding, cutout, brightness, contrast, saturation, batch_size, epochs, optimizer",
  ],
  [
    "parameter nested in a known one",
    lr("{parameters: {x: {value: 1}}}"),
    "11:19: parameters.learning_rate.parameters: nested parameters mean nothing here; write them at the first level",
  ],
  [
    "batch size of fractions",
    sub("batch_size: 100\n", "").concat("  batch_size: {min: 10.0, max: 20.0}\n"),
    "12:15: parameters.batch_size: expected whole numbers from 1 to 55000, found uniform, which draws fractions (q: 1 makes them whole)",
  ],
  [
    "batch size too large",
    sub("batch_size: 100\n", "").concat("  batch_size: {values: [50, 100000]}\n"),
    "12:15: parameters.batch_size: expected whole numbers from 1 to 55000, found a distribution that gives 50 to 100000",
  ],
  [
    "batch size quantised to zero",
    sub("batch_size: 100\n", "").concat("  batch_size: {distribution: q_uniform, min: 10, max: 100, q: 32}\n"),
    "12:15: parameters.batch_size: expected whole numbers from 1 to 55000, found a distribution that gives 0 to 96",
  ],
  [
    "epochs text",
    sub("epochs: 3\n", "").concat("  epochs: {values: [few]}\n"),
    '12:11: parameters.epochs: expected whole numbers from 1 to 100000, found "few"',
  ],
  [
    "optimizer unknown",
    sub("optimizer: momentum\n", "").concat("  optimizer: {values: [adam, lion]}\n"),
    '12:14: parameters.optimizer: expected values out of sgd, momentum, rmsprop, adam, adamw, found "lion"',
  ],
  [
    "optimizer of numbers",
    sub("optimizer: momentum\n", "").concat("  optimizer: {min: 1, max: 3}\n"),
    "12:14: parameters.optimizer: expected values out of sgd, momentum, rmsprop, adam, adamw, found int_uniform",
  ],
  [
    "grid over the reals",
    sub("method: random\nrun_cap: 16", "method: grid"),
    "10:3: parameters.learning_rate: method grid cannot count the values of parameter learning_rate; expected constant, categorical without probabilities, int_uniform or q_uniform, found log_uniform",
  ],
  [
    "grid with probabilities",
    `${head.replace("random", "grid")}parameters:\n  l2: {values: [0, 1e-3], probabilities: [0.5, 0.5]}\n`,
    "11:3: parameters.l2: method grid cannot count the values of parameter l2; expected constant, categorical without probabilities, int_uniform or q_uniform, found categorical with probabilities",
  ],
  [
    "grid without end",
    `${head.replace("method: random\nrun_cap: 16\n", "method: grid\n")}parameters:\n  epsilon: {value: 1e-8}\n  l2: {min: 0, max: 999999}\n  label_smoothing: {values: [0, 0.1]}\n`,
    "8:9: method: the grid has 2000000 points; set run_cap (at most 1000000)",
  ],
];

describe("wrong parameters in sweep files", () => {
  it.each(wrong)("%s", (_what, text, message) => {
    const error = refusalOf(text);
    expect(error.message).toBe(`f.yaml:${message}`);
    expect(error.code).toBe("BAD_INPUT");
    expect(error.path).toMatch(/^f\.yaml:\d+:\d+$/);
  });
});
