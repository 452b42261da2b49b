/**
 * A batch as it is written: of several puts of one entity only the last, everything else in order. Writing the others
 * would change nothing, because a batch is one transaction. Not here: checks, SQL.
 */
import type { Mutation } from "../core/events.js";

export function lastPuts(batch: readonly Mutation[]): readonly Mutation[] {
  // One set a kind: ids of different kinds may be equal, and to make a key of both costs more than all the rest.
  const seen = new Map<Mutation["kind"], Set<string | number>>();
  const kept: Mutation[] = [];
  for (let i = batch.length - 1; i >= 0; i -= 1) {
    const mutation = batch[i] as Mutation;
    const entity = entityOf(mutation);
    if (entity !== null) {
      const known = seen.get(mutation.kind) ?? new Set();
      if (known.has(entity)) continue;
      seen.set(mutation.kind, known.add(entity));
    }
    kept.push(mutation);
  }
  return kept.reverse();
}

/** What a put is of, among those of its kind; `null` for what is only ever added. */
function entityOf(mutation: Mutation): string | number | null {
  switch (mutation.kind) {
    case "putSweep":
      return mutation.sweep.id;
    case "putTrial":
      return mutation.trial.id;
    case "putAttempt":
      return mutation.attempt.id;
    case "putWorker":
      return mutation.worker.id;
    case "setTokens":
    case "setSweeps":
      return 0;
    case "putArtifact": {
      const { attempt, name, epoch } = mutation.artifact;
      return `${attempt} ${epoch} ${name}`;
    }
    case "addReport":
    case "addEvent":
      return null;
  }
}
