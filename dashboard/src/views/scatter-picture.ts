/**
 * From trials to the points of the scatter. Pure.
 *
 * Guarantees: a trial appears when it has a number on both axes; failed ones as crosses, ones without an objective as
 * rings; the best comes last, on top.
 */

import type { SweepRow, TrialRow } from "../../../proto/feed.js";
import { groupOf } from "../../../proto/leaderboard.js";
import { type Axis, makeAxis, rangeOf } from "../charts/axes.js";
import { type ColourScale, css, goodnessColour, type Theme } from "../charts/color-map.js";
import type { Ink } from "../charts/ink.js";
import type { ScatterPicture, ScatterPoint } from "../charts/scatter-chart.js";
import type { TrialIndex } from "../feed/ranking.js";
import { rowAt } from "../feed/rows.js";

/** Not a parameter's name: those have no spaces. */
export const OBJECTIVE = "the objective";

const SHADES = 64;

/** What can stand on an axis: numeric parameters in the file's order, then the objective. */
export function axisChoices(sweep: SweepRow): readonly string[] {
  return [...sweep.parameters.filter((one) => one.scale !== "category").map((one) => one.name), OBJECTIVE];
}

/** Learning rate by regularisation where there are such; else the first two. */
export function firstChoices(sweep: SweepRow): readonly [string, string] {
  const choices = axisChoices(sweep);
  const x = choices.find((name) => name === "learning_rate") ?? choices[0] ?? OBJECTIVE;
  const y =
    choices.find((name) => name === "l2" || name === "weight_decay") ?? choices.find((name) => name !== x) ?? OBJECTIVE;
  return x === y ? [x, OBJECTIVE] : [x, y];
}

/** `null` when no trial can be placed. */
export function scatterPicture(
  sweep: SweepRow,
  trials: TrialIndex,
  axes: readonly [string, string],
  colours: ColourScale | null,
  theme: Theme,
  ink: Ink,
): ScatterPicture | null {
  const shades = Array.from({ length: SHADES }, (_, i) => css(goodnessColour(i / (SHADES - 1), theme)));
  const points: ScatterPoint[] = [];
  for (let i = trials.order.length - 1; i >= 0; i--) {
    const row = rowAt(trials.rows, trials.order[i] ?? -1);
    if (row === undefined) continue;
    const x = numberOf(row, axes[0]);
    const y = numberOf(row, axes[1]);
    if (x === null || y === null) continue;
    const group = groupOf(row);
    const colour =
      group === 2
        ? row.state === "failed"
          ? ink.bad
          : ink.faint
        : group === 1 || colours === null || row.best === null
          ? ink.faint
          : (shades[Math.round(colours.goodness(row.best) * (SHADES - 1))] ?? ink.text);
    points.push({ id: row.id, x, y, mark: group === 2 ? "cross" : group === 1 ? "ring" : "dot", colour });
  }
  const x = axisOf(
    sweep,
    axes[0],
    points.map((point) => point.x),
  );
  const y = axisOf(
    sweep,
    axes[1],
    points.map((point) => point.y),
  );
  return x === null || y === null ? null : { x, y, points, ink };
}

function numberOf(row: TrialRow, choice: string): number | null {
  const value = choice === OBJECTIVE ? row.best : row.parameters[choice];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function axisOf(sweep: SweepRow, choice: string, values: readonly number[]): Axis | null {
  const scale = sweep.parameters.find((parameter) => parameter.name === choice)?.scale;
  return makeAxis(rangeOf(values), scale === "log" ? "log" : "linear");
}
