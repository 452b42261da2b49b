/**
 * A batch as it is written: of several puts of one entity only the last, everything else in order. Writing the others
 * would change nothing, because a batch is one transaction. Not here: checks, SQL.
 */
import type { Mutation } from "../core/events.js";

function entity(mutation: Mutation): string | null {
  switch (mutation.kind) {
    case "putSweep":
      return `s${mutation.sweep.id}`;
    case "putTrial":
      return `t${mutation.trial.id}`;
    case "putAttempt":
      return `a${mutation.attempt.id}`;
    case "putWorker":
      return `w${mutation.worker.id}`;
    case "setTokens":
      return "tokens";
    case "setSweeps":
      return "sweeps";
    case "putArtifact": {
      const { attempt, name, epoch } = mutation.artifact;
      return `f${attempt} ${epoch} ${name}`;
    }
    case "addReport":
    case "addEvent":
      return null;
  }
}

export function lastPuts(batch: readonly Mutation[]): readonly Mutation[] {
  const last = new Map<string, Mutation>();
  for (const mutation of batch) {
    const key = entity(mutation);
    if (key !== null) last.set(key, mutation);
  }
  return batch.filter((mutation) => {
    const key = entity(mutation);
    return key === null || last.get(key) === mutation;
  });
}
