import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  csvCell,
  formatBar,
  formatBytes,
  formatDuration,
  formatMetric,
  formatNumber,
  formatTable,
} from "../../coordinator/cli/format.js";

describe("formatNumber", () => {
  it.each([
    [0, "0"],
    [12, "12"],
    [0.5, "0.5"],
    [0.0123456, "0.01235"],
    [1e-5, "1.00e-5"],
    [123456.789, "123500"],
    [2.5e9, "2.50e9"],
    [Number.NaN, "nan"],
    [Number.NEGATIVE_INFINITY, "-inf"],
  ])("%d is %s", (value, text) => expect(formatNumber(value)).toBe(text));

  it("reads back within half a unit of the fourth (small: third) digit", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-300, max: 1e300 }), (value) => {
        expect(Math.abs(Number(formatNumber(value)) - value) / value).toBeLessThanOrEqual(5.01e-3);
      }),
    );
  });
});

describe("formatDuration", () => {
  it.each([
    [850, "850 ms"],
    [12_000, "12 s"],
    [200_000, "3 min 20 s"],
    [7_500_000, "2 h 05 min"],
    [273_600_000, "3 d 4 h"],
  ])("%d ms is %s", (value, text) => expect(formatDuration(value)).toBe(text));
});

describe("tables, bars, cells", () => {
  it("aligns every column on its widest cell", () => {
    const lines = formatTable(
      [
        { title: "a", align: "right" },
        { title: "name", align: "left" },
        { title: "x", align: "left" },
      ],
      [
        ["1", "long name", "y"],
        ["100", "b", "z"],
      ],
    );
    expect(lines).toEqual(["  a  name       x", "  1  long name  y", "100  b          z"]);
  });

  it("fills a bar to its share, never beyond its width", () => {
    expect(formatBar(0, 10)).toBe("░".repeat(10));
    expect(formatBar(1, 10)).toBe("█".repeat(10));
    expect(formatBar(0.5, 10)).toBe("█████░░░░░");
    fc.assert(
      fc.property(
        fc.double({ noNaN: true }),
        fc.integer({ min: 1, max: 60 }),
        (share, width) => formatBar(share, width).length === width,
      ),
    );
  });

  it("quotes CSV as RFC 4180 says", () => {
    expect(csvCell('say "a, b"')).toBe('"say ""a, b"""');
    expect(csvCell(null)).toBe("");
    expect(csvCell("plain")).toBe("plain");
  });

  it("writes metrics with four decimals and sizes in binary units", () => {
    expect(formatMetric(0.98765)).toBe("0.9877");
    expect(formatMetric("nan")).toBe("nan");
    expect(formatMetric(null)).toBe("-");
    expect(formatBytes(1536)).toBe("1.50 KiB");
    expect(formatBytes(25 * 1024 ** 3)).toBe("25.0 GiB");
  });
});
