/**
 * Everything about one trial, over the charts: parameters, metrics by epoch, attempts, what happened. Follows the trial
 * while it runs. Escape closes it.
 */
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { TrialRow } from "../../../proto/feed.js";
import { css, goodnessColour } from "../charts/color-map.js";
import { Curves } from "../charts/curves.js";
import { getJson } from "../feed/browser.js";
import { metricPoints } from "../feed/curves.js";
import { readDetails, type TrialDetails } from "../feed/details.js";
import { rowAt } from "../feed/rows.js";
import { formatClock, formatDuration, formatMetric, formatParameter, plural } from "../format.js";
import type { Page } from "../page.js";
import { where } from "../table.js";
import { Artifacts } from "./artifacts.js";
import { State } from "./state.js";

interface Fetched {
  readonly trial: string;
  readonly details: TrialDetails | null;
  readonly problem: string;
}

export function TrialPanel({ page }: { readonly page: Page }) {
  const fetched = useSignal<Fetched | null>(null);
  const row = useComputed(() => {
    const id = page.opened.value;
    if (id === null || !id.startsWith(`${page.sweep.value?.id}/`)) return null;
    return rowAt(page.trials.value.rows, Number(id.split("/")[1])) ?? null;
  });
  // What makes the details old: another trial, a new epoch, another state.
  const edition = useComputed(() => {
    const trial = row.value;
    return trial === null ? "" : `${trial.id} ${trial.epoch} ${trial.state} ${trial.attempts}`;
  });
  useSignalEffect(() => {
    if (edition.value === "") return;
    const trial = row.peek();
    if (trial === null) return;
    let wanted = true;
    const known = fetched.peek()?.trial === trial.id;
    // Arrow keys pass many trials, and epochs may be short: only what stays for a moment is asked for.
    const timer = setTimeout(
      () => {
        void getJson(`/api/trials/${trial.id}`)
          .then((answer) => ({ trial: trial.id, details: readDetails(answer, trial), problem: "" }))
          .catch((error: unknown) => ({
            trial: trial.id,
            details: fetched.peek()?.trial === trial.id ? (fetched.peek()?.details ?? null) : null,
            problem: error instanceof Error ? error.message : String(error),
          }))
          .then((next) => {
            if (wanted) fetched.value = next;
          });
      },
      known ? 500 : 60,
    );
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape") page.opened.value = null;
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const trial = row.value;
  if (trial === null) return null;
  const current = fetched.value?.trial === trial.id ? fetched.value : null;
  return (
    <aside class="panel trial" aria-label={`Trial ${trial.id}`}>
      <div class="panel-head">
        <h2>Trial {trial.id}</h2>
        <State state={trial.state} title={trial.cause} />
        <button
          type="button"
          class="close"
          aria-label="Close"
          title="Close (Escape)"
          onClick={() => (page.opened.value = null)}
        >
          ✕
        </button>
      </div>
      <div class="trial-body">
        {trial.cause !== "" && <p class={trial.state === "failed" ? "cause bad" : "cause"}>{trial.cause}</p>}
        <Summary page={page} trial={trial} />
        <h3>Parameters</h3>
        <dl class="pairs">
          {Object.entries(trial.parameters).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd title={String(value)}>{typeof value === "number" ? precise(value) : formatParameter(value)}</dd>
            </div>
          ))}
        </dl>
        {current?.problem ? <p class="problem">The details could not be fetched: {current.problem}</p> : null}
        {current === null && <p class="quiet">Fetching reports…</p>}
        {current?.details && <Details page={page} trial={trial} details={current.details} />}
      </div>
    </aside>
  );
}

function Summary({ page, trial }: { readonly page: Page; readonly trial: TrialRow }) {
  const sweep = page.sweep.value;
  const place = page.trials.value.place[trial.number] ?? -1;
  const end = trial.endedAt ?? (trial.state === "running" ? page.now.value : null);
  const pairs: readonly (readonly [string, string])[] = [
    ["best", `${formatMetric(trial.best)}${trial.bestEpoch === null ? "" : ` @${trial.bestEpoch}`}`],
    ["rank", place >= 0 && place < page.trials.value.ranked ? `${place + 1} of ${page.trials.value.ranked}` : "none"],
    ["epochs", `${trial.epoch} of ${sweep?.epochs ?? 0}`],
    ["time", formatDuration(trial.startedAt === null || end === null ? null : Math.max(0, end - trial.startedAt))],
    ["device", where(trial) ?? "none yet"],
    ["origin", trial.attempts > 1 ? `${trial.origin}, ${plural(trial.attempts, "attempt")}` : trial.origin],
  ];
  return (
    <dl class="pairs">
      {pairs.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Details({
  page,
  trial,
  details,
}: {
  readonly page: Page;
  readonly trial: TrialRow;
  readonly details: TrialDetails;
}) {
  const metric = page.sweep.value?.metric ?? "";
  const names = [...new Set([metric, ...details.reports.flatMap((report) => Object.keys(report.metrics))])];
  const scale = page.colours.value;
  const colour = css(
    goodnessColour(scale === null || trial.best === null ? 0.5 : scale.goodness(trial.best), page.theme.value),
  );
  const points = metricPoints(details.reports, metric);
  const now = page.now.value;
  return (
    <>
      {points.filter((point) => point.value !== null).length > 1 && (
        <div class="trial-chart">
          <Curves
            curves={[{ id: trial.id, colour, width: 2, points }]}
            highlighted={null}
            theme={page.theme.value}
            label={`${metric} of trial ${trial.id} by epoch`}
            onHover={() => undefined}
            onOpen={() => undefined}
          />
        </div>
      )}
      <Artifacts key={trial.id} artifacts={details.artifacts} theme={page.theme.value} />
      <h3>Metrics by epoch</h3>
      {details.reports.length === 0 ? (
        <p class="quiet">No epoch is done yet.</p>
      ) : (
        <div class="wide">
          <table class="reports">
            <thead>
              <tr>
                <th scope="col">epoch</th>
                {names.map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {details.reports.toReversed().map((report) => (
                <tr key={report.epoch} class={report.epoch === trial.bestEpoch ? "best-epoch" : ""}>
                  <th scope="row">{report.epoch}</th>
                  {names.map((name) => (
                    <td key={name}>{formatMetric(report.metrics[name])}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {details.attempts.length > 0 && (
        <>
          <h3>Attempts</h3>
          <ul class="lines">
            {details.attempts.map((attempt) => (
              <li key={attempt.name}>
                <b>{attempt.name}</b> {attempt.state} <span class="quiet">{attempt.where}</span>
                {attempt.startedAt !== null && <span class="quiet"> from {formatClock(attempt.startedAt, now)}</span>}
                {attempt.endedAt !== null && <span class="quiet"> to {formatClock(attempt.endedAt, now)}</span>}
                {attempt.fromEpoch > 0 && <div class="quiet">went on from epoch {attempt.fromEpoch}</div>}
                {attempt.cause !== "" && <div class="quiet">{attempt.cause}</div>}
              </li>
            ))}
          </ul>
        </>
      )}
      {details.events.length > 0 && (
        <>
          <h3>Events</h3>
          <ul class="lines">
            {details.events.map((event, i) => (
              <li key={i}>
                <span class="quiet number">{event.at === null ? "" : formatClock(event.at, now)}</span> {event.kind}{" "}
                <span class="quiet">{event.detail}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** Six digits; the title has all of them. */
function precise(value: number): string {
  if (Number.isInteger(value)) return formatParameter(value);
  const rounded = Number(value.toPrecision(6));
  return Math.abs(value) < 1e-3 ? rounded.toExponential() : String(rounded);
}
