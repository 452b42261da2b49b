/**
 * The page's state as signals, and what follows from it. Views read it; the feed and the person change it.
 *
 * Guarantees: work that grows with the number of trials (sorting by another column, filtering) is done at most a tenth of
 * the time, however fast deltas come; the leaderboard's own order follows every frame.
 */
import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { SweepRow, TrialRow, WorkerRow } from "../../proto/feed.js";
import { adaptive } from "./adaptive.js";
import { type ColourScale, colourScale, type Theme } from "./charts/color-map.js";
import type { Connection } from "./feed/client.js";
import type { CurveSource } from "./feed/curve-source.js";
import { wantedTrials } from "./feed/curves.js";
import { emptyTrials, type TrialIndex } from "./feed/ranking.js";
import { emptyModel, type Model } from "./feed/reducer.js";
import { rowAt } from "./feed/rows.js";
import { type Filter, parseFilter } from "./filter.js";
import { BY_RANK, type Column, columnsOf, metricNames, type Sort, shownTrials } from "./table.js";

/** Curves drawn: the best, and with those that train now at most this many. */
const BEST_CURVES = 12;
const MOST_CURVES = 40;

export interface Page {
  readonly model: Signal<Model>;
  readonly connection: Signal<Connection>;
  readonly theme: Signal<Theme>;
  /** Milliseconds since 1970, once a second. */
  readonly now: Signal<number>;
  readonly sweeps: ReadonlySignal<readonly SweepRow[]>;
  readonly chosen: Signal<number | null>;
  readonly sweep: ReadonlySignal<SweepRow | null>;
  readonly trials: ReadonlySignal<TrialIndex>;
  readonly workers: ReadonlySignal<readonly WorkerRow[]>;
  readonly metrics: ReadonlySignal<readonly string[]>;
  readonly columns: ReadonlySignal<readonly Column[]>;
  readonly sort: Signal<Sort>;
  readonly filterText: Signal<string>;
  readonly filter: ReadonlySignal<Filter>;
  /** Trial numbers of the leaderboard. */
  readonly shown: Signal<Int32Array>;
  readonly colours: ReadonlySignal<ColourScale | null>;
  readonly curveTrials: ReadonlySignal<readonly TrialRow[]>;
  readonly curves: CurveSource;
  /** Trial ids. */
  readonly hovered: Signal<string | null>;
  readonly opened: Signal<string | null>;
}

export function createPage(curves: CurveSource, chosen: number | null, opened: string | null): Page {
  const model = signal(emptyModel);
  const chosenSignal = signal(chosen);
  const sort = signal(BY_RANK);
  const filterText = signal("");
  const shown = signal<Int32Array>(new Int32Array(0));

  const sweeps = computed(() => sortSweeps([...model.value.sweeps.values()]));
  const sweep = computed(() => sweeps.value.find((row) => row.id === chosenSignal.value) ?? sweeps.value[0] ?? null);
  const sweepId = computed(() => sweep.value?.id ?? null);
  const trials = computed(() => {
    const id = sweepId.value;
    return (id === null ? undefined : model.value.trials.get(id)) ?? NO_TRIALS;
  });
  const metricList = computed(() => metricNames(trials.value, sweep.value?.metric ?? "").join("\n"));
  const metrics = computed(() => metricList.value.split("\n"));
  // Columns follow from what never changes in a sweep, so that they are made once and not with every delta.
  const columns = computed(() => {
    const row = sweepId.value === null ? null : (model.peek().sweeps.get(sweepId.value) ?? null);
    return row === null ? [] : columnsOf(row);
  });
  const filter = computed<Filter>(() => {
    const row = sweepId.value === null ? null : (model.peek().sweeps.get(sweepId.value) ?? null);
    return row === null ? { test: null, problem: null } : parseFilter(filterText.value, row, metrics.value);
  });

  const fitShown = adaptive();
  effect(() => {
    const index = trials.value;
    const by = sort.value;
    const { test } = filter.value;
    const list = columns.value;
    const fit = () => {
      shown.value = shownTrials(index, list, by, test);
    };
    if (by.key === "rank" && test === null) fitShown(fit, "at once");
    else fitShown(fit, `${by.key} ${by.descending} ${filterText.peek()} ${sweepId.peek()}`);
  });

  const curveTrials = computed(() => wantedTrials(trials.value, BEST_CURVES, MOST_CURVES));
  effect(() => {
    const id = sweepId.value;
    if (id !== null) curves.want(id, curveTrials.value);
  });

  return {
    model,
    connection: signal<Connection>("connecting"),
    theme: signal<Theme>("light"),
    now: signal(Date.now()),
    sweeps,
    chosen: chosenSignal,
    sweep,
    trials,
    workers: computed(() => sortWorkers([...model.value.workers.values()])),
    metrics,
    columns,
    sort,
    filterText,
    filter,
    shown,
    colours: computed(() => scaleOf(trials.value)),
    curveTrials,
    curves,
    hovered: signal<string | null>(null),
    opened: signal(opened),
  };
}

const NO_TRIALS = emptyTrials("maximize");

/** Running ones first, then paused ones; newest first. */
export function sortSweeps(sweeps: readonly SweepRow[]): readonly SweepRow[] {
  const group = (row: SweepRow) => (row.state === "running" ? 0 : row.state === "paused" ? 1 : 2);
  return [...sweeps].sort((a, b) => group(a) - group(b) || b.id - a.id);
}

function sortWorkers(workers: readonly WorkerRow[]): readonly WorkerRow[] {
  const rank = { connected: 0, draining: 1, away: 2, gone: 3 };
  return [...workers].sort((a, b) => rank[a.state] - rank[b.state] || a.id.localeCompare(b.id));
}

/** From the lower quartile to the best, so that the hopeless trials do not use up the colours. */
export function scaleOf(trials: TrialIndex): ColourScale | null {
  const value = (place: number) => rowAt(trials.rows, trials.order[place] ?? -1)?.best ?? null;
  return colourScale(value(Math.floor(0.75 * (trials.ranked - 1))), value(0));
}
