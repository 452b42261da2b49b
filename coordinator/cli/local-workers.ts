/**
 * Worker processes that this command line starts and ends: `worker/main`, spawned, never imported.
 *
 * Guarantees: a worker that dies is started again (at most 5 times in a minute, then the failure is said); each writes
 * its log to a file in the store; `close` asks them to drain, waits, and ends only processes started here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The worker program, beside this one in the build. */
export const workerMain = fileURLToPath(new URL("../../worker/main.js", import.meta.url));

export interface LocalWorkersOptions {
  readonly count: number;
  readonly coordinator: string;
  readonly tokenFile: string;
  readonly storeDir: string;
  /** More arguments for `worker join`, as on the command line. */
  readonly extra: readonly string[];
  readonly onTrouble: (text: string) => void;
}

export interface LocalWorkers {
  readonly logFiles: readonly string[];
  close(): Promise<void>;
}

const RESTARTS_A_MINUTE = 5;
const DRAIN_MILLIS = 12_000;

export function startLocalWorkers(options: LocalWorkersOptions): LocalWorkers {
  const logs = join(options.storeDir, "logs");
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  let closing = false;
  const running = new Map<number, ChildProcess>();
  const logFiles: string[] = [];

  const start = (index: number, deaths: readonly number[]): void => {
    const name = `local-${index + 1}`;
    const logFile = join(logs, `worker-${name}.log`);
    logFiles[index] = logFile;
    const log = openSync(logFile, "a", 0o600);
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
        ...options.extra,
      ],
      { stdio: ["ignore", log, log] },
    );
    closeSync(log);
    running.set(index, child);
    child.once("exit", (code, signal) => {
      running.delete(index);
      // 0: it drained and left because somebody asked it to.
      if (closing || code === 0) return;
      const now = Date.now();
      const recent = [...deaths.filter((at) => now - at < 60_000), now];
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      if (recent.length > RESTARTS_A_MINUTE) {
        options.onTrouble(`worker ${name} keeps ending (${how}); not started again. Its log: ${logFile}`);
        return;
      }
      options.onTrouble(`worker ${name} ended (${how}); starting it again. Its log: ${logFile}`);
      setTimeout(() => closing || start(index, recent), 500 * recent.length);
    });
    child.once("error", (error) => options.onTrouble(`worker ${name} cannot be started: ${error.message}`));
  };

  for (let index = 0; index < options.count; index += 1) start(index, []);

  return {
    logFiles,
    close: async () => {
      closing = true;
      await Promise.all([...running.values()].map(endChild));
    },
  };
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), DRAIN_MILLIS);
  await exited;
  clearTimeout(timer);
}
