/**
 * Two parameters against each other, coloured by the objective: where in the space the good trials are.
 */

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { groupOf } from "../../../proto/leaderboard.js";
import { adaptive } from "../adaptive.js";
import { css, goodnessColour } from "../charts/color-map.js";
import { ink } from "../charts/ink.js";
import { Scatter } from "../charts/scatter.js";
import type { ScatterPicture } from "../charts/scatter-chart.js";
import { rowAt } from "../feed/rows.js";
import { formatMetric, formatParameter } from "../format.js";
import type { Page } from "../page.js";
import { axisChoices, firstChoices, OBJECTIVE, scatterPicture } from "./scatter-picture.js";

export function ScatterPanel({ page }: { readonly page: Page }) {
  const chosen = useSignal<readonly [string, string] | null>(null);
  const picture = useSignal<ScatterPicture | null>(null);
  const paced = useRef(adaptive());
  const axes = useComputed(() => {
    const sweep = page.sweep.value;
    return chosen.value ?? (sweep === null ? [OBJECTIVE, OBJECTIVE] : firstChoices(sweep));
  });
  useSignalEffect(() => {
    const trials = page.trials.value;
    const colours = page.colours.value;
    const theme = page.theme.value;
    const [x, y] = axes.value;
    const sweep = page.sweep.peek();
    if (sweep === null) return;
    paced.current(() => {
      picture.value = scatterPicture(sweep, trials, [x, y], colours, theme, ink());
    }, `${sweep.id} ${x} ${y} ${theme}`);
  });

  const sweep = page.sweep.value;
  if (sweep === null) return null;
  const choices = axisChoices(sweep);
  const [x, y] = axes.value;
  const name = (choice: string) => (choice === OBJECTIVE ? sweep.metric : choice);
  const options = choices.map((choice) => (
    <option key={choice} value={choice}>
      {name(choice)}
    </option>
  ));
  return (
    <section class="panel plot" aria-labelledby="scatter-title">
      <div class="panel-head">
        <h2 id="scatter-title">Space</h2>
        <span class="axes">
          <select
            aria-label="Upward axis"
            value={y}
            onChange={(event) => (chosen.value = [x, event.currentTarget.value])}
          >
            {options}
          </select>
          <span class="quiet">over</span>
          <select
            aria-label="Rightward axis"
            value={x}
            onChange={(event) => (chosen.value = [event.currentTarget.value, y])}
          >
            {options}
          </select>
        </span>
      </div>
      <Legend page={page} />
      {picture.value === null ? (
        <p class="empty">
          No trial with numbers for {name(x)} and {name(y)} yet.
        </p>
      ) : (
        <Scatter
          picture={picture.value}
          highlighted={page.hovered.value}
          label={`${name(y)} over ${name(x)}, ${picture.value.points.length} trials coloured by ${sweep.metric}`}
          note={<Note page={page} axes={[x, y]} />}
          onHover={(id) => (page.hovered.value = id)}
          onOpen={(id) => (page.opened.value = id)}
        />
      )}
    </section>
  );
}

function Note({ page, axes }: { readonly page: Page; readonly axes: readonly [string, string] }) {
  const id = page.hovered.value;
  const row = id === null ? undefined : rowAt(page.trials.value.rows, Number(id.split("/")[1]));
  if (row === undefined) return null;
  return (
    <>
      <b>{row.id}</b>{" "}
      {groupOf(row) === 2 ? `${row.state}${row.cause === "" ? "" : `: ${row.cause}`}` : formatMetric(row.best)}
      {axes
        .filter((choice) => choice !== OBJECTIVE)
        .toReversed()
        .map((choice) => (
          <div class="quiet" key={choice}>
            {choice} {formatParameter(row.parameters[choice])}
          </div>
        ))}
    </>
  );
}

/** What colours and marks mean. Only marks that are there are explained. */
function Legend({ page }: { readonly page: Page }) {
  const scale = page.colours.value;
  const theme = page.theme.value;
  const sweep = page.sweep.value;
  if (sweep === null) return null;
  const stops = [0, 0.2, 0.4, 0.6, 0.8, 1].map((goodness) => css(goodnessColour(goodness, theme)));
  const { failed, lost, cancelled, queued, leased } = sweep.counts;
  return (
    <div class="legend">
      {scale !== null && scale.worst !== scale.best && (
        <span class="colour-bar" title={`Colour: ${sweep.metric}, from the lower quartile to the best`}>
          <span class="number">
            {sweep.goal === "maximize" ? "≤" : "≥"} {formatMetric(scale.worst)}
          </span>
          <i style={{ background: `linear-gradient(to right, ${stops.join(", ")})` }} />
          <span class="number">{formatMetric(scale.best)}</span>
          <span>{sweep.metric}</span>
        </span>
      )}
      {failed + lost + cancelled > 0 && (
        <span>
          <span class="bad">✕</span> failed
        </span>
      )}
      {queued + leased > 0 && (
        <span>
          <i class="ring" /> no result
        </span>
      )}
    </div>
  );
}
