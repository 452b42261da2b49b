/**
 * The worker's log: one JSON object a line on standard error.
 *
 * Guarantees: `level`, `time` (ISO 8601), `event` (a stable name out of LOG_EVENTS) and `msg` in every line; written
 * before the call returns, so the last lines of a process that ends are there; never holds a token of access (fencing tokens are plain counters). Not here: what is worth a line.
 */
import { pino } from "pino";
import type { LogEvent } from "./log-events.js";
import type { LogFields, LogLevel } from "./messages.js";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

export type Log = (level: LogLevel, event: LogEvent, message: string, fields?: LogFields) => void;

/** Of lines that could not be written yet; what comes beyond is lost. */
const HELD_BYTES = 1 << 20;

export function openLog(level: (typeof LOG_LEVELS)[number], worker: string): Log {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: HELD_BYTES });
  // A disk that takes no lines is no reason to end.
  destination.on("error", () => undefined);
  const logger = pino(
    {
      level,
      base: { worker, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return (at, event, message, fields = {}) => {
    logger[at]({ ...fields, event }, message);
  };
}
