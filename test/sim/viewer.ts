/**
 * A page that follows the feed: a snapshot when it connects, then the changes of every 50 ms, made by the core's own
 * `changesOf` from what turns committed, as the hub makes them.
 *
 * I16: snapshot and changes together are the state; checked when everything rests. Not here: the hub's ring, its sockets
 * and its numbers (test/shell/feed.test.ts).
 */
import { isDeepStrictEqual } from "node:util";
import type { Mutation } from "../../coordinator/core/events.js";
import type { State } from "../../coordinator/core/state.js";
import { changesOf, sweepRow, trialRow, workerRow } from "../../coordinator/core/views.js";
import type { Millis } from "../../proto/contract.js";
import type { Life, World } from "./surroundings.js";

const TICK_MILLIS = 50;

type Row = { readonly id: string | number };

export class Viewer {
  readonly #world: World;
  readonly #rows = new Map<string, Row>();
  #pending: Mutation[] = [];
  #connected = false;

  constructor(world: World) {
    this.#world = world;
  }

  get atRest(): boolean {
    return this.#pending.length === 0;
  }

  /** The coordinator is there: a new feed, so a snapshot. */
  coordinatorUp(life: Life): void {
    this.#rows.clear();
    this.#pending = [];
    this.#connected = true;
    const { state } = life;
    for (const [key, row] of rowsOf(state, life.now())) this.#rows.set(key, row);
  }

  coordinatorDown(): void {
    this.#connected = false;
    this.#pending = [];
  }

  note(life: Life, mutations: readonly Mutation[]): void {
    if (!this.#connected || mutations.length === 0) return;
    if (this.#pending.length === 0) {
      this.#world.timeline.at(this.#world.now + TICK_MILLIS, () => life.enter(() => this.#tick(life)));
    }
    for (const mutation of mutations) this.#pending.push(mutation);
  }

  #tick(life: Life): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const change of changesOf(life.state, pending, life.now())) {
      if (change.kind !== "report") this.#rows.set(`${change.kind} ${change.row.id}`, change.row);
    }
    this.#world.count("delta to a page");
  }

  check(life: Life): void {
    if (!this.#connected) return;
    const expected = rowsOf(life.state, life.now());
    for (const [key, row] of expected) {
      const shown = this.#rows.get(key);
      if (shown !== undefined && sameRow(shown, row)) continue;
      this.#world.oracle.fail("I16", `a page shows ${JSON.stringify(shown)} of ${key}, it is ${JSON.stringify(row)}`);
    }
    if (expected.size !== this.#rows.size) this.#world.oracle.fail("I16", "a page shows what is not there");
  }
}

function rowsOf(state: State, now: Millis): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const sweep of state.sweeps.values()) rows.set(`sweep ${sweep.id}`, sweepRow(state, sweep, now));
  for (const trial of state.trials.values()) rows.set(`trial ${trial.id}`, trialRow(state, trial, now));
  for (const worker of state.workers.values()) rows.set(`worker ${worker.id}`, workerRow(state, worker, now));
  return rows;
}

/** But for what changes with time alone. */
function sameRow(shown: object, is: object): boolean {
  const [one, other] = [shown, is] as [Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>];
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(other).length) return false;
  return keys.every(
    (key) => key === "etaMillis" || Object.is(one[key], other[key]) || isDeepStrictEqual(one[key], other[key]),
  );
}
