/**
 * The first trials of a sweep's leaderboard, out of many that are shown to it one by one; keeps few.
 *
 * Not here: the order itself (proto/leaderboard.ts).
 */
import { compareTrials, type Goal, type Ranked } from "../../proto/leaderboard.js";
import type { Trial } from "../core/types.js";

export class Board {
  readonly #goal: Goal;
  readonly #most: number;
  #entries: { readonly row: Ranked; readonly trial: Trial }[] = [];

  constructor(goal: Goal, most: number) {
    this.#goal = goal;
    this.#most = most;
  }

  add(trial: Trial): void {
    this.#entries.push({ row: rankedOf(trial), trial });
    // Sorting now and then keeps the list short.
    if (this.#entries.length >= 10 * this.#most) this.#keepFirst();
  }

  first(): readonly Trial[] {
    this.#keepFirst();
    return this.#entries.map(({ trial }) => trial);
  }

  #keepFirst(): void {
    this.#entries = this.#entries.sort((a, b) => compareTrials(a.row, b.row, this.#goal)).slice(0, this.#most);
  }
}

export function rankedOf({ number, state, best }: Trial): Ranked {
  return { number, state, best: best?.value ?? null, bestEpoch: best?.epoch ?? null };
}
