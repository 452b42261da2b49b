/**
 * What a trial takes for what, as a heat map with the pairs confused most below it, which say in words what the picture shows.
 * Fetches the file once; a file that is no matrix is said to be none.
 */
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { type Confusion, readConfusion, tallyOf, worstPairs } from "../../../proto/confusion.js";
import { css, type Theme } from "../charts/color-map.js";
import { cellAt, heatMap, inkOn, SIDE, shortName } from "../charts/heat-map.js";
import { getJson } from "../feed/browser.js";

const PAIRS = 5;

interface Fetched {
  readonly confusion: Confusion | null;
  readonly problem: string;
}

export function ConfusionMatrix({ address, theme }: { readonly address: string; readonly theme: Theme }) {
  const fetched = useSignal<Fetched | null>(null);
  useSignalEffect(() => {
    let wanted = true;
    void getJson(address)
      .then((value) => {
        const confusion = readConfusion(value);
        return { confusion, problem: confusion === null ? "this file is no confusion matrix" : "" };
      })
      .catch((error: unknown) => ({ confusion: null, problem: error instanceof Error ? error.message : String(error) }))
      .then((answer) => {
        if (wanted) fetched.value = answer;
      });
    return () => {
      wanted = false;
    };
  });
  const answer = fetched.value;
  if (answer === null) return <p class="quiet">Fetching the matrix…</p>;
  if (answer.confusion === null) return <p class="problem">{answer.problem}</p>;
  return <Matrix confusion={answer.confusion} theme={theme} />;
}

function Matrix({ confusion, theme }: { readonly confusion: Confusion; readonly theme: Theme }) {
  const { classes, counts, of } = confusion;
  const pointed = useSignal<{ readonly predicted: number; readonly actual: number } | null>(null);
  const map = heatMap(confusion, theme);
  const { images, right } = tallyOf(confusion);
  const pairs = worstPairs(confusion, PAIRS);
  const readout = useComputed(() => {
    const cell = pointed.value;
    if (cell === null) return null;
    const [actual, predicted] = [classes[cell.actual] ?? "", classes[cell.predicted] ?? ""];
    const count = counts[cell.predicted]?.[cell.actual] ?? 0;
    const total = counts.reduce((sum, row) => sum + (row[cell.actual] ?? 0), 0);
    const what = cell.actual === cell.predicted ? `${actual} seen as such` : `${actual} taken for ${predicted}`;
    return `${what}: ${count} of ${total}, ${percent(count, total)}`;
  });
  const named = classes.map((name, i) => ({ name, i })).filter(({ i }) => i % map.everyName === 0);
  const middle = map.step / 2;
  return (
    <div class="confusion">
      <p class="confusion-readout" aria-live="off">
        {readout.value ?? `${right} of ${images} ${of} images right, ${percent(right, images)}`}
      </p>
      <svg
        viewBox={`0 0 ${map.width} ${map.height}`}
        role="img"
        aria-label={`What was taken for what among ${images} ${of} images: rows predicted, columns actual`}
        onMouseMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const scale = SIDE / box.width;
          const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
          pointed.value = cellAt(map, classes.length, x, y);
        }}
        onMouseLeave={() => (pointed.value = null)}
      >
        <rect
          class="confusion-ground"
          x={map.left}
          y={map.top}
          width={map.step * classes.length}
          height={map.step * classes.length}
        />
        {named.map(({ name, i }) => (
          <text key={`row ${i}`} class="row" x={map.left - 5} y={map.top + i * map.step + middle}>
            {shortName(name)}
          </text>
        ))}
        {named.map(({ name, i }) => {
          const x = map.left + i * map.step + middle;
          return map.upright ? (
            <text key={`column ${i}`} class="upright" transform={`translate(${x} ${map.top - 5}) rotate(-90)`}>
              {shortName(name)}
            </text>
          ) : (
            <text key={`column ${i}`} class="column" x={x} y={map.top - 5}>
              {shortName(name)}
            </text>
          );
        })}
        {map.cells.map(({ predicted, actual, count, x, y, colour }) => (
          <g key={`${predicted} ${actual}`}>
            <rect
              {...(colour === null ? { class: "right" } : { fill: css(colour) })}
              x={x}
              y={y}
              width={map.side}
              height={map.side}
            />
            {map.numbered && (
              <text
                class="count"
                {...(colour === null ? {} : { style: { fill: inkOn(colour) } })}
                x={x + map.side / 2}
                y={y + map.side / 2}
              >
                {count}
              </text>
            )}
          </g>
        ))}
        {pointed.value !== null && (
          <rect
            class="pointed"
            x={map.left + pointed.value.actual * map.step}
            y={map.top + pointed.value.predicted * map.step}
            width={map.side}
            height={map.side}
          />
        )}
      </svg>
      <p class="quiet">Rows: predicted. Columns: actual. Colour: share of the actual class.</p>
      {pairs.length > 0 && (
        <ol class="confusion-pairs" aria-label="Confused most">
          {pairs.map(({ predicted, actual, count }) => (
            <li key={`${predicted} ${actual}`}>
              <b>{count}</b>
              <span>
                {classes[actual]} <span class="quiet">taken for</span> {classes[predicted]}
              </span>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "none" : `${((100 * part) / whole).toFixed(2)} %`;
}
