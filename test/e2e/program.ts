/**
 * Runs the built program as a user would, for the end-to-end tests: its own store, its own processes, nothing shared.
 * Every process started here is ended by `close`, by id.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const cliMain = join(root, "dist/coordinator/cli/main.js");
export const workerMain = join(root, "dist/worker/main.js");

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type JsonLine = Readonly<Record<string, unknown>>;

/** Less than a test's own time, so that a program that hangs is named. */
const PATIENCE_MILLIS = 180_000;

/** `promise`, or a rejection that says what was waited for. */
async function within<T>(promise: Promise<T>, millis: number, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what()} (${millis / 1_000} s)`)), millis);
  });
  try {
    return await Promise.race([promise, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

/** A running program whose standard output is one JSON value a line. */
export class Running {
  readonly child: ChildProcess;
  readonly lines: JsonLine[] = [];
  readonly finished: Promise<Finished>;
  private readonly waiting = new Set<() => void>();
  private stdout = "";
  private stderr = "";

  constructor(command: string, args: readonly string[], environment: NodeJS.ProcessEnv) {
    this.child = spawn(command, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    const { stdout, stderr } = this.child;
    if (!stdout || !stderr) throw new Error("no pipes");
    createInterface({ input: stdout }).on("line", (line) => {
      this.stdout += `${line}\n`;
      if (line.startsWith("{")) this.lines.push(JSON.parse(line) as JsonLine);
      for (const wake of this.waiting) wake();
    });
    stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.finished = new Promise((resolve) =>
      this.child.once("close", (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
        for (const wake of this.waiting) wake();
      }),
    );
  }

  /** The first line, past or to come, that `accept` takes. Rejects when the program ends without one, or says none for long. */
  line(accept: (line: JsonLine) => boolean): Promise<JsonLine> {
    return within(this.#line(accept), PATIENCE_MILLIS, () => `the program does not say that: ${this.said}`);
  }

  /** How it ended. Rejects, and names what it said, if it goes on for long. */
  ended(millis = PATIENCE_MILLIS): Promise<Finished> {
    return within(this.finished, millis, () => `the program goes on: ${this.said}`);
  }

  private get said(): string {
    return `${this.child.spawnargs.slice(1).join(" ")}\n${this.stdout}\n${this.stderr}`;
  }

  async #line(accept: (line: JsonLine) => boolean): Promise<JsonLine> {
    for (;;) {
      const found = this.lines.find(accept);
      if (found) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        const how = this.child.exitCode ?? this.child.signalCode;
        throw new Error(`the program ended (${how}) without that line: ${this.said}`);
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.waiting.delete(wake);
          resolve();
        };
        this.waiting.add(wake);
      });
    }
  }

  /** What it has written to standard error so far. */
  get errors(): string {
    return this.stderr;
  }

  async kill(signal: NodeJS.Signals): Promise<Finished> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    return await this.ended();
  }
}

/** A folder with a store, and the programs that use it. */
export class Playground {
  readonly folder = mkdtempSync(join(tmpdir(), "convsweep-e2e-"));
  readonly store = join(this.folder, "store");
  /** More variables of the programs' environment. */
  readonly variables: Record<string, string> = {};
  private readonly running: Running[] = [];

  private get environment(): NodeJS.ProcessEnv {
    const own = { CONVSWEEP_STORE: this.store, CONVSWEEP_SPOOL: join(this.folder, "spool"), NO_COLOR: "1" };
    return { ...process.env, ...own, ...this.variables };
  }

  static requireBuild(): void {
    if (!existsSync(cliMain)) throw new Error("dist/ is not built: run `npm run build` first");
  }

  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** Starts the command line and leaves it running. */
  start(...args: string[]): Running {
    const running = new Running(process.execPath, [cliMain, ...args], this.environment);
    this.running.push(running);
    return running;
  }

  startCommand(command: string, ...args: string[]): Running {
    const running = new Running(command, args, this.environment);
    this.running.push(running);
    return running;
  }

  /** Runs the command line to its end. */
  async run(...args: string[]): Promise<Finished> {
    return await this.start(...args).ended();
  }

  /** Rows of a query as objects. */
  async query(sql: string): Promise<JsonLine[]> {
    const { code, stdout, stderr } = await this.run("query", sql, "--format", "jsonl");
    if (code !== 0) throw new Error(stderr);
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as JsonLine);
  }

  /** Rows of the store's views, read beside the coordinator: at once, also where it is down. */
  record(sql: string): JsonLine[] {
    const db = new Database(join(this.store, "convsweep.db"), { readonly: true, fileMustExist: true });
    try {
      return db.prepare(sql).all() as JsonLine[];
    } finally {
      db.close();
    }
  }

  /** Waits until `accept` takes what the record says; after a minute and a half it rejects, with what that was. */
  async until(sql: string, accept: (rows: JsonLine[]) => boolean): Promise<JsonLine[]> {
    for (const from = performance.now(); ; ) {
      const rows = this.record(sql);
      if (accept(rows)) return rows;
      if (performance.now() - from > 90_000)
        throw new Error(`it did not come to that: ${sql}: ${JSON.stringify(rows)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.running.map((running) => running.kill("SIGKILL")));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A small sweep that trains for a few seconds. */
export function smallSweep(overrides: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    name: "small",
    network: "logit",
    dataset: "synthetic-digits",
    epochs: 2,
    batch_size: 100,
    optimizer: "momentum",
    metric: { name: "val_accuracy", goal: "maximize" },
    method: "random",
    seed: 11,
    run_cap: 4,
    parameters: {
      learning_rate: { distribution: "log_uniform_values", min: 0.001, max: 0.1 },
      l2: { distribution: "log_uniform_values", min: 1e-6, max: 0.01 },
    },
    ...overrides,
  });
}
