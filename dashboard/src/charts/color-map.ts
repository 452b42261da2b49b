/**
 * Colours for numbers: viridis, by nine of its published values joined in OKLab, so that equal steps look equal and
 * lightness only grows. It reads the same in grey and for the common colour blindnesses.
 *
 * `goodness` runs from 0 (worst) to 1 (best); the best has most contrast with the page: bright on dark, dark on light.
 */

export type Rgb = readonly [number, number, number];

const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"];

const ANCHORS = VIRIDIS.map((hex) =>
  toOklab([0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb),
);

/** Colour at `t` in 0 .. 1; outside, the nearest end. 8 bits a channel. */
export function viridis(t: number): Rgb {
  const place = Math.min(1, Math.max(0, t)) * (ANCHORS.length - 1);
  const left = Math.min(ANCHORS.length - 2, Math.floor(place));
  const share = place - left;
  const a = ANCHORS[left] ?? [0, 0, 0];
  const b = ANCHORS[left + 1] ?? a;
  return fromOklab([a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share]);
}

export type Theme = "light" | "dark";

/** The palest part is left out on white, the darkest on black. */
export function goodnessColour(goodness: number, theme: Theme): Rgb {
  return viridis(theme === "light" ? 0.8 - 0.8 * goodness : 0.25 + 0.75 * goodness);
}

export function css(colour: Rgb, alpha = 1): string {
  return alpha === 1 ? `rgb(${colour.join(" ")})` : `rgb(${colour.join(" ")} / ${alpha})`;
}

/** From objective values to colours: `worst` and everything below it is 0, `best` is 1. */
export interface ColourScale {
  readonly worst: number;
  readonly best: number;
  goodness(value: number): number;
}

/** `null` when there is nothing to tell apart yet. */
export function colourScale(worst: number | null, best: number | null): ColourScale | null {
  if (worst === null || best === null) return null;
  const span = best - worst;
  return {
    worst,
    best,
    goodness: (value) => (span === 0 ? 1 : Math.min(1, Math.max(0, (value - worst) / span))),
  };
}

function toLinear(channel: number): number {
  const c = channel / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
}

function toByte(linear: number): number {
  const c = linear <= 0.0031308 ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.round(Math.min(1, Math.max(0, c)) * 255);
}

/** Bjoern Ottosson, "A perceptual color space for image processing", 2020. */
function toOklab(rgb: Rgb): Rgb {
  const [r, g, b] = [toLinear(rgb[0]), toLinear(rgb[1]), toLinear(rgb[2])];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab(lab: Rgb): Rgb {
  const l = (lab[0] + 0.3963377774 * lab[1] + 0.2158037573 * lab[2]) ** 3;
  const m = (lab[0] - 0.1055613458 * lab[1] - 0.0638541728 * lab[2]) ** 3;
  const s = (lab[0] - 0.0894841775 * lab[1] - 1.291485548 * lab[2]) ** 3;
  return [
    toByte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    toByte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    toByte(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}
