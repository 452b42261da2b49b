/**
 * The curve chart as a component: hands data on, owns nothing. Not here: which curves (../views/curves-panel.tsx).
 */
import { useEffect, useRef } from "preact/hooks";
import type { Theme } from "./color-map.js";
import { type ChartCurve, type CurveChart, type CurveEvents, createCurveChart } from "./curve-chart.js";
import { ink } from "./ink.js";

export interface CurvesProps extends CurveEvents {
  readonly curves: readonly ChartCurve[];
  readonly highlighted: string | null;
  readonly theme: Theme;
  readonly label: string;
}

export function Curves(props: CurvesProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<CurveChart | null>(null);
  const events = useRef<CurveEvents>(props);
  events.current = props;
  useEffect(() => {
    if (box.current === null) return;
    const created = createCurveChart(box.current, {
      onHover: (id, epoch, value) => events.current.onHover(id, epoch, value),
      onOpen: (id) => events.current.onOpen(id),
    });
    chart.current = created;
    return () => {
      created.destroy();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    const colours = ink();
    chart.current?.draw(props.curves, { text: colours.faint, grid: colours.grid, font: colours.font });
    chart.current?.highlight(props.highlighted);
  }, [props.curves, props.theme]);
  useEffect(() => chart.current?.highlight(props.highlighted), [props.highlighted]);
  return <div class="chart" ref={box} role="img" aria-label={props.label} />;
}
