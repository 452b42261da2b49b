/**
 * A scheduler that does everything a scheduler may, for simulations: trials below one half at their first report are
 * paused, the best paused one goes on when a lane is free, and what is below a tenth at any report is stopped.
 *
 * Its state keeps what it judged, as `number@epoch`: by it the oracle sees that no decision lacks its report (I18).
 */
import type { Scheduler } from "../../coordinator/core/schedulers/scheduler.js";
import type { Json } from "../../coordinator/core/types.js";

export const STOP_BELOW = 0.1;
export const PAUSE_BELOW = 0.5;
export const PAUSE_EPOCH = 1;

export interface RungState {
  readonly [key: string]: Json;
  readonly judged: readonly string[];
  readonly paused: Readonly<Record<string, number>>;
  readonly resumed: readonly number[];
}

export const rungScheduler: Scheduler = {
  check: () => null,
  init: () => ({ judged: [], paused: {}, resumed: [] }),
  onReport(json, { number, epoch, value }) {
    const state = json as RungState;
    const key = `${number}@${epoch}`;
    if (value === null) return [state, "continue"];
    const judged = state.judged.includes(key) ? state.judged : [...state.judged, key];
    if (value < STOP_BELOW) return [changed(state, { judged }), "stop"];
    const pauses = epoch === PAUSE_EPOCH && value < PAUSE_BELOW && !state.resumed.includes(number);
    if (!pauses) return [changed(state, { judged }), "continue"];
    return [changed(state, { judged, paused: { ...state.paused, [number]: value } }), "pause"];
  },
  onEnd: (state) => state,
  promote(json, paused) {
    const state = json as RungState;
    const [best] = [...paused].sort((a, b) => (state.paused[b] ?? 0) - (state.paused[a] ?? 0) || a - b);
    if (best === undefined || (state.paused[best] ?? 0) < 0.25) return [state, null];
    return [changed(state, { resumed: [...state.resumed, best] }), best];
  },
};

function changed(state: RungState, changes: Partial<Pick<RungState, "judged" | "paused" | "resumed">>): RungState {
  const { judged = state.judged, paused = state.paused, resumed = state.resumed } = changes;
  return { judged, paused, resumed };
}
