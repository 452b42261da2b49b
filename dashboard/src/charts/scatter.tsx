/**
 * The scatter as a component: pointer and size handling around two canvases. Not here: what a point means.
 */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { createScatterChart, type ScatterChart, type ScatterPicture } from "./scatter-chart.js";

export interface ScatterProps {
  readonly picture: ScatterPicture;
  readonly highlighted: string | null;
  readonly label: string;
  /** What to say about the highlighted point, beside it. */
  readonly note: ComponentChildren;
  onHover(id: string | null): void;
  onOpen(id: string): void;
}

export function Scatter(props: ScatterProps) {
  const box = useRef<HTMLDivElement>(null);
  const under = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const chart = useRef<ScatterChart | null>(null);
  const [place, setPlace] = useState<{ readonly left: number; readonly top: number } | null>(null);
  const wanted = useRef(props.highlighted);
  wanted.current = props.highlighted;

  useEffect(() => {
    if (box.current === null || under.current === null || over.current === null) return;
    const created = createScatterChart(under.current, over.current);
    chart.current = created;
    const observer = new ResizeObserver(() => {
      created.resize();
      setPlace(created.highlight(wanted.current));
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    chart.current?.draw(props.picture);
    setPlace(chart.current?.highlight(wanted.current) ?? null);
  }, [props.picture]);
  useEffect(() => setPlace(chart.current?.highlight(props.highlighted) ?? null), [props.highlighted]);

  const pointed = (event: MouseEvent) => chart.current?.at(event.offsetX, event.offsetY) ?? null;
  const width = box.current?.clientWidth ?? 0;
  return (
    <div class="chart" ref={box} role="img" aria-label={props.label}>
      <canvas class="layer" ref={under} />
      <canvas
        class="layer"
        ref={over}
        onMouseMove={(event) => props.onHover(pointed(event))}
        onMouseLeave={() => props.onHover(null)}
        onClick={(event) => {
          const id = pointed(event);
          if (id !== null) props.onOpen(id);
        }}
      />
      {place !== null && props.note !== null && (
        <div
          class={`note ${place.left > width / 2 ? "note-left" : ""}`}
          style={{ transform: `translate(${place.left}px, ${place.top}px)` }}
        >
          <div>{props.note}</div>
        </div>
      )}
    </div>
  );
}
