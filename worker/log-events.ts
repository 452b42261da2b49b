/**
 * Names of a worker's log lines and when they are written; docs/metrics.md lists them for people. A name stays when the
 * words of its line change.
 */
export const LOG_EVENTS = {
  "worker-up": "it starts; with its devices",
  "worker-leaving": "it was asked to end, or has to",
  crashed: "a fault of its own that nobody caught; it ends with exit code 70",
  "worker-drained": "it holds nothing, everything is acknowledged, and it ends",
  "link-up": "it joined the coordinator",
  "link-trouble": "there is no link to the coordinator; it is tried again",
  "link-refused": "the coordinator will never take it, and it ends",
  "drain-asked": "the coordinator wants it to take no more trials",
  "other-coordinator": "the store is another than before; everything held is dropped",
  "rollback-detected": "the coordinator is older than it was; what it acknowledged is sent again",
  "attempt-assigned": "a trial was given to it",
  "attempt-started": "it trains",
  "attempt-ended": "with its outcome",
  "attempt-dropped": "the coordinator no longer counts on it",
  "report-refused": "what it has to say of an attempt is not wanted; it is kept in a file",
  "checkpoint-trouble": "a checkpoint could not be saved, kept or used",
  "artifact-trouble": "a file of a trial could not be made or kept",
  "training-paused": "too much waits for the coordinator",
  "training-resumed": "it waits no longer",
  "device-lost": "a device ended; the worker gives back what it holds",
  "thread-trouble": "a thread ended, is stuck, or did not close",
  "spool-found": "the worker before this one left messages; they are sent now",
  "spool-trouble": "reports cannot be kept on disk, only in memory",
} as const;

export type LogEvent = keyof typeof LOG_EVENTS;
