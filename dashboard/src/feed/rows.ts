/**
 * Trial rows of one sweep by trial number: an immutable list in chunks, so that a new version costs the chunks it changes
 * and not the 100,000 rows it keeps.
 *
 * Guarantees: no version that was handed out ever changes. Not here: order (ranking.ts), other sweeps (reducer.ts).
 */
import type { TrialRow } from "../../../proto/feed.js";

const CHUNK = 256;

type Chunk = readonly (TrialRow | undefined)[];

export interface Rows {
  readonly chunks: readonly Chunk[];
  /** One past the largest number held. */
  readonly length: number;
  /** Rows held; smaller than `length` when numbers are missing. */
  readonly count: number;
}

export const noRows: Rows = { chunks: [], length: 0, count: 0 };

export function rowAt(rows: Rows, number: number): TrialRow | undefined {
  return rows.chunks[Math.floor(number / CHUNK)]?.[number % CHUNK];
}

/** The newest row of a number wins; rows of `changed` come in the order they were sent. */
export function withRows(rows: Rows, changed: Iterable<TrialRow>): Rows {
  const chunks = [...rows.chunks];
  const fresh = new Map<number, (TrialRow | undefined)[]>();
  let { length, count } = rows;
  for (const row of changed) {
    const at = Math.floor(row.number / CHUNK);
    let chunk = fresh.get(at);
    if (chunk === undefined) {
      chunk = [...(chunks[at] ?? [])];
      fresh.set(at, chunk);
    }
    if (chunk[row.number % CHUNK] === undefined) count += 1;
    chunk[row.number % CHUNK] = row;
    length = Math.max(length, row.number + 1);
  }
  for (const [at, chunk] of fresh) {
    while (chunks.length < at) chunks.push([]);
    chunks[at] = chunk;
  }
  return { chunks, length, count };
}

/** Calls `visit` for every row, by number. */
export function eachRow(rows: Rows, visit: (row: TrialRow) => void): void {
  for (const chunk of rows.chunks) {
    for (const row of chunk) if (row !== undefined) visit(row);
  }
}
