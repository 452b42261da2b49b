/**
 * The whole state as one feed message.
 *
 * Guarantees: every row is durable and at least as new as the delta the snapshot is numbered with, so the deltas that follow make it
 * current. A large one is written in parts with other work in between, so that reports do not wait for a new viewer.
 * Not here: who gets it (feed-hub.ts).
 */
import type { SweepId } from "../../proto/contract.js";
import type { State } from "../core/state.js";
import { sweepRow, trialRow, workerRow } from "../core/views.js";
import type { Clock } from "./clock.js";

const ROWS_A_PART = 2_000;

export interface SnapshotHead {
  readonly feed: string;
  readonly seq: number;
  readonly version: string;
}

/** `durable` waits until the state is what the disk has. `sweep` leaves only that sweep and its trials; `null` for all. */
export async function snapshotText(
  state: State,
  durable: () => Promise<void>,
  clock: Clock,
  head: SnapshotHead,
  sweep: SweepId | null,
): Promise<string> {
  await durable();
  const now = clock.now();
  const sweeps = [...state.sweeps.values()]
    .filter((one) => sweep === null || one.id === sweep)
    .map((one) => JSON.stringify(sweepRow(state, one, now)));
  const workers = [...state.workers.values()].map((one) => JSON.stringify(workerRow(state, one, now)));
  const parts: string[] = [];
  let part: string[] = [];
  for (const trial of state.trials.values()) {
    if (sweep !== null && trial.sweep !== sweep) continue;
    part.push(JSON.stringify(trialRow(state, trial, now)));
    if (part.length < ROWS_A_PART) continue;
    parts.push(part.join(","));
    part = [];
    await new Promise((resolve) => setImmediate(resolve));
    await durable();
  }
  if (part.length > 0) parts.push(part.join(","));
  const opening = JSON.stringify({ kind: "snapshot", ...head });
  return `${opening.slice(0, -1)},"sweeps":[${sweeps.join(",")}],"trials":[${parts.join(",")}],"workers":[${workers.join(",")}]}`;
}
