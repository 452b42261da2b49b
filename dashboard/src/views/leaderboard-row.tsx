/**
 * One trial of the leaderboard. Draws itself anew only when its own row, place or colour changes.
 */
// biome-ignore-all lint/a11y/useSemanticElements: rows stand at absolute places, which a table cannot do; roles say what they are
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus and points at its active row

import { useComputed } from "@preact/signals";
import type { TrialRow } from "../../../proto/feed.js";
import { groupOf } from "../../../proto/leaderboard.js";
import { formatDuration, formatMetric, formatParameter, NOTHING } from "../format.js";
import type { Page } from "../page.js";
import { type Column, where } from "../table.js";
import { State } from "./state.js";

/** In pixels; styles/leaderboard.css has the same. */
export const ROW_HEIGHT = 30;

/** Id of a trial's row in the document. */
export function rowElement(trial: string): string {
  return `trial-${trial.replace("/", "-")}`;
}

export interface LeaderboardRowProps {
  readonly page: Page;
  readonly row: TrialRow;
  readonly at: number;
  readonly rank: number | null;
  readonly columns: readonly Column[];
  readonly epochs: number;
  readonly colour: string | null;
  readonly active: boolean;
  onPick(): void;
}

export function LeaderboardRow(props: LeaderboardRowProps) {
  const { page, row } = props;
  const looks = useComputed(() => {
    const classes = ["grid-row"];
    if (page.hovered.value === row.id) classes.push("hovered");
    if (page.opened.value === row.id) classes.push("opened");
    return classes.join(" ");
  });
  const failed = groupOf(row) === 2;
  const cells = props.columns.filter((column) => !(failed && column.key === "last"));
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the focus and the keys
    <div
      id={rowElement(row.id)}
      role="row"
      aria-rowindex={props.at + 2}
      aria-selected={props.active}
      class={`${looks.value}${props.active ? " active" : ""}${failed ? " no-result" : ""}`}
      style={{ transform: `translateY(${props.at * ROW_HEIGHT}px)` }}
      onMouseEnter={() => (page.hovered.value = row.id)}
      onClick={props.onPick}
    >
      {cells.map((column) => (
        <div
          key={column.key}
          role="gridcell"
          class={`cell${column.numeric ? " cell-number" : ""}${failed && column.key === "best" ? " cell-cause" : ""}`}
          aria-colspan={failed && column.key === "best" ? 2 : undefined}
        >
          <Cell {...props} column={column} failed={failed} />
        </div>
      ))}
    </div>
  );
}

function Cell(props: LeaderboardRowProps & { readonly column: Column; readonly failed: boolean }) {
  const { page, row, column } = props;
  switch (column.key) {
    case "rank":
      return <span class={props.rank === 1 ? "rank rank-first" : "rank"}>{props.rank ?? NOTHING}</span>;
    case "trial":
      return <span class="trial-id">{row.id}</span>;
    case "state":
      return <State state={row.state} title={row.cause} />;
    case "best":
      if (props.failed) return <span title={row.cause}>{row.cause === "" ? NOTHING : row.cause}</span>;
      if (row.best === null) return <span class="quiet">{NOTHING}</span>;
      return (
        <>
          <i class="swatch" style={{ background: props.colour ?? "transparent" }} />
          <b>{formatMetric(row.best)}</b>
          <span class="at-epoch" title={`in epoch ${row.bestEpoch}`}>
            @{row.bestEpoch ?? NOTHING}
          </span>
        </>
      );
    case "last":
      return <span class={row.last === null ? "quiet" : ""}>{formatMetric(row.last)}</span>;
    case "epochs":
      return (
        <span class="epochs">
          <span>
            {row.epoch}
            <span class="quiet">/{props.epochs}</span>
          </span>
          <i class="meter">
            <i style={{ transform: `scaleX(${Math.min(1, row.epoch / Math.max(1, props.epochs))})` }} />
          </i>
        </span>
      );
    case "time":
      return <Time page={page} row={row} />;
    case "device":
      return <span class={row.worker === null ? "quiet" : ""}>{where(row) ?? NOTHING}</span>;
    default: {
      const name = column.key.slice("parameter:".length);
      return <span title={String(row.parameters[name] ?? "")}>{formatParameter(row.parameters[name])}</span>;
    }
  }
}

function Time({ page, row }: { readonly page: Page; readonly row: TrialRow }) {
  if (row.startedAt === null) return <span class="quiet">{NOTHING}</span>;
  const end = row.endedAt ?? (row.state === "running" ? page.now.value : null);
  return <span>{formatDuration(end === null ? null : Math.max(0, end - row.startedAt))}</span>;
}
