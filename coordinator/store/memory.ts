/**
 * A store in memory, for tests and simulations: the same promises as the SQLite store, but for durability, and the same
 * refusals. Records are copied on the way in and out, so that nobody shares them. Not here: files, views, queries.
 */
import { type AttemptId, ConvsweepError, type SweepId, type Token, type TrialId } from "../../proto/contract.js";
import type { Mutation } from "../core/events.js";
import type { Artifact, Attempt, EventRecord, MetricValue, Report, Sweep, Trial, Worker } from "../core/types.js";
import type { KeptArtifact, Snapshot, Store } from "./store.js";
import { checkReferences, checkShapes } from "./validate.js";

interface StoredReport extends Report {
  readonly metrics: Record<string, MetricValue>;
}

/** Bytes of UTF-8, as SQLite orders text. */
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

export function openMemoryStore(): Store {
  const sweeps = new Map<SweepId, Sweep>();
  const trials = new Map<TrialId, Trial>();
  const attempts = new Map<AttemptId, Attempt>();
  const holders = new Map<number, AttemptId>();
  const byTrial = new Map<TrialId, AttemptId[]>();
  const reports = new Map<AttemptId, Map<number, StoredReport>>();
  const workers = new Map<string, Worker>();
  const artifacts: KeptArtifact[] = [];
  const events: EventRecord[] = [];
  const uuid = globalThis.crypto.randomUUID();
  const openings = [{ id: globalThis.crypto.randomUUID(), commit: 0, tokens: 0 }];
  let lastToken = 0;
  let lastSweep = 0;
  let commitSeq = 0;
  let open = true;

  const needOpen = (): void => {
    if (!open) throw new ConvsweepError("INTERNAL", "the store is closed");
  };

  function addReport(report: Report): void {
    if (Object.keys(report.metrics).length === 0) return;
    const ofAttempt = reports.get(report.attempt) ?? new Map<number, StoredReport>();
    reports.set(report.attempt, ofAttempt);
    const before = ofAttempt.get(report.epoch);
    if (before === undefined) {
      ofAttempt.set(report.epoch, { ...report, metrics: { ...report.metrics } });
      return;
    }
    const added = Object.entries(report.metrics).filter(([name]) => !Object.hasOwn(before.metrics, name));
    if (added.length === 0) return;
    ofAttempt.set(report.epoch, {
      ...before,
      metrics: { ...before.metrics, ...Object.fromEntries(added) },
      step: Math.max(before.step, report.step),
      at: Math.max(before.at, report.at) as Report["at"],
    });
  }

  function putArtifact(artifact: Artifact): void {
    const { attempt, name, epoch } = artifact;
    const at = artifacts.findIndex((kept) => kept.attempt === attempt && kept.name === name && kept.epoch === epoch);
    if (at < 0) artifacts.push({ ...artifact, id: artifacts.length + 1 });
    else artifacts[at] = { ...artifact, id: at + 1 };
  }

  /** Of each name and epoch the newest attempt's. */
  function artifactsOf(trial: TrialId): readonly KeptArtifact[] {
    const newest = new Map<string, KeptArtifact>();
    for (const { id } of ofTrial(trial)) {
      for (const kept of artifacts) if (kept.attempt === id) newest.set(`${kept.name} ${kept.epoch}`, kept);
    }
    return [...newest.values()].sort((a, b) => byBytes(a.name, b.name) || a.epoch - b.epoch);
  }

  function put(mutation: Mutation): void {
    switch (mutation.kind) {
      case "putSweep":
        sweeps.set(mutation.sweep.id, structuredClone(mutation.sweep));
        return;
      case "putTrial":
        trials.set(mutation.trial.id, structuredClone(mutation.trial));
        return;
      case "putAttempt": {
        const { attempt } = mutation;
        if (!attempts.has(attempt.id)) byTrial.set(attempt.trial, [...(byTrial.get(attempt.trial) ?? []), attempt.id]);
        attempts.set(attempt.id, structuredClone(attempt));
        holders.set(attempt.token, attempt.id);
        return;
      }
      case "addReport":
        addReport(mutation.report);
        return;
      case "putArtifact":
        putArtifact(mutation.artifact);
        return;
      case "putWorker":
        workers.set(mutation.worker.id, structuredClone(mutation.worker));
        return;
      case "addEvent":
        events.push({ ...mutation.event });
        return;
      case "setTokens":
        lastToken = mutation.last;
        return;
      case "setSweeps":
        lastSweep = mutation.last;
        return;
    }
  }

  function ofTrial(trial: TrialId): readonly Attempt[] {
    const all = (byTrial.get(trial) ?? []).map((id) => attempts.get(id)).filter((attempt) => attempt !== undefined);
    return all.sort((a, b) => a.n - b.n);
  }

  function ofAttempt(attempt: AttemptId): readonly Report[] {
    return [...(reports.get(attempt)?.values() ?? [])].sort((a, b) => a.epoch - b.epoch);
  }

  return {
    info() {
      needOpen();
      return { uuid, schemaVersion: 0, path: ":memory:", commitSeq };
    },
    openingNotes: () => [],
    position: () => ({ uuid, generation: 0, commit: commitSeq, openings }),
    load(): Snapshot {
      needOpen();
      const kept = [...attempts.values()].filter((attempt) => attempt.endedAt === null);
      return structuredClone({
        sweeps: [...sweeps.values()].sort((a, b) => a.id - b.id),
        trials: [...trials.values()].sort((a, b) => a.sweep - b.sweep || a.number - b.number),
        attempts: kept.sort((a, b) => a.token - b.token),
        workers: [...workers.values()].sort((a, b) => byBytes(a.id, b.id)),
        lastToken: lastToken as Token,
        lastSweep: lastSweep as SweepId,
      });
    },
    commit(batch) {
      needOpen();
      checkShapes(batch);
      checkReferences(batch, {
        sweep: (id) => sweeps.has(id),
        trial: (id) => trials.has(id),
        tokenOf: (id) => attempts.get(id)?.token ?? null,
        holderOf: (token) => holders.get(token) ?? null,
      });
      for (const mutation of batch) put(mutation);
      commitSeq += 1;
    },
    makeRoom: () => undefined,
    tryWriting: () => undefined,
    reports: (trial) => structuredClone(ofTrial(trial).flatMap((attempt) => ofAttempt(attempt.id))),
    attemptReports: (attempt) => structuredClone(ofAttempt(attempt)),
    attempts: (trial) => structuredClone(ofTrial(trial)),
    artifacts: (trial) => structuredClone(artifactsOf(trial)),
    artifact: (id) => structuredClone(artifacts[id - 1] ?? null),
    events({ sweep, trial, limit }) {
      const wanted = events.filter(
        (event) => (sweep === null || event.sweep === sweep) && (trial === null || event.trial === trial),
      );
      return structuredClone(limit > 0 ? wanted.slice(-limit) : []);
    },
    eventsOf(kinds, limit, among) {
      const wanted = events.slice(-among).filter(({ kind }) => kinds.includes(kind));
      return structuredClone(wanted.slice(-limit));
    },
    backup: () => Promise.reject(new ConvsweepError("WRONG_STATE", "a store in memory has no file to back up")),
    close() {
      open = false;
    },
  };
}
