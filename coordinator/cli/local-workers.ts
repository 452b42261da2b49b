/**
 * Worker processes that this command line starts and ends: `worker/main`, spawned, never imported.
 *
 * Guarantees: a worker that dies is started again (at most 5 times in a minute, then the failure is said); one that cannot
 * work as it was started, or is refused, is not; each writes its log to a file in the store (into nothing, where that cannot be written); `close` asks them to drain,
 * waits, and ends only processes started here. A worker ends with this process, however that ends: it holds the other end
 * of a pipe. Ctrl-C reaches this process alone, which ends them in order.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TlsFiles } from "../../proto/tls.js";

/** The worker program, beside this one in the build. */
export const workerMain = fileURLToPath(new URL("../../worker/main.js", import.meta.url));

export interface LocalWorkersOptions {
  readonly count: number;
  readonly coordinator: string;
  readonly tokenFile: string;
  readonly tlsFiles: TlsFiles;
  readonly storeDir: string;
  /** More arguments for `worker join`, as on the command line. */
  readonly extra: readonly string[];
  readonly onTrouble: (text: string) => void;
}

export interface LocalWorkers {
  readonly logFiles: readonly string[];
  /** Fires when the last of them has ended for good though nobody asked for it. */
  readonly gone: AbortSignal;
  close(): Promise<void>;
}

const RESTARTS_A_MINUTE = 5;
const DRAIN_MILLIS = 12_000;
/** Exit codes of the worker program after which another try would end the same: bad input, certificates, refused. */
const HOPELESS: ReadonlySet<number | null> = new Set([2, 77, 78]);

export function startLocalWorkers(options: LocalWorkersOptions): LocalWorkers {
  const logs = join(options.storeDir, "logs");
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  let closing = false;
  const running = new Map<number, ChildProcess>();
  const logFiles: string[] = [];
  const gone = new AbortController();
  let left = options.count;
  const over = (text: string): void => {
    options.onTrouble(text);
    left -= 1;
    if (left === 0) gone.abort();
  };

  const start = (index: number, deaths: readonly number[]): void => {
    const name = `local-${index + 1}`;
    const logFile = join(logs, `worker-${name}.log`);
    logFiles[index] = logFile;
    const log = openLog(logFile, options.onTrouble);
    const child = spawn(
      process.execPath,
      [
        workerMain,
        "join",
        "--coordinator",
        options.coordinator,
        "--token-file",
        options.tokenFile,
        "--name",
        name,
        "--spool",
        join(options.storeDir, "spool"),
        "--with-parent",
        ...tlsArguments(options.tlsFiles),
        ...options.extra,
      ],
      { stdio: ["pipe", log ?? "ignore", log ?? "ignore"], detached: true },
    );
    if (log !== null) closeSync(log);
    running.set(index, child);
    child.once("exit", (code, signal) => {
      running.delete(index);
      // 0: it drained and left because somebody asked it to.
      if (closing || code === 0) return;
      const now = Date.now();
      const recent = [...deaths.filter((at) => now - at < 60_000), now];
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      if (HOPELESS.has(code)) {
        over(`worker ${name} cannot work: ${lastLine(logFile)}`);
        return;
      }
      if (recent.length > RESTARTS_A_MINUTE) {
        over(`worker ${name} keeps ending (${how}); not started again. Its log: ${logFile}`);
        return;
      }
      options.onTrouble(`worker ${name} ended (${how}); starting it again. Its log: ${logFile}`);
      setTimeout(() => closing || start(index, recent), 500 * recent.length);
    });
    child.once("error", (error) => over(`worker ${name} cannot be started: ${error.message}`));
    // It may end before the pipe is closed: that is no fault.
    child.stdin?.on("error", () => undefined);
  };

  for (let index = 0; index < options.count; index += 1) start(index, []);

  return {
    logFiles,
    gone: gone.signal,
    close: async () => {
      closing = true;
      await Promise.all([...running.values()].map(endChild));
    },
  };
}

/** The same files as options of the worker program. */
export function tlsArguments({ ca, identity }: TlsFiles): readonly string[] {
  return [...(ca === null ? [] : ["--ca", ca]), ...(identity === null ? [] : ["--identity", identity])];
}

/** `null` of a file that cannot be written: a worker is worth more than its log. */
function openLog(file: string, onTrouble: (text: string) => void): number | null {
  try {
    return openSync(file, "a", 0o600);
  } catch (thrown) {
    onTrouble(`a worker starts without a log: ${(thrown as Error).message}`);
    return null;
  }
}

/** Why a worker ended, as it said last: plain text, or the message of a line of its log. */
function lastLine(file: string): string {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const line = text.trimEnd().split("\n").at(-1) ?? "";
  const message = /"msg":("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
  return message === undefined ? line.replace(/^convsweep: /, "") : (JSON.parse(message) as string);
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), DRAIN_MILLIS);
  await exited;
  clearTimeout(timer);
}
