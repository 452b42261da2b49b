/** Durations as people type them: `90`, `90s`, `30m`, `2h`, `1d`; milliseconds. */
import { ConvsweepError } from "../../proto/contract.js";

const UNITS: Readonly<Record<string, number>> = { "": 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function parseDuration(option: string): (text: string) => number {
  return (text) => {
    const match = /^([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)$/.exec(text.trim());
    const unit = UNITS[match?.[2] ?? "?"];
    if (!match || unit === undefined) {
      throw new ConvsweepError(
        "BAD_INPUT",
        `${option}: expected a duration such as 90s, 30m or 2h, found \`${text}\``,
        {
          path: option,
          expected: "a duration",
          found: text,
        },
      );
    }
    return Math.round(Number(match[1]) * unit);
  };
}
