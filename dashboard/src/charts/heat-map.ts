/**
 * A confusion matrix as a picture: where cells and names stand, and the colour of each cell. Pure.
 *
 * The cells off the diagonal share the colours, by the share of the actual class's images that they are: the worst of them has
 * most contrast, and what is hardly ever confused is not drowned by what is right. The diagonal is drawn apart, in one quiet tone.
 */
import type { Confusion } from "../../../proto/confusion.js";
import { goodnessColour, type Rgb, type Theme } from "./color-map.js";

/** Units of the picture, which are pixels where it is not scaled. */
export const SIDE = 400;
const GAP = 1;
const LETTER = 6.2;
/** Room for names: so many letters beside the rows, above the columns. */
const LETTERS = 12;
/** A cell of fewer units has no room for its number. */
const NUMBERED = 22;
/** Names closer than this would run into each other. */
const LINE = 10;

export interface HeatCell {
  readonly predicted: number;
  readonly actual: number;
  readonly count: number;
  /** Of the images of the actual class: 0 .. 1. */
  readonly share: number;
  readonly x: number;
  readonly y: number;
  /** `null` on the diagonal. */
  readonly colour: Rgb | null;
}

export interface HeatMap {
  /** Where the cells begin. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** From one cell to the next, and what of it is drawn. */
  readonly step: number;
  readonly side: number;
  readonly numbered: boolean;
  /** Names stand on their side above the columns. */
  readonly upright: boolean;
  /** Every how many classes there is a name. */
  readonly everyName: number;
  /** Those that hold an image. */
  readonly cells: readonly HeatCell[];
}

export function heatMap({ classes, counts }: Confusion, theme: Theme): HeatMap {
  const longest = Math.min(LETTERS, Math.max(...classes.map(({ length }) => length)));
  const left = Math.ceil(longest * LETTER) + 6;
  const step = (SIDE - left) / classes.length;
  const upright = longest * LETTER > step - 2;
  const top = upright ? left : 16;
  const totals = classes.map((_, actual) => counts.reduce((sum, row) => sum + (row[actual] ?? 0), 0));
  const all = counts.flatMap((row, predicted) =>
    row.map((count, actual) => ({ predicted, actual, count, share: count / Math.max(1, totals[actual] ?? 0) })),
  );
  const worst = Math.max(...all.map(({ predicted, actual, share }) => (predicted === actual ? 0 : share)));
  return {
    left,
    top,
    width: SIDE,
    height: top + step * classes.length,
    step,
    side: Math.max(step - GAP, step / 2),
    numbered: step >= NUMBERED,
    upright,
    everyName: Math.max(1, Math.ceil(LINE / step)),
    cells: all
      .filter(({ count }) => count > 0)
      .map((cell) => ({
        ...cell,
        x: left + cell.actual * step,
        y: top + cell.predicted * step,
        colour: cell.predicted === cell.actual ? null : mistakeColour(cell.share / worst, theme),
      })),
  };
}

/** What lies under the cells: `--raised` of the style sheet. */
const GROUND: Readonly<Record<Theme, Rgb>> = { light: [248, 249, 251], dark: [26, 32, 41] };
/** How much of its colour the least mistake has. */
const FAINTEST = 0.2;

/** `share`: of the worst mistake. Its square root lets the small ones be seen; they fade into the ground. */
function mistakeColour(share: number, theme: Theme): Rgb {
  const strength = Math.sqrt(share);
  const weight = FAINTEST + (1 - FAINTEST) * strength;
  const full = goodnessColour(strength, theme);
  const mixed = (at: 0 | 1 | 2): number => Math.round(GROUND[theme][at] * (1 - weight) + full[at] * weight);
  return [mixed(0), mixed(1), mixed(2)];
}

/** Row and column at a place of the picture; `null` outside the cells. */
export function cellAt(
  { left, top, step }: HeatMap,
  classes: number,
  x: number,
  y: number,
): { readonly predicted: number; readonly actual: number } | null {
  const [actual, predicted] = [Math.floor((x - left) / step), Math.floor((y - top) / step)];
  const inside = actual >= 0 && predicted >= 0 && actual < classes && predicted < classes;
  return inside ? { predicted, actual } : null;
}

/** Black or white, whichever is read better on it: WCAG 2's relative luminance. */
export function inkOn(colour: Rgb): string {
  const [r = 0, g = 0, b = 0] = colour.map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

export function shortName(name: string): string {
  return name.length <= LETTERS ? name : `${name.slice(0, LETTERS - 1).trimEnd()}…`;
}
