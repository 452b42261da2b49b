/**
 * The selected sweep in a few lines: what it is, how far, the best so far, how long still, trials by state.
 */
import type { SweepRow, TrialRow } from "../../../proto/feed.js";
import { rowAt } from "../feed/rows.js";
import {
  formatCount,
  formatDuration,
  formatLeft,
  formatMetric,
  formatParameter,
  formatPercent,
  NOTHING,
  plural,
} from "../format.js";
import type { Page } from "../page.js";
import { State } from "./state.js";

const STATES: readonly TrialRow["state"][] = [
  "running",
  "leased",
  "queued",
  "paused",
  "completed",
  "stopped",
  "failed",
  "lost",
  "cancelled",
];

const ENDED: readonly TrialRow["state"][] = ["completed", "stopped", "failed", "lost", "cancelled"];

export function SweepHeader({ page, sweep }: { readonly page: Page; readonly sweep: SweepRow }) {
  const ended = ENDED.reduce((sum, state) => sum + (sweep.counts[state] ?? 0), 0);
  const over = sweep.endedAt !== null;
  const elapsed = (sweep.endedAt ?? page.now.value) - sweep.createdAt;
  return (
    <section class="head" aria-label="Sweep">
      <div class="head-title">
        <h1>
          {sweep.name} <State state={sweep.state} title={sweep.cause} />
        </h1>
        <p class="quiet">
          Sweep {sweep.id} · {sweep.network} on {sweep.dataset} · {sweep.method}, seed {sweep.seed} ·{" "}
          {plural(sweep.epochs, "epoch")} a trial
          {over && sweep.cause !== "" ? ` · ended: ${sweep.cause}` : ""}
        </p>
      </div>
      <dl class="facts">
        <Best page={page} sweep={sweep} />
        <div>
          <dt>trials ended</dt>
          <dd>
            {formatCount(ended)}
            <small> of {formatCount(Math.max(sweep.runCap, ended))}</small>
          </dd>
        </div>
        <div>
          <dt>{over ? "took" : "elapsed"}</dt>
          <dd>{formatDuration(Math.max(0, elapsed))}</dd>
        </div>
        {!over && (
          <div>
            <dt>time left</dt>
            <dd>{sweep.etaMillis === null ? NOTHING : formatLeft(sweep.etaMillis)}</dd>
          </div>
        )}
      </dl>
      <div class="progress-line">
        <div
          class={`progress progress-${sweep.state}`}
          role="progressbar"
          aria-label="Epochs done"
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.floor(sweep.progress * 100)}
        >
          <i style={{ transform: `scaleX(${Math.min(1, Math.max(0, sweep.progress))})` }} />
        </div>
        <span class="number">{formatPercent(sweep.progress)}</span>
        <Counts page={page} sweep={sweep} />
      </div>
    </section>
  );
}

function Best({ page, sweep }: { readonly page: Page; readonly sweep: SweepRow }) {
  const best = sweep.best;
  const row = best === null ? undefined : rowAt(page.trials.value.rows, Number(best.trial.split("/")[1]));
  return (
    <div class="facts-best">
      <dt>
        best {sweep.metric}
        {sweep.target === null ? "" : ` (target ${formatMetric(sweep.target)})`}
      </dt>
      <dd>
        {formatMetric(best?.value ?? null)}
        {best !== null && (
          <small>
            {" "}
            <button type="button" class="link" onClick={() => (page.opened.value = best.trial)}>
              trial {best.trial}
            </button>
            {row !== undefined &&
              sweep.parameters.slice(0, 2).map(({ name }) => (
                <span class="fact-parameter" key={name}>
                  {name} <b>{formatParameter(row.parameters[name])}</b>
                </span>
              ))}
          </small>
        )}
      </dd>
    </div>
  );
}

function Counts({ page, sweep }: { readonly page: Page; readonly sweep: SweepRow }) {
  const filter = page.filterText.value.trim();
  return (
    <ul class="counts" aria-label="Trials by state">
      {STATES.filter((state) => (sweep.counts[state] ?? 0) > 0).map((state) => {
        const text = `state:${state}`;
        const on = filter === text;
        return (
          <li key={state}>
            <button
              type="button"
              class={`count state-${state}`}
              aria-pressed={on}
              title={on ? "Show all trials" : `Show only ${state} trials`}
              onClick={() => (page.filterText.value = on ? "" : text)}
            >
              <i class="dot" />
              {formatCount(sweep.counts[state] ?? 0)} {state}
            </button>
          </li>
        );
      })}
    </ul>
  );
}
