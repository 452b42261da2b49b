/**
 * Checkpoints of a trial: which are kept, and which an attempt may go on from.
 *
 * Guarantees: only the holder of the current token adds one, and only of an epoch it has reported; the newest two are
 * kept, none of a trial that is final. With each is kept where the trial stood, so that an attempt that begins there
 * stands exactly there: epochs before it are never reported again, those after it always are. A device of another
 * fingerprint begins at the start: the two would not compare to the bit. Not here: the bytes (shell/checkpoints.ts).
 */
import { attemptId } from "../../proto/contract.js";
import { holder, renew } from "./attempts.js";
import { changedTrial } from "./changed.js";
import type { Draft } from "./draft.js";
import { aboutAttempt } from "./draft.js";
import type { History } from "./environment.js";
import type { CheckpointRef, Event } from "./events.js";
import { AT_THE_START, advance } from "./objective.js";
import type { Attempt, Checkpoint, Forebear, Progress, Report, Trial } from "./types.js";

const KEPT = 2;

export function checkpointSaved(draft: Draft, event: Extract<Event, { readonly kind: "CheckpointSaved" }>): void {
  const held = holder(draft, event, `checkpoint of epoch ${event.epoch}`);
  if (held === null) return;
  const attempt = renew(draft, held);
  const trial = draft.trial(attempt.trial);
  const { epoch, digest, bytes } = event;
  const newest = trial.checkpoints[0]?.progress.epoch ?? 0;
  if (trial.checkpoints.some((known) => known.digest === digest)) return;
  // One that came before its epoch was reported, or after a newer one, would take the trial to where it never was.
  const misplaced = epoch > attempt.lastEpoch || epoch < Math.max(1, newest, attempt.fromEpoch);
  const progress = misplaced ? null : progressAt(draft, trial, epoch);
  const { fingerprint, id } = attempt;
  // So would one of an epoch that was passed over in the reports.
  if (progress?.epoch !== epoch || fingerprint === null) {
    draft.record("checkpoint-refused", aboutAttempt(trial, attempt), `epoch ${epoch} at epoch ${attempt.lastEpoch}`);
    return draft.keepCheckpoints(trial.id, digestsOf(trial));
  }
  const saved: Checkpoint = { digest, bytes, fingerprint, attempt: id, progress, at: draft.now };
  const next = draft.putTrial(changedTrial(trial, { checkpoints: [saved, ...trial.checkpoints].slice(0, KEPT) }));
  draft.keepCheckpoints(trial.id, digestsOf(next));
}

/**
 * What this attempt may begin with, newest first. What counts is the device it was given to: another process may have
 * taken the worker's name since, with devices of another kind.
 */
export function usableCheckpoints(trial: Trial, attempt: Attempt): readonly Checkpoint[] {
  return trial.checkpoints.filter((checkpoint) => checkpoint.fingerprint === attempt.fingerprint);
}

export function refOf({ progress, digest, bytes }: Checkpoint): CheckpointRef {
  return { epoch: progress.epoch, digest, bytes };
}

/**
 * The checkpoint that an attempt says it began with, `null` for the start, `undefined` if there is none of that epoch.
 * Newer ones that it was offered could not be used: that is noted, and nobody is offered them again.
 */
export function beginning(draft: Draft, attempt: Attempt, epoch: number): Checkpoint | null | undefined {
  const trial = draft.trial(attempt.trial);
  const offered = usableCheckpoints(trial, attempt);
  const from = epoch === 0 ? null : offered.find(({ progress }) => progress.epoch === epoch);
  const bad = offered.filter(({ progress }) => progress.epoch > epoch);
  if (from === undefined || bad.length === 0) return from;
  for (const { progress, digest } of bad) {
    const instead = epoch === 0 ? "the start" : `epoch ${epoch}`;
    const detail = `epoch ${progress.epoch} (${digest.slice(0, 12)}) could not be used; goes on from ${instead}`;
    draft.record("checkpoint-unusable", aboutAttempt(trial, attempt), detail);
  }
  const next = draft.putTrial(
    changedTrial(trial, { checkpoints: trial.checkpoints.filter((kept) => !bad.includes(kept)) }),
  );
  draft.keepCheckpoints(trial.id, digestsOf(next));
  return from;
}

/**
 * The reports that are the trial's, of every epoch up to where it stands: what its lineage reported, then the newest
 * attempt. Others that trained the same epochs, perhaps on another kind of device, are not what was gone on from.
 */
export function reportsOf(history: History, { id, attempts, epoch: last, lineage }: Trial): readonly Report[] {
  let from = 0;
  return [...lineage, { n: attempts, epoch: last }].flatMap(({ n, epoch: to }: Forebear) => {
    const after = from;
    from = to;
    return history.attemptReports(attemptId(id, n)).filter(({ epoch }) => epoch > after && epoch <= to);
  });
}

/** The trial as it stood after `epoch`, which its attempt has reported. */
function progressAt(draft: Draft, trial: Trial, epoch: number): Progress {
  const { best, last, metrics, lineage } = trial;
  if (epoch === trial.epoch) return { epoch, best, last, metrics, lineage };
  const sweep = draft.sweep(trial.sweep);
  const reports = reportsOf(draft.history, trial).filter((report) => report.epoch <= epoch);
  return reports.reduce((progress, report) => advance(sweep, progress, report), { ...AT_THE_START, lineage });
}

function digestsOf({ checkpoints }: Trial): readonly string[] {
  return checkpoints.map(({ digest }) => digest);
}
