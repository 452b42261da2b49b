/**
 * Messages between the coordinator and the dashboard (and `run`'s terminal view), as JSON over one WebSocket at
 * /feed?ticket=TICKET; POST /api/ws-ticket gives a ticket for one connection.
 *
 * Guarantees: `seq` numbers every delta without gaps within one `feed` (one life of the coordinator). A client that
 * comes back with the feed id and its last seq gets what it missed, or a new snapshot when that is too long ago. A row is
 * always whole: the newest replaces the older. Every number here can be found by a query on the views of the store.
 *
 * Not here: commands. The socket is read-only; changes go through the admin service.
 */

export type FeedMetric = number | "nan" | "inf" | "-inf";

export interface SweepRow {
  readonly id: number;
  readonly name: string;
  readonly state: "running" | "paused" | "completed" | "cancelled" | "failed";
  readonly cause: string;
  readonly metric: string;
  readonly goal: "minimize" | "maximize";
  readonly target: number | null;
  readonly method: string;
  readonly network: string;
  readonly dataset: string;
  readonly runCap: number;
  readonly epochs: number;
  readonly seed: number;
  /** Names in the file's order, with the axis they want. */
  readonly parameters: readonly { readonly name: string; readonly scale: "linear" | "log" | "category" }[];
  readonly counts: Readonly<Record<TrialRow["state"], number>>;
  readonly best: { readonly trial: string; readonly value: number } | null;
  /** Epochs done over epochs asked for, of the whole sweep: 0 .. 1. */
  readonly progress: number;
  /** Milliseconds still to go, from the pace so far; `null` before there is one or when nothing runs. */
  readonly etaMillis: number | null;
  /** Milliseconds since 1970, coordinator's clock. */
  readonly createdAt: number;
  readonly endedAt: number | null;
}

export interface TrialRow {
  /** `SWEEP/NUMBER` */
  readonly id: string;
  readonly sweep: number;
  readonly number: number;
  readonly state:
    | "queued"
    | "leased"
    | "running"
    | "paused"
    | "completed"
    | "stopped"
    | "failed"
    | "lost"
    | "cancelled";
  readonly cause: string;
  readonly origin: "sampled" | "enqueued" | "rerun";
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
  /** By the sweep's objective. */
  readonly best: number | null;
  readonly bestEpoch: number | null;
  readonly last: FeedMetric | null;
  readonly epoch: number;
  readonly metrics: Readonly<Record<string, FeedMetric>>;
  readonly attempts: number;
  readonly worker: string | null;
  readonly device: string | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
}

/** What a device said of itself last; `null` what it cannot say. */
export interface DeviceUseRow {
  /** Share of the driver's last sample period in which a kernel ran: 0 .. 1. */
  readonly utilization: number | null;
  /** Bytes, of all processes and the driver together. */
  readonly memoryUsed: number | null;
  readonly memoryTotal: number | null;
  /** Degrees Celsius. */
  readonly temperature: number | null;
  /** Watts. */
  readonly power: number | null;
}

export interface WorkerRow {
  readonly id: string;
  readonly host: string;
  readonly state: "connected" | "draining" | "away" | "gone";
  readonly version: string;
  readonly devices: readonly {
    readonly id: string;
    readonly name: string;
    readonly backend: string;
    readonly lanes: number;
    /** Lanes that hold a trial now. */
    readonly busy: number;
    /** `null` of a device that says nothing of itself, and of a worker that nobody hears of. */
    readonly use: DeviceUseRow | null;
  }[];
  readonly connectedAt: number;
  readonly lastSeen: number;
}

/** One epoch of one trial. */
export interface ReportRow {
  readonly trial: string;
  readonly epoch: number;
  readonly metrics: Readonly<Record<string, FeedMetric>>;
}

export type FeedChange =
  | { readonly kind: "sweep"; readonly row: SweepRow }
  | { readonly kind: "trial"; readonly row: TrialRow }
  | { readonly kind: "worker"; readonly row: WorkerRow }
  | { readonly kind: "report"; readonly row: ReportRow };

/** What a client sends, once after connecting. */
export interface FeedHello {
  readonly kind: "hello";
  /** Where it stopped; `null` for a first visit. */
  readonly resume: { readonly feed: string; readonly seq: number } | null;
  /** Takes a snapshot in parts: the best trials of each sweep, then `rows`. Without it a snapshot is one message. */
  readonly parts?: boolean | undefined;
}

export type FeedMessage =
  | {
      readonly kind: "snapshot";
      readonly feed: string;
      readonly seq: number;
      readonly version: string;
      /** How many trials come in `rows` before the first delta. */
      readonly rest: number;
      readonly sweeps: readonly SweepRow[];
      readonly trials: readonly TrialRow[];
      readonly workers: readonly WorkerRow[];
    }
  /** More trials of the snapshot numbered `seq`; one who has not all of them cannot resume. */
  | { readonly kind: "rows"; readonly seq: number; readonly trials: readonly TrialRow[] }
  | { readonly kind: "delta"; readonly seq: number; readonly changes: readonly FeedChange[] };

/** Answer of GET /api/curves?sweep=ID&limit=N: curves of the best N trials and of those that run. */
export interface CurvesAnswer {
  readonly sweep: number;
  readonly seq: number;
  readonly curves: readonly { readonly trial: string; readonly reports: readonly ReportRow[] }[];
}

/** Answer of GET /api/session: what a POST of this browser's session has to show in X-CSRF. */
export interface SessionAnswer {
  readonly csrf: string;
}

/** Answer of POST /api/ws-ticket: opens one socket at /feed within 30 s. */
export interface TicketAnswer {
  readonly ticket: string;
}
