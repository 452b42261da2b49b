/**
 * Where the command line writes: results to standard output, everything else to standard error.
 *
 * Guarantees: with `json` every line on standard output is one JSON value; colour only on a terminal that wants it
 * (NO_COLOR respected); a reader that closes the pipe early ends the program quietly. Not here: what is said.
 */

export interface Output {
  readonly json: boolean;
  /** Columns of the terminal; `null` when standard output is not one. */
  readonly columns: number | null;
  readonly rows: number | null;
  /** A line for people; nothing with `json`. */
  line(text?: string): void;
  /** Text as it is, for redrawing; nothing with `json`. */
  raw(text: string): void;
  /** One JSON value a line. */
  data(value: unknown): void;
  /** To standard error, in both modes. */
  notice(text: string): void;
  /** Called before every notice, so that what is redrawn in place makes room for it; `null` ends that. */
  beforeNotice: (() => void) | null;
  readonly paint: Paint;
}

export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  red(text: string): string;
  cyan(text: string): string;
}

const codes = {
  bold: [1, 22],
  dim: [2, 22],
  green: [32, 39],
  yellow: [33, 39],
  red: [31, 39],
  cyan: [36, 39],
} as const;

export function makePaint(colour: boolean): Paint {
  const wrap = (name: keyof typeof codes) => (text: string) =>
    colour ? `\u001b[${codes[name][0]}m${text}\u001b[${codes[name][1]}m` : text;
  return {
    bold: wrap("bold"),
    dim: wrap("dim"),
    green: wrap("green"),
    yellow: wrap("yellow"),
    red: wrap("red"),
    cyan: wrap("cyan"),
  };
}

/** A reader that has seen enough (`| head`) ends the program quietly. */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

export function makeOutput(json: boolean): Output {
  const out = process.stdout;
  const terminal = out.isTTY === true && process.env["TERM"] !== "dumb";
  const output: Output = {
    json,
    beforeNotice: null,
    get columns() {
      return terminal ? (out.columns ?? 80) : null;
    },
    get rows() {
      return terminal ? (out.rows ?? 24) : null;
    },
    line: (text = "") => void (json || out.write(`${text}\n`)),
    raw: (text) => void (json || out.write(text)),
    data: (value) => void out.write(`${JSON.stringify(value)}\n`),
    notice: (text) => {
      output.beforeNotice?.();
      process.stderr.write(`${text}\n`);
    },
    // As no-color.org has it: set and not empty.
    paint: makePaint(terminal && !process.env["NO_COLOR"]),
  };
  return output;
}
