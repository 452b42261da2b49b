/**
 * Wrong networks in sweep files and the exact message each earns: place, key path, what was expected, what was found,
 * and the nearest known word. One change to a right file a row.
 */
import { describe, expect, it } from "vitest";
import { networks } from "../../native/networks/index.js";
import { net, refusalOf, sub } from "./right-file.js";

const catalogue = networks.map(({ name }) => name);

/** What is wrong, the file, the message after `f.yaml:`. */
const wrong: readonly (readonly [string, string, string])[] = [
  [
    "network mistyped",
    sub("network: lenet", "network: lent"),
    `2:10: network: expected a name (${catalogue.join(", ")}) or a list of layers, found "lent"; did you mean lenet?`,
  ],
  [
    "network for another image",
    sub("dataset: mnist", "dataset: cifar10").replace("network: lenet", "network: [flatten, {linear: 9}]"),
    "2:10: network: expected the last layer to yield 10 values, one a class, found 9",
  ],
  [
    "network with no layers",
    sub("network: lenet", "network: []"),
    "2:10: network: expected a list of layers that is not empty",
  ],
  [
    "layer mistyped",
    net(["conv2: {filters: 4, kernel: 3}", "flatten", "linear: 10"]),
    "3:5: network[0].conv2: unknown operation; did you mean conv2d?",
  ],
  [
    "layer name mistyped",
    net(["flaten", "linear: 10"]),
    '3:5: network[0]: unknown operation "flaten"; did you mean flatten?',
  ],
  [
    "layer of two operations",
    net(["{relu: , tanh: }", "linear: 10"]),
    "3:5: network[0]: expected one operation a layer, found relu, tanh",
  ],
  [
    "layer attribute",
    net(["conv2d: {filter: 4, kernel: 3}"]),
    "3:14: network[0].conv2d.filter: unknown key; did you mean filters?",
  ],
  ["layer without kernel", net(["conv2d: {filters: 4}"]), "3:5: network[0].conv2d: conv2d needs kernel"],
  [
    "layer kernel zero",
    net(["conv2d: {filters: 4, kernel: 0}", "flatten", "linear: 10"]),
    "3:34: network[0].conv2d.kernel: expected a whole number >= 1 and <= 65536, found 0",
  ],
  [
    "layer kernel of three",
    net(["conv2d: {filters: 4, kernel: [3, 3, 3]}", "flatten", "linear: 10"]),
    "3:34: network[0].conv2d.kernel: expected a whole number or two (rows, columns), found a list of 3",
  ],
  [
    "layer kernel larger than image",
    net(["conv2d: {filters: 4, kernel: 29}", "flatten", "linear: 10"]),
    "3:5: network[0].kernel: expected at most the padded input of 1x28x28, found 29x29",
  ],
  [
    "layer padding",
    net(["conv2d: {filters: 4, kernel: 3, padding: sam}", "flatten", "linear: 10"]),
    '3:46: network[0].conv2d.padding: expected one of valid, same, found "sam"; did you mean same?',
  ],
  [
    "lstm without a sequence",
    net(["lstm: 8", "linear: 10"]),
    "3:5: network[0]: lstm needs a sequence (features x 1 x steps), found 1x28x28; put rows_as_sequence before it",
  ],
  [
    "linear before flatten",
    net(["conv2d: {filters: 4, kernel: 3}", "linear: 10"]),
    "4:5: network[1]: linear needs a flat input, found 4x26x26; put flatten before it",
  ],
  [
    "groups",
    net(["conv2d: {filters: 4, kernel: 3, groups: 3}", "flatten", "linear: 10"]),
    "3:5: network[0].groups: expected a divisor of 1 channels and 4 filters, found 3",
  ],
  [
    "conv2d with a number",
    net(["conv2d: 4"]),
    "3:13: network[0].conv2d: expected a mapping of filters, kernel, stride, padding, groups, bias, init, found 4",
  ],
  ["relu with a number", net(["relu: 4"]), "3:11: network[0].relu: expected nothing: it has no attributes, found 4"],
  [
    "dropout rate",
    net(["flatten", "dropout: 1", "linear: 10"]),
    "4:14: network[1].dropout.rate: expected a number >= 0 and < 1, found 1",
  ],
  [
    "init",
    net(["flatten", "linear: {units: 10, init: he}"]),
    '4:31: network[1].linear.init: expected one of he_normal, he_uniform, glorot_uniform, torch_uniform, dcgan_normal, found "he"',
  ],
  [
    "output padding",
    net(["conv_transpose2d: {filters: 4, kernel: 3, stride: 2, output_padding: 2}", "flatten", "linear: 10"]),
    "3:5: network[0].output_padding: expected less than the stride 2x2, found 2x2",
  ],
  [
    "padding of a transposed convolution by name",
    net(["conv_transpose2d: {filters: 4, kernel: 3, padding: same}", "flatten", "linear: 10"]),
    '3:56: network[0].conv_transpose2d.padding: expected a whole number >= 0 and <= 65536, found "same"',
  ],
  [
    "an adaptive pool without its output",
    net(["adaptive_avg_pool2d", "flatten", "linear: 10"]),
    "3:5: network[0]: adaptive_avg_pool2d needs output",
  ],
  [
    "an adaptive pool to nothing",
    net(["adaptive_max_pool2d: [2, 0]", "flatten", "linear: 10"]),
    "3:30: network[0].adaptive_max_pool2d.output[1]: expected a whole number >= 1 and <= 65536, found 0",
  ],
  [
    "an adaptive pool with a window",
    net(["adaptive_avg_pool2d: {size: 2}", "flatten", "linear: 10"]),
    "3:27: network[0].adaptive_avg_pool2d.size: unknown key; the keys here are output",
  ],
  [
    "reshape to another size",
    net(["reshape: {shape: [2, 20, 20]}", "flatten", "linear: 10"]),
    "3:5: network[0].shape: expected as many values as the input of 1x28x28 has, found 2x20x20",
  ],
  [
    "reshape to two numbers",
    net(["reshape: {shape: [2, 392]}", "flatten", "linear: 10"]),
    "3:22: network[0].reshape.shape: expected three whole numbers: channels, rows, columns, found a list of 2",
  ],
  [
    "residual whose sides differ",
    net(["residual: [{conv2d: {filters: 4, kernel: 3, padding: same}}]", "flatten", "linear: 10"]),
    "3:5: network[0].residual: expected a body that yields 1x28x28, as its shortcut does, found 4x28x28",
  ],
  [
    "residual's inner shape",
    net(["residual: {body: [relu, {conv2d: {filters: 1, kernel: 29}}]}", "flatten", "linear: 10"]),
    "3:29: network[0].residual.body[1].kernel: expected at most the padded input of 1x28x28, found 29x29",
  ],
  [
    "residual's inner attribute",
    net(["residual: {body: [relu], shortcut: [{conv2d: {filters: 0, kernel: 1}}]}", "flatten", "linear: 10"]),
    "3:60: network[0].residual.shortcut[0].conv2d.filters: expected a whole number >= 1 and <= 65536, found 0",
  ],
  [
    "residual in long form",
    net(["{op: residual, body: [{branches: [[{op: dropout, rate: 2}]]}]}", "flatten", "linear: 10"]),
    "3:60: network[0].residual.body[0].branches[0][0].rate: expected a number >= 0 and < 1, found 2",
  ],
  ["residual with nothing", net(["residual", "flatten", "linear: 10"]), "3:5: network[0]: residual needs body"],
  [
    "residual with an empty body",
    net(["residual: []", "flatten", "linear: 10"]),
    "3:15: network[0].residual.body: expected a list of layers that is not empty",
  ],
  [
    "residual mistyped",
    net(["residual: {boddy: [relu]}", "flatten", "linear: 10"]),
    "3:16: network[0].residual.boddy: unknown key; did you mean body?",
  ],
  [
    "branches that are layers",
    net(["branches: [relu, tanh]", "flatten", "linear: 10"]),
    '3:16: network[0].branches[0]: expected a list of layers, found "relu"',
  ],
  [
    "branches of different planes",
    net(["branches: [[], [relu], [{max_pool2d: 2}]]", "flatten", "linear: 10"]),
    "3:28: network[0].branches[2]: expected planes of 28x28, as the first branch's, found 14x14",
  ],
  [
    "branches with nothing",
    net(["branches:", "flatten", "linear: 10"]),
    "3:5: network[0].branches: branches needs lists of layers",
  ],
  [
    "lists within lists within lists",
    net([`${"residual: [{".repeat(9)}residual: [relu]${"}]".repeat(9)}`, "flatten", "linear: 10"]),
    `3:111: network[0]${".residual.body[0]".repeat(8)}.residual.body: expected at most 8 lists within lists, found a list of 1`,
  ],
  [
    "bias yes",
    net(["flatten", "linear: {units: 10, bias: yes}"]),
    '4:31: network[1].linear.bias: expected true or false, found "yes"; in YAML 1.2 write true',
  ],
];

describe("wrong networks in sweep files", () => {
  it.each(wrong)("%s", (_what, text, message) => {
    const error = refusalOf(text);
    expect(error.message).toBe(`f.yaml:${message}`);
    expect(error.code).toBe("BAD_INPUT");
    expect(error.path).toMatch(/^f\.yaml:\d+:\d+$/);
  });
});
