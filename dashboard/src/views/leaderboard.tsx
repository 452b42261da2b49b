/**
 * The leaderboard: all trials of the sweep, best first, as a grid of which only the rows in sight exist.
 *
 * Guarantees: cost of drawing depends on the rows in sight, not on their number; a row that changes its rank moves there;
 * everything the mouse can do the keyboard can: arrows, Page Up/Down, Home, End, Enter, Escape, `/` for the filter.
 */
// biome-ignore-all lint/a11y/useSemanticElements: rows stand at absolute places, which a table cannot do; roles say what they are
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus and points at its active row
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { css, goodnessColour } from "../charts/color-map.js";
import { rowAt } from "../feed/rows.js";
import { plural } from "../format.js";
import type { Page } from "../page.js";
import { BY_RANK, type Column } from "../table.js";
import { FilterBox } from "./filter-box.js";
import { LeaderboardRow, ROW_HEIGHT, rowElement } from "./leaderboard-row.js";

const HEAD_HEIGHT = 32;
const SPARE_ROWS = 8;

export function Leaderboard({ page }: { readonly page: Page }) {
  const scroller = useRef<HTMLDivElement>(null);
  const cursor = useSignal<string | null>(null);
  const view = useSignal({ top: 0, height: 800 });
  const first = useComputed(() => Math.max(0, Math.floor(view.value.top / ROW_HEIGHT) - SPARE_ROWS));
  const count = useComputed(() => Math.ceil(view.value.height / ROW_HEIGHT) + 2 * SPARE_ROWS);

  useEffect(() => {
    const box = scroller.current;
    if (box === null) return;
    const read = () => {
      view.value = { top: box.scrollTop, height: box.clientHeight };
    };
    read();
    const observer = new ResizeObserver(read);
    observer.observe(box);
    box.addEventListener("scroll", read, { passive: true });
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", read);
    };
  }, []);

  const move = (to: number) => {
    const shown = page.shown.value;
    const box = scroller.current;
    if (shown.length === 0 || box === null) return;
    const at = Math.min(shown.length - 1, Math.max(0, to));
    const row = rowAt(page.trials.value.rows, shown[at] ?? -1);
    if (row === undefined) return;
    cursor.value = row.id;
    page.hovered.value = row.id;
    if (page.opened.value !== null) page.opened.value = row.id;
    const top = at * ROW_HEIGHT;
    const room = box.clientHeight - HEAD_HEIGHT - ROW_HEIGHT;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top > box.scrollTop + room) box.scrollTop = top - room;
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== scroller.current) return;
    const at = cursor.value === null ? -1 : page.shown.value.indexOf(Number(cursor.value.split("/")[1]));
    const pageRows = Math.max(1, Math.floor(view.value.height / ROW_HEIGHT) - 2);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + pageRows,
      PageUp: at - pageRows,
      Home: 0,
      End: page.shown.value.length - 1,
    };
    const to = steps[event.key];
    if (to !== undefined) move(to);
    else if (event.key === "Enter" && cursor.value !== null) page.opened.value = cursor.value;
    else return;
    event.preventDefault();
  };

  const columns = page.columns.value;
  const shown = page.shown.value;
  const index = page.trials.value;
  const colours = page.colours.value;
  const theme = page.theme.value;
  const sweep = page.sweep.value;
  // While rows are on their way the sweep knows how many there are.
  const counted = page.model.value.rest > 0 && sweep !== null ? Object.values(sweep.counts) : [index.rows.count];
  const all = counted.reduce((sum, count) => sum + count, 0);
  const window = shown.subarray(first.value, first.value + count.value);
  const active = cursor.value;
  return (
    <section class="panel board" aria-labelledby="leaderboard-title">
      <div class="panel-head">
        <h2 id="leaderboard-title">Leaderboard</h2>
        <span class="quiet number">
          {shown.length === all
            ? plural(all, "trial")
            : `${shown.length.toLocaleString("en")} of ${plural(all, "trial")}`}
        </span>
        <FilterBox page={page} onLeave={() => scroller.current?.focus()} />
      </div>
      <div
        class="grid"
        id="leaderboard"
        ref={scroller}
        role="grid"
        aria-label="Trials by rank"
        aria-rowcount={shown.length + 1}
        aria-colcount={columns.length}
        aria-activedescendant={active === null ? undefined : rowElement(active)}
        tabIndex={0}
        style={{
          "--columns": template(columns),
          "--width": `${widthOf(columns)}px`,
          "--rank": `${columns[0]?.width ?? 0}px`,
        }}
        onKeyDown={onKeyDown}
        onMouseLeave={() => (page.hovered.value = null)}
      >
        <Head page={page} columns={columns} />
        <div class="grid-rows" role="rowgroup" style={{ height: `${shown.length * ROW_HEIGHT}px` }}>
          {sweep !== null &&
            Array.from(window, (number, i) => {
              const row = rowAt(index.rows, number);
              if (row === undefined) return null;
              const place = index.place[number] ?? -1;
              return (
                <LeaderboardRow
                  key={row.id}
                  page={page}
                  row={row}
                  at={first.value + i}
                  rank={place < index.ranked ? place + 1 : null}
                  columns={columns}
                  epochs={sweep.epochs}
                  colour={
                    colours === null || row.best === null || place >= index.ranked
                      ? null
                      : css(goodnessColour(colours.goodness(row.best), theme))
                  }
                  active={row.id === active}
                  onPick={() => {
                    cursor.value = row.id;
                    page.opened.value = page.opened.value === row.id ? null : row.id;
                  }}
                />
              );
            })}
        </div>
        {shown.length === 0 && <Empty page={page} />}
      </div>
    </section>
  );
}

function Head({ page, columns }: { readonly page: Page; readonly columns: readonly Column[] }) {
  const sort = page.sort.value;
  const click = (column: Column) => {
    if (column.key === sort.key && column.key === "rank")
      page.sort.value = { key: "rank", descending: !sort.descending };
    else if (column.key !== sort.key) page.sort.value = { key: column.key, descending: column.firstDescending };
    else if (sort.descending === column.firstDescending)
      page.sort.value = { key: column.key, descending: !sort.descending };
    else page.sort.value = BY_RANK;
  };
  return (
    <div class="grid-head" role="row" aria-rowindex={1}>
      {columns.map((column) => (
        <div
          key={column.key}
          role="columnheader"
          class={column.numeric ? "cell cell-number" : "cell"}
          aria-sort={sort.key !== column.key ? "none" : sort.descending ? "descending" : "ascending"}
        >
          <button type="button" title={`${column.title}: sort`} onClick={() => click(column)}>
            <span>{column.label}</span>
            {sort.key === column.key && <span class="arrow">{sort.descending ? "↓" : "↑"}</span>}
          </button>
        </div>
      ))}
    </div>
  );
}

function Empty({ page }: { readonly page: Page }) {
  if (page.filterText.value.trim() !== "") {
    return (
      <p class="empty">
        No trial matches <code>{page.filterText.value}</code>.{" "}
        <button type="button" class="link" onClick={() => (page.filterText.value = "")}>
          Show all
        </button>
      </p>
    );
  }
  const lanes = page.workers.value.some((worker) => worker.state === "connected");
  return (
    <p class="empty">
      {lanes
        ? "No trials yet: the first are being drawn."
        : "No trials yet: they are drawn when a worker with a free lane joins."}
    </p>
  );
}

function template(columns: readonly Column[]): string {
  return columns
    .map((column, i) => (i === columns.length - 1 ? `minmax(${column.width}px, 1fr)` : `${column.width}px`))
    .join(" ");
}

function widthOf(columns: readonly Column[]): number {
  return columns.reduce((sum, column) => sum + column.width, 0);
}
