/** Axes and colours: properties of every scale, and colours checked through CIELAB, which the code does not use. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { linearTicks, logTicks, makeAxis, rangeOf, tickLabel } from "../../dashboard/src/charts/axes.js";
import { colourScale, goodnessColour, type Rgb, viridis } from "../../dashboard/src/charts/color-map.js";

import { cellAt, heatMap, inkOn, SIDE, shortName } from "../../dashboard/src/charts/heat-map.js";

const positive = fc.double({ min: 1e-12, max: 1e12, noNaN: true });

describe("axes", () => {
  it("places values within the frame and in their order", () => {
    const values = fc.array(fc.oneof(positive, fc.constant(0)), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(values, fc.constantFrom("linear" as const, "log" as const), (list, wish) => {
        const axis = makeAxis(rangeOf(list), wish);
        if (axis === null) throw new Error("there are values");
        const sorted = [...list].sort((a, b) => a - b);
        const places = sorted.map((value) => axis.place(value) ?? Number.NaN);
        for (const [i, place] of places.entries()) {
          expect(place).toBeGreaterThanOrEqual(0);
          expect(place).toBeLessThanOrEqual(1);
          if (i > 0) expect(place).toBeGreaterThanOrEqual((places[i - 1] ?? 0) - 1e-12);
        }
        for (const tick of axis.ticks(6)) {
          expect(tick.at).toBeGreaterThanOrEqual(0);
          expect(tick.at).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it("gives equal room to equal factors on a logarithmic axis", () => {
    const axis = makeAxis(rangeOf([1e-5, 1e-1]), "log");
    const at = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1].map((value) => axis?.place(value) ?? Number.NaN);
    for (const i of [1, 2, 3]) {
      expect((at[i + 1] ?? 0) - (at[i] ?? 0)).toBeCloseTo((at[1] ?? 0) - (at[0] ?? 0), 12);
    }
    expect(axis?.breakAt).toBeNull();
    expect(axis?.place(0)).toBeNull();
    expect(axis?.place(-1)).toBeNull();
  });

  it("sets zeros of zero_or_log apart, beyond the break and below every positive value", () => {
    const axis = makeAxis(rangeOf([0, 1e-7, 1e-1]), "log");
    const zero = axis?.place(0) ?? Number.NaN;
    const low = axis?.place(1e-7) ?? Number.NaN;
    expect(zero).toBeLessThan(axis?.breakAt ?? 0);
    expect(axis?.breakAt).toBeLessThan(low);
    expect(axis?.ticks(9).map((tick) => tick.label)).toEqual([
      "0",
      "1e−7",
      "1e−6",
      "1e−5",
      "1e−4",
      "1e−3",
      "1e−2",
      "0.1",
    ]);
  });

  it("falls back to a linear axis for negative values, and to none for no value", () => {
    expect(makeAxis(rangeOf([-1, 10]), "log")?.kind).toBe("linear");
    expect(makeAxis(rangeOf([0, 0]), "log")?.kind).toBe("linear");
    expect(makeAxis(rangeOf([]), "log")).toBeNull();
    expect(makeAxis(rangeOf([Number.NaN, Number.POSITIVE_INFINITY]), "linear")).toBeNull();
    expect(makeAxis(rangeOf([3]), "linear")?.place(3)).toBeCloseTo(0.5, 9);
    expect(makeAxis(rangeOf([3]), "log")?.place(3)).toBeCloseTo(0.5, 9);
    const neighbours = [1e12, 1e12 + 2 ** -13];
    expect(makeAxis(rangeOf(neighbours), "log")?.place(1e12)).toBeCloseTo(0.5, 9);
  });

  it("writes round ticks", () => {
    expect(linearTicks(0, 1, 6)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearTicks(0.1, 0.37, 4)).toEqual([0.1, 0.2, 0.3]);
    expect(linearTicks(-30, 55, 6)).toEqual([-20, 0, 20, 40]);
    expect(linearTicks(5, 5, 3)).toEqual([5]);
    expect(logTicks(1e-5, 1e-1, 6)).toEqual([1e-5, 1e-4, 1e-3, 1e-2, 1e-1]);
    expect(logTicks(1e-8, 1, 5)).toEqual([1e-8, 1e-6, 1e-4, 1e-2, 1]);
    expect(logTicks(0.002, 0.03, 6)).toEqual([0.002, 0.005, 0.01, 0.02]);
    expect(["0", "0.02", "150", "1e−4", "2.5e−5", "1e5", "−0.5"]).toEqual(
      [0, 0.02, 150, 1e-4, 2.5e-5, 1e5, -0.5].map((value) => tickLabel(value)),
    );
  });

  it("never writes more linear ticks than asked for, nor two alike", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        positive,
        fc.integer({ min: 2, max: 12 }),
        (low, span, most) => {
          fc.pre(span > Math.abs(low) * 1e-6);
          const ticks = linearTicks(low, low + span, most);
          expect(ticks.length).toBeLessThanOrEqual(most);
          expect(new Set(ticks).size).toBe(ticks.length);
        },
      ),
    );
  });
});

/** CIE 1976 lightness, 0 .. 100, from sRGB (IEC 61966-2-1, D65). */
function lightness(colour: Rgb): number {
  const [r, g, b] = colour.map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const y = 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
  return y > 216 / 24389 ? 116 * Math.cbrt(y) - 16 : (y * 24389) / 27;
}

/** Contrast of WCAG 2 between two colours: 1 .. 21. */
function contrast(a: Rgb, b: Rgb): number {
  const luminance = (colour: Rgb) => {
    const l = lightness(colour);
    return l > 8 ? ((l + 16) / 116) ** 3 : (l * 27) / 24389;
  };
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

describe("colours", () => {
  it("passes through the published values of viridis", () => {
    // matplotlib, _cm_listed.py, entries 0, 128 (0.127568, 0.566949, 0.550556) and 255, in bytes.
    expect(viridis(0)).toEqual([68, 1, 84]);
    expect(viridis(1)).toEqual([253, 231, 37]);
    const middle = viridis(128 / 255);
    for (const [i, channel] of [33, 145, 140].entries()) {
      expect(Math.abs((middle[i] ?? 0) - channel)).toBeLessThanOrEqual(2);
    }
  });

  it("grows in lightness by nearly equal steps", () => {
    const steps = Array.from({ length: 33 }, (_, i) => lightness(viridis(i / 32)));
    const mean = ((steps[32] ?? 0) - (steps[0] ?? 0)) / 32;
    for (let i = 1; i < steps.length; i++) {
      const step = (steps[i] ?? 0) - (steps[i - 1] ?? 0);
      expect(step).toBeGreaterThan(0.5 * mean);
      expect(step).toBeLessThan(1.5 * mean);
    }
  });

  it("sets the best off most, on both grounds, and every result visibly", () => {
    for (const [theme, ground] of [
      ["light", [255, 255, 255]],
      ["dark", [21, 26, 33]],
    ] as const) {
      const all = Array.from({ length: 21 }, (_, i) => contrast(goodnessColour(i / 20, theme), ground));
      for (let i = 1; i < all.length; i++) expect(all[i]).toBeGreaterThan(all[i - 1] ?? 0);
      expect(all[20]).toBeGreaterThan(7);
      expect(all[0]).toBeGreaterThan(1.7);
    }
  });

  it("maps the objective with either goal", () => {
    expect(colourScale(0.2, 0.8)?.goodness(0.5)).toBeCloseTo(0.5, 12);
    expect(colourScale(2, 0.5)?.goodness(0.5)).toBe(1);
    expect(colourScale(2, 0.5)?.goodness(9)).toBe(0);
    expect(colourScale(1, 1)?.goodness(1)).toBe(1);
    expect(colourScale(null, 1)).toBeNull();
  });
});

describe("a confusion matrix as a picture", () => {
  const classes = ["airplane", "automobile", "bird"];
  const counts = [
    [90, 1, 0],
    [10, 0, 5],
    [0, 3, 95],
  ];
  const confusion = { version: 1, of: "validation", classes, counts } as const;

  it("has a cell for every count, rows predicted and columns actual, which a pointer finds again", () => {
    const map = heatMap(confusion, "light");
    expect(map.cells.map(({ predicted, actual, count }) => [predicted, actual, count])).toEqual([
      [0, 0, 90],
      [0, 1, 1],
      [1, 0, 10],
      [1, 2, 5],
      [2, 1, 3],
      [2, 2, 95],
    ]);
    for (const { predicted, actual, x, y } of map.cells) {
      expect(cellAt(map, 3, x + map.side / 2, y + map.side / 2)).toEqual({ predicted, actual });
      expect(x + map.side).toBeLessThanOrEqual(SIDE);
    }
    expect(cellAt(map, 3, map.left - 1, map.top + 1)).toBeNull();
    expect(cellAt(map, 3, map.left + 1, map.top - 1)).toBeNull();
    expect(cellAt(map, 3, SIDE + 1, map.top + 1)).toBeNull();
  });

  it.each(["light", "dark"] as const)(
    "lets a larger share of the actual class stand out more, on a %s page",
    (theme) => {
      const { cells } = heatMap(confusion, theme);
      const ground: Rgb = theme === "light" ? [248, 249, 251] : [26, 32, 41];
      const wrong = cells.flatMap((cell) => (cell.colour === null ? [] : [{ ...cell, colour: cell.colour }]));
      expect(cells.length - wrong.length).toBe(2);
      // 3 of 4, 1 of 4, 10 of 100, 5 of 100.
      const byShare = wrong.sort((a, b) => b.share - a.share);
      expect(byShare.map(({ share }) => share)).toEqual([0.75, 0.25, 0.1, 0.05]);
      const seen = byShare.map(({ colour }) => contrast(colour, ground));
      expect([...seen].sort((a, b) => b - a)).toEqual(seen);
      // WCAG 2, AA.
      for (const { colour } of wrong) {
        const ink: Rgb = inkOn(colour) === "#000" ? [0, 0, 0] : [255, 255, 255];
        expect(contrast(colour, ink)).toBeGreaterThan(4.5);
      }
    },
  );

  it("writes no number where there is no room, and not every name", () => {
    const many = Array.from({ length: 100 }, (_, i) => `class ${i}`);
    const crowded = many.map((_, i) => many.map((__, j) => (i === j ? 5 : 1)));
    const map = heatMap({ version: 1, of: "test", classes: many, counts: crowded }, "dark");
    expect(map.numbered).toBe(false);
    expect(map.everyName * map.step).toBeGreaterThanOrEqual(9);
    expect(heatMap(confusion, "dark").numbered).toBe(true);
    expect(shortName("n02123045 tabby, tabby cat")).toBe("n02123045 t…");
  });
});
