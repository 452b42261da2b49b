/** The layer table of `plan`: the whole text of a small nested network, sums, and widths. */
import { expect, it } from "vitest";
import { layerTable } from "../../coordinator/cli/layer-table.js";
import { networks } from "../../native/networks/index.js";
import {
  batchNorm,
  branches,
  globalAvgPool,
  linear,
  maxPool,
  plainConv,
  relu,
  residual,
} from "../../native/networks/layers.js";
import { inferShapes } from "../../native/networks/shapes.js";

const small = [
  plainConv(4, 3, 2),
  residual([plainConv(4, 3), batchNorm]),
  branches([plainConv(2, 1)], [maxPool(3, 1, 1), residual([relu], [plainConv(4, 1)])]),
  globalAvgPool,
  linear(10),
];

it("prints layers within layers below them, and sums", () => {
  expect(layerTable(small, inferShapes(small, [3, 8, 8]), 80)).toEqual([
    "layer                   output  parameters  multiply-adds",
    "conv2d 3x3, stride 2x2   4x4x4         108          1,728",
    "residual                 4x4x4         152          2,304",
    "  body",
    "    conv2d 3x3           4x4x4         144          2,304",
    "    batch_norm           4x4x4           8              0",
    "  shortcut: the input",
    "branches                 6x4x4          24            384",
    "  branches[0]",
    "    conv2d 1x1           2x4x4           8            128",
    "  branches[1]",
    "    max_pool2d 3x3       4x4x4           0              0",
    "    residual             4x4x4          16            256",
    "      body",
    "        relu             4x4x4           0              0",
    "      shortcut",
    "        conv2d 1x1       4x4x4          16            256",
    "global_avg_pool2d            6           0              0",
    "linear                      10          70             60",
    "total                                  354          4,476",
  ]);
});

it.each(networks.map(({ name }) => name))("fits %s into 80 columns", (name) => {
  const entry = networks.find((one) => one.name === name);
  const summaries = inferShapes(entry?.layers ?? [], entry?.input ?? [1, 1, 1]);
  const lines = layerTable(entry?.layers ?? [], summaries, 80);
  expect(lines.length).toBeGreaterThan(summaries.length);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines[1]).toMatch(/^(conv2d [0-9]x[0-9]|conv_transpose2d [0-9]x[0-9]|flatten|rows_as_sequence|embedding) /);
});

it("leaves kernels out where they do not fit", () => {
  const lines = layerTable(small, inferShapes(small, [3, 8, 8]), 55);
  expect(lines[1]).toBe("conv2d                  4x4x4         108          1,728");
});
