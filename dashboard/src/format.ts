/**
 * Numbers and times as people read them. Pure; every text is at most about ten characters, so that columns hold.
 *
 * Not here: rounding for anything but display.
 */
import type { DeviceUseRow, FeedMetric } from "../../proto/feed.js";

export const NOTHING = "–";

/** A metric: four decimals below 10, fewer above, an exponent where that says nothing. */
export function formatMetric(value: FeedMetric | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  if (value === "nan") return "NaN";
  if (value === "inf") return "∞";
  if (value === "-inf") return "−∞";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 1e-3 || size >= 1e6) return exponent(value, 3);
  if (size < 10) return minus(value.toFixed(4));
  if (size < 1e3) return minus(value.toFixed(2));
  return minus(grouped(Math.round(value)));
}

/** A parameter: three significant digits, whole numbers as they are. */
export function formatParameter(value: number | string | boolean | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return formatMetric(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return minus(String(value));
  if (size < 1e-2 || size >= 1e6) return exponent(value, 3);
  return minus(String(Number(value.toPrecision(3))));
}

export function formatCount(value: number): string {
  return minus(grouped(Math.round(value)));
}

/** Whole percent; 100 only when nothing is missing. */
export function formatPercent(share: number): string {
  const percent = Math.min(1, Math.max(0, share)) * 100;
  return `${percent < 100 ? Math.floor(percent) : 100} %`;
}

/** What a device says of itself, on one line: `87 % busy · 9.0 of 79.6 GiB · 61 °C · 412 W`. */
export function formatUse({ utilization, memoryUsed, memoryTotal, temperature, power }: DeviceUseRow): string {
  const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  return (
    [
      utilization === null ? [] : [`${formatPercent(utilization)} busy`],
      memoryUsed === null
        ? []
        : [`${gibibytes(memoryUsed)}${memoryTotal === null ? "" : ` of ${gibibytes(memoryTotal)}`} GiB`],
      temperature === null ? [] : [minus(`${Math.round(temperature)} °C`)],
      power === null ? [] : [`${Math.round(power)} W`],
    ]
      .flat()
      // A line breaks between two of them, not within one.
      .map((part) => part.replaceAll(" ", "\u00a0"))
      .join(" · ")
  );
}

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 04 min`, `3 d 04 h`. */
export function formatDuration(millis: number | null): string {
  if (millis === null || !Number.isFinite(millis)) return NOTHING;
  const seconds = Math.max(0, millis) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

/** Time left, in steps as coarse as the estimate is. */
export function formatLeft(millis: number | null): string {
  if (millis === null || !Number.isFinite(millis)) return NOTHING;
  const seconds = Math.max(0, millis) / 1000;
  if (seconds < 10) return "a few seconds";
  if (seconds < 55) return `≈ ${Math.ceil(seconds / 5) * 5} s`;
  if (seconds < 600) return `≈ ${Math.ceil(seconds / 30) / 2} min`;
  return `≈ ${formatDuration(Math.ceil(seconds / 60) * 60_000).replace(/ 00 s$/, "")}`;
}

export function formatAgo(then: number, now: number): string {
  const millis = Math.max(0, now - then);
  return millis < 2_000 ? "now" : `${formatDuration(Math.round(millis / 1000) * 1000).replace(".0", "")} ago`;
}

/** Local clock: `14:03:59`, with the date when that is not today. */
export function formatClock(at: number, now: number): string {
  const date = new Date(at);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) return clock;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}`;
}

/** `1 trial`, `12 trials`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function exponent(value: number, digits: number): string {
  const [mantissa = "", power = ""] = value.toExponential(digits - 1).split("e");
  return minus(`${mantissa}e${power.replace("+", "")}`);
}

function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

function minus(text: string): string {
  return text.replace(/^-/, "−").replace("e-", "e−");
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
