/**
 * Curves of the best trials and of those that train now, by any metric; the colour is the objective's, as in the scatter.
 */
import { useComputed, useSignal } from "@preact/signals";
import { css, goodnessColour } from "../charts/color-map.js";
import { Curves } from "../charts/curves.js";
import { curveOf, metricPoints } from "../feed/curves.js";
import { formatMetric } from "../format.js";
import type { Page } from "../page.js";

export function CurvesPanel({ page }: { readonly page: Page }) {
  const chosen = useSignal<string | null>(null);
  const pointed = useSignal<{ readonly epoch: number; readonly value: number } | null>(null);
  const metric = useComputed(() => chosen.value ?? page.sweep.value?.metric ?? "");
  const curves = useComputed(() => {
    const held = page.curves.curves.value;
    const scale = page.colours.value;
    const theme = page.theme.value;
    const name = metric.value;
    return (
      page.curveTrials.value
        .map((row, i) => ({
          id: row.id,
          colour: css(goodnessColour(scale === null || row.best === null ? 0 : scale.goodness(row.best), theme)),
          width: i === 0 ? 2.5 : 1.5,
          points: metricPoints(curveOf(held, row), name),
        }))
        .filter((curve) => curve.points.some((point) => point.value !== null))
        // The best is drawn last, on top.
        .reverse()
    );
  });
  const hovered = page.hovered.value;
  const known = curves.value.some((curve) => curve.id === hovered);
  const problem = page.curves.problem.value;
  return (
    <section class="panel plot" aria-labelledby="curves-title">
      <div class="panel-head">
        <h2 id="curves-title">Curves</h2>
        <span class="quiet readout">
          {known && hovered !== null ? (
            <>
              trial {hovered}
              {pointed.value !== null && (
                <>
                  {" "}
                  · epoch {pointed.value.epoch} · <b>{formatMetric(pointed.value.value)}</b>
                </>
              )}
            </>
          ) : (
            "best and running, by epoch"
          )}
        </span>
        <select
          aria-label="Metric"
          value={metric.value}
          onChange={(event) => (chosen.value = event.currentTarget.value)}
        >
          {page.metrics.value.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </div>
      {problem !== "" && <p class="problem">The curves could not be fetched: {problem}</p>}
      {curves.value.length === 0 ? (
        <p class="empty">No epoch of any trial is done yet.</p>
      ) : (
        <Curves
          curves={curves.value}
          highlighted={hovered}
          theme={page.theme.value}
          label={`${metric.value} by epoch, ${curves.value.length} trials; the leaderboard has the same numbers`}
          onHover={(id, epoch, value) => {
            page.hovered.value = id;
            pointed.value = epoch === null || value === null ? null : { epoch, value };
          }}
          onOpen={(id) => (page.opened.value = id)}
        />
      )}
    </section>
  );
}
