/**
 * Many curves over epochs on one uPlot canvas.
 *
 * Guarantees: knows points and colours only, nothing of the feed. New data keep the plot; it is built anew only when the
 * set of curves, their looks or the theme change. A few wild values do not flatten the rest: the vertical range leaves
 * out what lies far outside the middle nine tenths.
 */
import uPlot from "uplot";
import { tickLabel } from "./axes.js";
import { valueRange } from "./value-range.js";

export interface ChartCurve {
  readonly id: string;
  readonly colour: string;
  readonly width: number;
  readonly points: readonly { readonly epoch: number; readonly value: number | null }[];
}

export interface CurveInk {
  readonly text: string;
  readonly grid: string;
  readonly font: string;
}

export interface CurveChart {
  draw(curves: readonly ChartCurve[], ink: CurveInk): void;
  highlight(id: string | null): void;
  destroy(): void;
}

export interface CurveEvents {
  onHover(id: string | null, epoch: number | null, value: number | null): void;
  onOpen(id: string): void;
}

export function createCurveChart(box: HTMLElement, events: CurveEvents): CurveChart {
  let plot: uPlot | null = null;
  let look = "";
  let ids: readonly string[] = [];
  let hovering: string | null = null;
  /** While the pointer is here the plot itself says what is highlighted. */
  let inside = false;

  const size = () => ({ width: Math.max(120, box.clientWidth), height: Math.max(90, box.clientHeight) });
  const observer = new ResizeObserver(() => plot?.setSize(size()));
  observer.observe(box);

  const report = (id: string | null) => {
    const series = id === null ? -1 : ids.indexOf(id) + 1;
    const at = plot?.cursor.idx ?? null;
    const epoch = plot === null || at === null ? null : (plot.data[0][at] ?? null);
    const value = plot === null || at === null || series < 1 ? null : (plot.data[series]?.[at] ?? null);
    events.onHover(id, epoch, value);
  };

  const build = (curves: readonly ChartCurve[], ink: CurveInk) => {
    plot?.destroy();
    hovering = null;
    inside = false;
    ids = curves.map((curve) => curve.id);
    const created = new uPlot(
      options(curves, ink, size(), (id) => {
        hovering = id;
        report(id);
      }),
      aligned(curves),
      box,
    );
    created.over.addEventListener("click", () => {
      if (hovering !== null) events.onOpen(hovering);
    });
    created.over.addEventListener("mouseenter", () => {
      inside = true;
      created.setSeries(null, { focus: true }, false);
    });
    created.over.addEventListener("mouseleave", () => {
      inside = false;
      hovering = null;
      report(null);
    });
    plot = created;
  };

  return {
    draw(curves, ink) {
      const now = JSON.stringify([ink, curves.map((curve) => [curve.id, curve.colour, curve.width])]);
      if (plot === null || now !== look) build(curves, ink);
      else plot.setData(aligned(curves));
      look = now;
    },
    highlight(id) {
      if (plot === null || inside) return;
      const at = id === null ? -1 : ids.indexOf(id);
      plot.setSeries(at < 0 ? null : at + 1, { focus: true }, false);
    },
    destroy() {
      observer.disconnect();
      plot?.destroy();
    },
  };
}

function options(
  curves: readonly ChartCurve[],
  ink: CurveInk,
  size: { readonly width: number; readonly height: number },
  onFocus: (id: string | null) => void,
): uPlot.Options {
  const axis = { stroke: ink.text, font: ink.font, ticks: { show: false }, grid: { stroke: ink.grid, width: 1 } };
  return {
    ...size,
    legend: { show: false },
    padding: [10, 14, 0, 0],
    focus: { alpha: 0.16 },
    cursor: { focus: { prox: 28 }, drag: { x: false, y: false }, y: false, points: { size: 7 } },
    scales: { x: { time: false, range: (_, low, high) => epochRange(low, high) }, y: { range: robustRange } },
    axes: [
      { ...axis, size: 26, gap: 4, space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] },
      { ...axis, size: 52, gap: 6, space: 28, values: (_, ticks) => ticks.map((tick) => tickLabel(tick)) },
    ],
    hooks: {
      setSeries: [
        (_, series, change) => {
          // uPlot hands over what setSeries() was given; its types say that it is a series.
          if ((change as { readonly focus?: boolean }).focus !== undefined)
            onFocus(series === null ? null : (curves[series - 1]?.id ?? null));
        },
      ],
    },
    series: [
      {},
      ...curves.map((curve) => ({
        stroke: curve.colour,
        width: curve.width,
        spanGaps: true,
        points: { show: true, size: curve.width * 2 + 2, fill: curve.colour, width: 0, filter: lastPoint },
      })),
    ],
  };
}

/** One end dot a curve: where it stands now. */
function lastPoint(plot: uPlot, series: number): number[] | null {
  const values = plot.data[series] ?? [];
  for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null && values[i] !== undefined) return [i];
  return null;
}

function epochRange(low: number | null, high: number | null): uPlot.Range.MinMax {
  return [low ?? 0, Math.max(high ?? 1, (low ?? 0) + 1)];
}

function robustRange(plot: uPlot): uPlot.Range.MinMax {
  const values: number[] = [];
  for (const series of plot.data.slice(1))
    for (const value of series) if (typeof value === "number") values.push(value);
  return valueRange(values);
}

function aligned(curves: readonly ChartCurve[]): uPlot.AlignedData {
  const epochs = [...new Set(curves.flatMap((curve) => curve.points.map((point) => point.epoch)))].sort(
    (a, b) => a - b,
  );
  return [
    epochs,
    ...curves.map((curve) => {
      const values = new Map(curve.points.map((point) => [point.epoch, point.value]));
      return epochs.map((epoch) => values.get(epoch) ?? null);
    }),
  ];
}
