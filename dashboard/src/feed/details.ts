/**
 * Reads the answer of GET /api/trials/SWEEP/NUMBER. Tolerant: what is missing or of another shape becomes nothing to
 * show, never an error.
 */
import { isConfusionFile } from "../../../proto/confusion.js";
import type { FeedMetric, ReportRow, TrialRow } from "../../../proto/feed.js";

export interface AttemptLine {
  readonly name: string;
  readonly state: string;
  readonly where: string;
  readonly cause: string;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Epoch of the checkpoint that it went on from; 0 for the start. */
  readonly fromEpoch: number;
}

export interface EventLine {
  readonly at: number | null;
  readonly kind: string;
  readonly detail: string;
}

/** A file of the trial. */
export interface ArtifactLine {
  readonly id: number;
  readonly name: string;
  /** 0 for the trial as a whole. */
  readonly epoch: number;
  /** What the page shows in place; the others are links. */
  readonly shown: "picture" | "confusion" | null;
}

export interface TrialDetails {
  readonly reports: readonly ReportRow[];
  readonly attempts: readonly AttemptLine[];
  readonly artifacts: readonly ArtifactLine[];
  readonly events: readonly EventLine[];
}

type Loose = Readonly<Record<string, unknown>>;

export function readDetails(answer: unknown, trial: Pick<TrialRow, "id">): TrialDetails {
  const body = isObject(answer) ? answer : {};
  const byEpoch = new Map<number, ReportRow>();
  for (const report of objects(body["reports"])) {
    const epoch = time(report["epoch"]);
    if (epoch !== null && isObject(report["metrics"])) {
      byEpoch.set(epoch, { trial: trial.id, epoch, metrics: metrics(report["metrics"]) });
    }
  }
  return {
    reports: [...byEpoch.values()].sort((a, b) => a.epoch - b.epoch),
    attempts: objects(body["attempts"]).map((attempt, i) => ({
      name: text(attempt["id"]) || `attempt ${text(attempt["n"]) || i + 1}`,
      state: text(attempt["state"]),
      where: [text(attempt["worker"]), text(attempt["device"])].filter((part) => part !== "").join(" · "),
      cause: text(attempt["cause"]),
      startedAt: time(attempt["startedAt"]) ?? time(attempt["offeredAt"]),
      endedAt: time(attempt["endedAt"]),
      fromEpoch: time(attempt["fromEpoch"]) ?? 0,
    })),
    artifacts: objects(body["artifacts"]).flatMap((artifact) => {
      const id = time(artifact["id"]);
      if (id === null) return [];
      const [name, mediaType] = [text(artifact["name"]), text(artifact["mediaType"])];
      const picture = /^image\/(?!svg)/.test(mediaType) ? "picture" : null;
      const shown = isConfusionFile(name, mediaType) ? "confusion" : picture;
      return [{ id, name, epoch: time(artifact["epoch"]) ?? 0, shown }];
    }),
    events: objects(body["events"]).map((event) => ({
      at: time(event["at"]),
      kind: text(event["kind"]),
      detail: text(event["detail"]),
    })),
  };
}

function metrics(value: Loose): Readonly<Record<string, FeedMetric>> {
  const entries: [string, FeedMetric][] = [];
  for (const [name, metric] of Object.entries(value)) {
    if (typeof metric === "number" || metric === "nan" || metric === "inf" || metric === "-inf")
      entries.push([name, metric]);
  }
  return Object.fromEntries(entries);
}

function isObject(value: unknown): value is Loose {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objects(value: unknown): readonly Loose[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

function time(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
