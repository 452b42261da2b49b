/**
 * How the shell says what happens: one function, so that the owner (a command line, a test) decides where lines go.
 *
 * Guarantees: every line has a name out of LOG_EVENTS, which stays the same when the words change; fields are plain data.
 * Not here: formatting, files, levels switched on or off (cli/json-log.ts). Never give it a secret.
 */

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names of log lines and when they are written; docs/metrics.md lists them for people. */
export const LOG_EVENTS = {
  "coordinator-up": "it listens and serves",
  "coordinator-closed": "it ended in good order",
  "coordinator-stopping":
    "it has to stop: the store cannot be written, a decision of its own failed, or it ran for 30 s and did nothing",
  crashed: "a fault of its own that nobody caught; it ends with exit code 70",
  "insecure-bind": "it listens beyond this machine without encryption",
  "page-not-doubled": "there is no [::1] on this machine, or another program has the page's port there",
  "access-refused": "a token, certificate or login did not count, or not for what was asked",
  "certificate-renewed": "a renewed certificate is in use",
  "certificate-trouble": "the server's certificate expires soon, or a new one cannot be used",
  "event-refused": "an event could not be decided and was refused to its sender",
  "stood-still": "the process did not run for a while; leases get a fresh time",
  "link-hello": "a worker said hello",
  "link-ended": "a worker's stream was ended because of what it said or did",
  "request-failed": "a command's request failed through no fault of its sender",
  "page-question-failed": "a page's request failed through no fault of its sender",
  "viewer-failed": "a viewer in this process failed",
  "snapshot-failed": "a snapshot for viewers could not be written",
  "lease-refused": "a message without a valid lease changed nothing",
  "worker-name-taken": "two workers have one name",
  "rollback-detected": "a worker has heard of commits that this store does not have",
  "store-degraded": "nothing can be recorded: the disk is full, read-only or failing",
  "store-growing": "the store's log could not be copied into the database and grows; tried again every second",
  "store-damaged": "something of the store is not as it was written",
  "examination-failed": "the store could not be looked through",
  "store-recovered": "what happens is recorded again",
  "backup-trouble": "the hourly backup was not made",
  "checkpoint-trouble": "a checkpoint could not be written or deleted",
  "tokens-raised": "a worker holds a token that this store never gave",
  "webhook-trouble": "a message of the webhook was not delivered",
  "local-worker": "a worker process that this one started had trouble",
} as const;

export type LogEvent = keyof typeof LOG_EVENTS;

export type Log = (
  level: LogLevel,
  event: LogEvent,
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export const silentLog: Log = () => {};
