/** A device in the table of `workers`, as much as it says of itself. */
import { expect, it } from "vitest";
import { describeDevice } from "../../coordinator/cli/workers.js";

it("says what a device does, and nothing of what it does not say", () => {
  const gpu = { id: "cuda:0", lanes: 64 };
  const whole = {
    utilization: 0.874,
    memoryUsed: 9 * 2 ** 30,
    memoryTotal: 85_520_809_984,
    temperature: 61,
    power: 412.6,
  };
  expect(describeDevice({ ...gpu, use: whole })).toBe("cuda:0 64 lanes, 87 % busy, 9.00 GiB of 79.6 GiB, 61 °C, 413 W");
  expect(describeDevice({ ...gpu, use: { memoryUsed: 2 ** 20 } })).toBe("cuda:0 64 lanes, 1.00 MiB");
  expect(describeDevice({ id: "cpu", lanes: 2 })).toBe("cpu 2 lanes");
});
