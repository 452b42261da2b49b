/**
 * The page's questions that the feed does not answer: curves, and one trial with its history.
 *
 * Guarantees: bounded answers, from what is durable. Read-only. Not here: HTTP, who may ask.
 */
import { ConvsweepError, parseTrialId, sweepId, trialId } from "../../proto/contract.js";
import type { CurvesAnswer, ReportRow, TrialRow } from "../../proto/feed.js";
import { groupOf } from "../../proto/leaderboard.js";
import { reportsOf } from "../core/checkpoints.js";
import type { State } from "../core/state.js";
import { trialsOf } from "../core/state.js";
import type { Attempt, EventRecord, Sweep, Trial } from "../core/types.js";
import { trialRow } from "../core/views.js";
import type { KeptArtifact, Store } from "../store/store.js";
import { Board, rankedOf } from "./board.js";
import type { Clock } from "./clock.js";

const CURVES_BY_DEFAULT = 20;
const CURVES_AT_MOST = 500;
const EVENTS_AT_MOST = 500;

export interface ApiParts {
  readonly state: State;
  readonly store: Store;
  readonly clock: Clock;
  /** Number of the feed's newest delta. */
  readonly seq: () => number;
}

export interface TrialAnswer {
  readonly trial: TrialRow;
  readonly reports: readonly ReportRow[];
  readonly attempts: readonly Attempt[];
  readonly artifacts: readonly KeptArtifact[];
  readonly events: readonly EventRecord[];
}

/** Curves of the best `limit` trials and of those that run, the best first. */
export function curves(parts: ApiParts, query: URLSearchParams): CurvesAnswer {
  const sweep = parts.state.sweeps.get(sweepId(wholeNumber("sweep", query.get("sweep"), 1, Number.MAX_SAFE_INTEGER)));
  if (!sweep) throw new ConvsweepError("NOT_FOUND", `there is no sweep ${query.get("sweep")}`, { path: "sweep" });
  const limit = query.has("limit") ? wholeNumber("limit", query.get("limit"), 1, CURVES_AT_MOST) : CURVES_BY_DEFAULT;
  const seq = parts.seq();
  const chosen = bestAndRunning(parts.state, sweep, limit);
  return {
    sweep: sweep.id,
    seq,
    curves: chosen.map((trial) => ({ trial: trial.id, reports: curveOf(parts.store, trial) })),
  };
}

export function trialDetails(parts: ApiParts, id: string): TrialAnswer {
  const parsed = parseTrialId(id);
  const trial = parsed && parts.state.trials.get(trialId(parsed.sweep, parsed.number));
  if (!trial) throw new ConvsweepError("NOT_FOUND", `there is no trial ${id}`, { path: "trial", found: id });
  return {
    trial: trialRow(parts.state, trial, parts.clock.now()),
    reports: curveOf(parts.store, trial),
    attempts: parts.store.attempts(trial.id),
    artifacts: parts.store.artifacts(trial.id),
    events: parts.store.events({ sweep: trial.sweep, trial: trial.id, limit: EVENTS_AT_MOST }),
  };
}

function bestAndRunning(state: State, sweep: Sweep, limit: number): readonly Trial[] {
  const trials = [...trialsOf(state, sweep)];
  const board = new Board(sweep.spec.objective.goal, limit);
  for (const trial of trials) if (groupOf(rankedOf(trial)) === 0) board.add(trial);
  const chosen = new Set(board.first());
  for (const trial of trials) if (trial.state === "running" && chosen.size < CURVES_AT_MOST) chosen.add(trial);
  return [...chosen];
}

/**
 * One row an epoch, up to where the trial stands: of the attempt that it goes on from up to its checkpoint, then of the newest.
 * What a lost attempt reported beyond is in the record, and no part of the curve.
 */
function curveOf(store: Store, trial: Trial): readonly ReportRow[] {
  return reportsOf(store, trial).map(({ epoch, metrics }) => ({ trial: trial.id, epoch, metrics }));
}

function wholeNumber(name: string, text: string | null, least: number, most: number): number {
  const value = text !== null && /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const expected = `a whole number ${least} .. ${most}`;
  throw new ConvsweepError("BAD_INPUT", `${name}: expected ${expected}`, {
    path: name,
    expected,
    found: text ?? "nothing",
  });
}
