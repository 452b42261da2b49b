/** What a terminal shows while a sweep is followed, replayed on a screen of our own. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { followSweep } from "../../coordinator/cli/follow.js";
import { makePaint, type Output } from "../../coordinator/cli/output.js";
import type { FeedMessage } from "../../proto/feed.js";
import { sweepRow, trialRow } from "../dashboard/rows.js";

const SEQUENCE = new RegExp(`${String.fromCharCode(27)}\\[(?:(\\d+)A|([0-9?]*[a-zA-Z]))|([\\s\\S])`, "g");

/** A terminal that knows what the live view uses: text, new lines, up, return, clear below. */
class Screen {
  lines: string[] = [""];
  private row = 0;
  private column = 0;

  write(text: string): void {
    for (const [, up, code, character = ""] of text.matchAll(SEQUENCE)) {
      if (up !== undefined) this.row = Math.max(0, this.row - Number(up));
      else if (code === "0J") this.clearBelow();
      else if (code === undefined) this.put(character);
    }
  }

  private put(character: string): void {
    if (character === "\r") this.column = 0;
    else if (character === "\n") {
      this.row += 1;
      this.column = 0;
      this.lines[this.row] ??= "";
    } else {
      const line = (this.lines[this.row] ?? "").padEnd(this.column);
      this.lines[this.row] = line.slice(0, this.column) + character + line.slice(this.column + 1);
      this.column += 1;
    }
  }

  private clearBelow(): void {
    this.lines[this.row] = (this.lines[this.row] ?? "").slice(0, this.column);
    this.lines.length = this.row + 1;
  }
}

function terminal(screen: Screen, columns: number): Output {
  const output: Output = {
    json: false,
    columns,
    rows: 24,
    beforeNotice: null,
    line: (text = "") => screen.write(`${text}\n`),
    raw: (text) => screen.write(text),
    data: () => undefined,
    notice: (text) => {
      output.beforeNotice?.();
      screen.write(`${text}\n`);
    },
    paint: makePaint(false),
  };
  return output;
}

const trial = (number: number, best: number) => trialRow(1, number, { best, bestEpoch: 1, epoch: 1, state: "running" });

const snapshot: FeedMessage = {
  kind: "snapshot",
  feed: "f",
  seq: 1,
  version: "0",
  rest: 0,
  sweeps: [sweepRow(1, { state: "running", name: "s" })],
  trials: [trial(0, 0.9), trial(1, 0.8)],
  workers: [],
};

async function follow(columns: number, during: (output: Output) => void): Promise<readonly string[]> {
  const screen = new Screen();
  const output = terminal(screen, columns);
  const stop = new AbortController();
  const feed = {
    watch: async (listener: (message: FeedMessage) => void): Promise<void> => {
      listener(snapshot);
      // Long enough for the view to be drawn more than once before and after what happens.
      await vi.advanceTimersByTimeAsync(1_000);
      during(output);
      await vi.advanceTimersByTimeAsync(1_000);
      stop.abort();
    },
  };
  await followSweep(1, feed, output, stop.signal);
  return screen.lines;
}

describe("the live view of a terminal", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("is drawn in one place, and makes room for notices and for the ^C that the terminal echoes", async () => {
    const lines = await follow(120, (output) => {
      output.raw("^C");
      output.notice("pausing the sweep");
    });
    expect(lines[0]).toBe("pausing the sweep");
    expect(lines.filter((line) => line.includes("gone"))).toHaveLength(1);
    expect(lines.filter((line) => /1\/[01]/.test(line) && line.includes("running"))).toHaveLength(2);
  });

  it("fits a narrow terminal: no line is longer, the rank goes before the state", async () => {
    const lines = await follow(60, () => undefined);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(60);
    expect(lines.some((line) => line.startsWith("trial"))).toBe(true);
  });
});
