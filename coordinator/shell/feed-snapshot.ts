/**
 * The whole state as feed messages, written in parts with other work in between, so that reports do not wait for a viewer.
 *
 * Guarantees: every row is durable and at least as new as the delta the snapshot is numbered with, so the deltas that follow make it
 * current. The parts together name each trial once; the first holds what a page shows first: the best of each sweep (of the newest,
 * where there are too many for a screen of each), and what trains.
 * Not here: who gets it (feed-hub.ts).
 */
import type { SweepId } from "../../proto/contract.js";
import type { State } from "../core/state.js";
import type { Sweep, Trial } from "../core/types.js";
import { sweepRow, trialRow, workerRow } from "../core/views.js";
import { Board } from "./board.js";
import type { Clock } from "./clock.js";

const ROWS_A_PART = 2_000;
/** Of a sweep in the first part: several screens. */
const LEADERS = 200;
/** The least that is worth showing of a sweep. */
const SCREEN = 20;

export interface SnapshotHead {
  readonly feed: string;
  readonly seq: number;
  readonly version: string;
}

export class Snapshot {
  readonly seq: number;
  readonly #head: SnapshotHead;
  readonly #rowsAPart: number;
  /** Rows of the parts so far, without what is around them. */
  readonly #rows: string[] = [];
  #around: { sweeps: string; workers: string; rest: number } | null = null;
  #done = false;

  constructor(head: SnapshotHead, rowsAPart = ROWS_A_PART) {
    this.#head = head;
    this.#rowsAPart = rowsAPart;
    this.seq = head.seq;
  }

  /** All parts are there. */
  get done(): boolean {
    return this.#done;
  }

  /** Part `n` as a message: a snapshot, then messages of rows; `null` while it is not written, or past the last. */
  part(n: number): string | null {
    const rows = this.#rows[n];
    if (rows === undefined || this.#around === null) return null;
    if (n === 0) return this.#message(rows, this.#around.rest);
    return `{"kind":"rows","seq":${this.seq},"trials":[${rows}]}`;
  }

  /** Everything as one message; `null` before it is done. */
  whole(): string | null {
    return this.#done ? this.#message(this.#rows.filter((rows) => rows !== "").join(","), 0) : null;
  }

  #message(rows: string, rest: number): string {
    const opening = JSON.stringify({ kind: "snapshot", ...this.#head, rest }).slice(0, -1);
    return `${opening},"sweeps":[${this.#around?.sweeps}],"trials":[${rows}],"workers":[${this.#around?.workers}]}`;
  }

  /**
   * Writes the parts and calls `written` after each. `durable` waits until the state is what the disk has. `sweep` leaves
   * only that sweep and its trials; `null` for all.
   */
  async write(
    state: State,
    durable: () => Promise<void>,
    clock: Clock,
    sweep: SweepId | null,
    written: () => void,
  ): Promise<void> {
    await durable();
    const now = clock.now();
    const sweeps = [...state.sweeps.values()].filter((one) => sweep === null || one.id === sweep);
    const asked = (trial: Trial): boolean => sweep === null || trial.sweep === sweep;
    // What begins while the parts are written comes with a delta, and perhaps here as well.
    const trials = [...state.trials.values()].filter(asked);
    const first = trials.length <= this.#rowsAPart ? trials : firstShown(sweeps, trials, this.#rowsAPart);
    const inFirst = new Set(first.map((trial) => trial.id));
    const rest = trials.length - first.length;
    const text = (trial: Trial): string => JSON.stringify(trialRow(state, trial, now));
    this.#around = {
      sweeps: sweeps.map((one) => JSON.stringify(sweepRow(state, one, now))).join(","),
      workers: [...state.workers.values()].map((one) => JSON.stringify(workerRow(state, one, now))).join(","),
      rest,
    };
    this.#rows.push(first.map(text).join(","));
    const later = rest === 0 ? [] : trials.flatMap(({ id }) => (inFirst.has(id) ? [] : [id]));
    for (let from = 0; from < later.length; from += this.#rowsAPart) {
      written();
      await new Promise((resolve) => setImmediate(resolve));
      await durable();
      const part: string[] = [];
      for (const id of later.slice(from, from + this.#rowsAPart)) {
        const trial = state.trials.get(id);
        if (trial === undefined) throw new Error(`trial ${id} is gone`);
        part.push(text(trial));
      }
      this.#rows.push(part.join(","));
    }
    this.#done = true;
    written();
  }
}

/** The best trials of sweeps, then those that train now; as many of both as a part holds. */
function firstShown(sweeps: readonly Sweep[], trials: readonly Trial[], rows: number): readonly Trial[] {
  const best = new Set(leaders(sweeps, trials, rows));
  const training = trials.filter(
    (trial) => (trial.state === "leased" || trial.state === "running") && !best.has(trial),
  );
  return [...best, ...training.slice(0, rows)];
}

/** The first of each sweep's leaderboard: of every sweep alike, unless that is less than a screen; then of the newest ones. */
function leaders(sweeps: readonly Sweep[], trials: readonly Trial[], rows: number): readonly Trial[] {
  const most = Math.max(SCREEN, Math.min(LEADERS, Math.floor(rows / Math.max(1, sweeps.length))));
  const newest = [...sweeps].sort((a, b) => b.id - a.id).slice(0, Math.max(1, Math.floor(rows / most)));
  const boards = new Map(newest.map(({ id, spec }) => [id, new Board(spec.objective.goal, most)]));
  for (const trial of trials) boards.get(trial.sweep)?.add(trial);
  return [...boards.values()].flatMap((board) => board.first());
}
