/** Texts of numbers and times, each worked out by hand. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatAgo,
  formatClock,
  formatCount,
  formatDuration,
  formatLeft,
  formatMetric,
  formatParameter,
  formatPercent,
  formatUse,
  plural,
} from "../../dashboard/src/format.js";

describe("format", () => {
  it("metrics", () => {
    const cases: readonly (readonly [Parameters<typeof formatMetric>[0], string])[] = [
      [0.98714, "0.9871"],
      [0, "0"],
      [-0.5, "−0.5000"],
      [0.00012345, "1.23e−4"],
      [12.3456, "12.35"],
      [9876.5, "9,877"],
      [12_345_678, "1.23e7"],
      ["nan", "NaN"],
      ["inf", "∞"],
      ["-inf", "−∞"],
      [null, "–"],
      [undefined, "–"],
    ];
    for (const [value, text] of cases) expect(formatMetric(value)).toBe(text);
  });

  it("what a device says of itself, as much as it says", () => {
    const use = (said: Parameters<typeof formatUse>[0]) => formatUse(said).replaceAll("\u00a0", " ");
    const nothing = { utilization: null, memoryUsed: null, memoryTotal: null, temperature: null, power: null };
    const whole = {
      utilization: 0.879,
      memoryUsed: 9 * 2 ** 30,
      memoryTotal: 85_520_809_984,
      temperature: 61.4,
      power: 412.345,
    };
    expect(use(whole)).toBe("87 % busy · 9.0 of 79.6 GiB · 61 °C · 412 W");
    expect(use({ ...nothing, utilization: 1, memoryUsed: 2 ** 29 })).toBe("100 % busy · 0.5 GiB");
    expect(use({ ...nothing, temperature: -3 })).toBe("−3 °C");
    expect(use(nothing)).toBe("");
    // Words that belong together stay on one line.
    expect(formatUse(whole).split(" ")).toHaveLength(7);
  });

  it("parameters", () => {
    const cases: readonly (readonly [Parameters<typeof formatParameter>[0], string])[] = [
      [64, "64"],
      [0.000316227766, "3.16e−4"],
      [0.0123456, "0.0123"],
      [0.5, "0.5"],
      [-3, "−3"],
      ["adam", "adam"],
      [true, "true"],
      [undefined, "–"],
    ];
    for (const [value, text] of cases) expect(formatParameter(value)).toBe(text);
  });

  it("times", () => {
    const cases: readonly (readonly [number | null, string])[] = [
      [400, "0.4 s"],
      [9_940, "9.9 s"],
      [9_960, "10 s"],
      [59_400, "59 s"],
      [59_600, "1 min 00 s"],
      [185_000, "3 min 05 s"],
      [3_599_600, "1 h 00 min"],
      [7_440_000, "2 h 04 min"],
      [273_600_000, "3 d 04 h"],
      [-5, "0.0 s"],
      [null, "–"],
    ];
    for (const [millis, text] of cases) expect(formatDuration(millis)).toBe(text);
    expect([3_000, 12_000, 95_000, 700_000, null].map(formatLeft)).toEqual([
      "a few seconds",
      "≈ 15 s",
      "≈ 2 min",
      "≈ 12 min",
      "–",
    ]);
    expect(formatAgo(10_000, 11_000)).toBe("now");
    expect(formatAgo(10_000, 17_000)).toBe("7 s ago");
    expect(formatAgo(20_000, 10_000)).toBe("now");
    const noon = new Date(2026, 4, 3, 12, 4, 5).getTime();
    expect(formatClock(noon, noon + 1000)).toBe("12:04:05");
    expect(formatClock(noon, noon + 86_400_000)).toBe("2026-05-03 12:04:05");
  });

  it("never writes 60 of a smaller unit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 400_000_000 }), (millis) => {
        expect(formatDuration(millis)).not.toMatch(/\b60 (s|min)|\b24 h/);
      }),
    );
  });

  it("counts and shares", () => {
    expect(formatCount(1_234_567)).toBe("1,234,567");
    expect([0, 0.999, 1, 1.2, -1].map(formatPercent)).toEqual(["0 %", "99 %", "100 %", "100 %", "0 %"]);
    expect(plural(1, "trial")).toBe("1 trial");
    expect(plural(10_000, "trial")).toBe("10,000 trials");
  });
});
