/**
 * The coordinator's structured log: one JSON object a line on standard error.
 *
 * Guarantees: `level`, `time` (ISO 8601), `event` (a stable name out of LOG_EVENTS) and `msg` in every line; written before
 * the call returns, so the last lines of a process that ends are there; what looks like a secret of ours is blacked out
 * wherever it stands, and fields named like secrets are not written at all. Not here: what is worth a line.
 */
import { type DestinationStream, pino } from "pino";
import type { Log, LogLevel } from "../shell/log.js";

const SECRET_FIELDS = ["token", "authorization", "cookie", "secret", "password", "otp", "signature"] as const;
/** Access tokens, login codes, bearer headers: whatever follows is as good as the person. */
const SECRETS = /\b(cvs_[a-z]+_)[A-Za-z0-9_-]{16,}|\b(otp=)[^\s&"]+|\b([Bb]earer )\S{16,}/g;

export function blackedOut(text: string): string {
  return text.replace(SECRETS, (_all, ...parts: (string | undefined)[]) => `${parts[0] ?? parts[1] ?? parts[2]}…`);
}

/** Of lines that could not be written yet; what comes beyond is lost. */
const HELD_BYTES = 1 << 20;

/** `write` gets whole lines; standard error by default. */
export function openJsonLog(level: LogLevel, write?: (line: string) => void): Log {
  const destination =
    write === undefined
      ? standardError()
      : {
          write(line: string): void {
            write(line);
          },
        };
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return (at, event, message, fields = {}) => {
    logger[at]({ ...(clean(fields, 0) as object), event }, blackedOut(message));
  };
}

function standardError(): DestinationStream {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: HELD_BYTES });
  // A disk that takes no lines is no reason to end.
  destination.on("error", () => undefined);
  return destination;
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === "string") return blackedOut(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > 6) return "…";
  if (Array.isArray(value)) return value.map((one) => clean(one, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, isSecret(name, one) ? "…" : clean(one, depth + 1)]),
  );
}

/** A fencing token is a plain counter, and says which message was meant. */
function isSecret(name: string, value: unknown): boolean {
  if (typeof value === "number") return false;
  return SECRET_FIELDS.some((secret) => name.toLowerCase() === secret || name.toLowerCase().endsWith(`_${secret}`));
}
