/**
 * Follows one sweep from its feed to its end: live leaderboard on a terminal, plain lines elsewhere, JSON lines with
 * `--json`. Resolves with the summary when the sweep has ended or the feed closed.
 */
import type { FeedMessage, TrialRow } from "../../proto/feed.js";
import { formatDuration, formatMetric, formatParameter } from "./format.js";
import { liveView, progressLine } from "./live-view.js";
import type { Output } from "./output.js";
import { type SweepSummary, summarize } from "./summary.js";
import { applyFeedMessage, newSweepModel, type SweepModel } from "./sweep-model.js";

const REDRAW_MILLIS = 200;
const PLAIN_MILLIS = 10_000;

export interface Feed {
  /** Calls back for every message; the promise ends with the feed. */
  watch(listener: (message: FeedMessage) => void, signal: AbortSignal): Promise<void>;
}

export interface Followed {
  readonly summary: SweepSummary | null;
  /** `false`: the feed closed, or the caller asked to stop, before the sweep ended. */
  readonly ended: boolean;
}

export async function followSweep(id: number, feed: Feed, output: Output, signal: AbortSignal): Promise<Followed> {
  const model = newSweepModel(id);
  const finished = new AbortController();
  const screen = output.json
    ? jsonScreen(output)
    : output.columns === null
      ? plainScreen(output)
      : terminalScreen(output);
  const timer = setInterval(() => screen.tick(model), screen.everyMillis);
  let ended = false;
  try {
    await feed.watch(
      (message) => {
        const seen = applyFeedMessage(model, message);
        for (const report of seen.reports) screen.report(model, report);
        for (const trial of seen.ended) screen.ended(model, trial);
        const state = model.sweep?.state;
        if (state === "completed" || state === "cancelled" || state === "failed") {
          ended = true;
          finished.abort();
        }
      },
      AbortSignal.any([signal, finished.signal]),
    );
  } finally {
    clearInterval(timer);
    screen.tick(model);
    screen.close();
  }
  return { summary: summarize(model, Date.now()), ended };
}

interface Screen {
  readonly everyMillis: number;
  report(model: SweepModel, report: { readonly trial: string; readonly epoch: number; readonly metrics: object }): void;
  ended(model: SweepModel, trial: TrialRow): void;
  tick(model: SweepModel): void;
  close(): void;
}

function jsonScreen(output: Output): Screen {
  return {
    everyMillis: PLAIN_MILLIS,
    report: (_, report) =>
      output.data({ event: "report", trial: report.trial, epoch: report.epoch, metrics: report.metrics }),
    ended: (_, trial) =>
      output.data({
        event: "trial",
        trial: trial.id,
        state: trial.state,
        cause: trial.cause,
        best: trial.best,
        epoch: trial.epoch,
        parameters: trial.parameters,
      }),
    tick: (model) => {
      const sweep = model.sweep;
      if (sweep)
        output.data({ event: "progress", progress: sweep.progress, etaMillis: sweep.etaMillis, counts: sweep.counts });
    },
    close: () => undefined,
  };
}

function plainScreen(output: Output): Screen {
  let last = "";
  return {
    everyMillis: PLAIN_MILLIS,
    report: () => undefined,
    ended: (model, trial) => {
      const metric = model.sweep?.metric ?? "best";
      const parameters = Object.entries(trial.parameters).map(([name, value]) => `${name} ${formatParameter(value)}`);
      const took =
        trial.startedAt !== null && trial.endedAt !== null
          ? ` in ${formatDuration(trial.endedAt - trial.startedAt)}`
          : "";
      const cause = trial.cause === "" ? "" : ` (${trial.cause})`;
      output.line(
        `trial ${trial.id} ${trial.state}${cause}${took}: ${metric} ${formatMetric(trial.best)}, ${parameters.join(", ")}`,
      );
    },
    tick: (model) => {
      const text = progressLine(model, Date.now());
      if (text !== last) output.line(text);
      last = text;
    },
    close: () => undefined,
  };
}

function terminalScreen(output: Output): Screen {
  let drawn = 0;
  const erase = (): string => (drawn === 0 ? "" : `\r\u001b[${drawn}A\u001b[0J`);
  output.raw("\u001b[?25l");
  output.beforeNotice = () => {
    output.raw(erase());
    drawn = 0;
  };
  return {
    everyMillis: REDRAW_MILLIS,
    report: () => undefined,
    ended: () => undefined,
    tick: (model) => {
      const width = (output.columns ?? 80) - 1;
      const lines = liveView(model, Date.now(), width, Math.max(6, (output.rows ?? 24) - 3), output.paint);
      output.raw(`${erase()}${lines.join("\n")}\n`);
      drawn = lines.length;
    },
    close: () => {
      output.beforeNotice = null;
      output.raw("\u001b[?25h");
    },
  };
}
