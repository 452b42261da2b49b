/** The first layer's filters, drawn: where each weight's square stands and how bright it is. */
import { decode } from "fast-png";
import { expect, it } from "vitest";
import { drawFilters } from "../../worker/pictures/filters.js";

it("draws a filter each, black for minus the largest weight, white for the largest", () => {
  // Three filters of one weight: two in the first row, one in the second; a gap of 2 around squares of 8.
  const tensors = [
    { name: "0.conv2d.weight", shape: [3, 1, 1, 1] },
    { name: "0.conv2d.bias", shape: [3] },
  ];
  const png = drawFilters({ tensors, data: Float32Array.of(-2, 2, 0, 9, 9, 9) });
  if (png === null) throw new Error("nothing drawn");
  const { width, height, channels, data } = decode(png);
  expect([width, height, channels]).toEqual([22, 22, 1]);
  const at = (x: number, y: number): number | undefined => data[y * width + x];
  expect([at(2, 2), at(9, 9), at(12, 2), at(19, 9), at(2, 12)]).toEqual([0, 0, 255, 255, 128]);
});

it("draws nothing of other first layers", () => {
  const of = (name: string, shape: number[]) => drawFilters({ tensors: [{ name, shape }], data: new Float32Array(8) });
  expect(of("1.linear.weight", [2, 4])).toBeNull();
  expect(of("0.conv2d.weight", [2, 4, 1, 1])).toBeNull();
  expect(drawFilters({ tensors: [], data: new Float32Array(0) })).toBeNull();
});
