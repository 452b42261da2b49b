/**
 * Shows how a download gets on: one line rewritten on a terminal, plain lines (start, each quarter, end) elsewhere.
 *
 * Does not know what is downloaded.
 */

export interface Meter {
  show(file: string, received: number, total: number): void;
  /** A line of its own. */
  say(text: string): void;
  /** Leaves the line. */
  end(): void;
}

/** `9.9 MB`; decimal units, as publishers and disks count. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

const REDRAW_MILLIS = 100;

export function meter(write: (text: string) => void, terminal: boolean, now: () => number): Meter {
  let file = "";
  let started = 0;
  let first = 0;
  let drawn = Number.NEGATIVE_INFINITY;
  let quarter = 0;
  let open = false;
  const leave = (): void => {
    if (open) write("\n");
    open = false;
  };
  return {
    show(name, received, total) {
      if (name !== file || received < first) {
        leave();
        file = name;
        started = now();
        first = received;
        quarter = -1;
        drawn = Number.NEGATIVE_INFINITY;
      }
      const percent = Math.floor((100 * received) / total);
      if (terminal) {
        if (received < total && now() - drawn < REDRAW_MILLIS) return;
        drawn = now();
        const rate = (received - first) / Math.max(0.001, (now() - started) / 1000);
        const left = rate > 0 ? `${Math.ceil((total - received) / rate)} s left` : "";
        write(`\r\u001b[K${name}  ${percent} %  ${size(received)} of ${size(total)}  ${size(rate)}/s  ${left}`);
        open = true;
      } else if (Math.floor(percent / 25) > quarter) {
        quarter = Math.floor(percent / 25);
        write(`${name}: ${percent} % (${size(received)} of ${size(total)})\n`);
      }
    },
    say(text) {
      leave();
      write(`${text}\n`);
    },
    end: leave,
  };
}
