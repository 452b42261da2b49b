/**
 * Runs the worker program in the foreground for the verbs that live there: `worker`, `devices`, `data`, `write`, and the
 * measurement of `plan`. Its output is ours, its exit code too.
 */
import { spawn } from "node:child_process";
import { ConvsweepError } from "../../proto/contract.js";
import { workerMain } from "./local-workers.js";

/** Passes the terminal through; resolves with the exit code. Signals reach the worker, which decides how to end. */
export function runWorkerProgram(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [workerMain, ...args], { stdio: "inherit" });
    // The terminal sends SIGINT to the whole group; ignoring it here leaves the ending to the worker.
    const ignore = (): void => undefined;
    const pass = (): void => void child.kill("SIGTERM");
    process.on("SIGINT", ignore);
    process.on("SIGTERM", pass);
    const done = (): void => {
      process.off("SIGINT", ignore);
      process.off("SIGTERM", pass);
    };
    child.once("error", (error) => {
      done();
      reject(
        new ConvsweepError("INTERNAL", `the worker program cannot be started: ${error.message}`, { cause: error }),
      );
    });
    child.once("exit", (code, signal) => {
      done();
      resolve(signal === null ? (code ?? 1) : 1);
    });
  });
}

/** Standard output of the worker program; throws with its standard error when it fails, BAD_INPUT where that was it. */
export function captureWorkerProgram(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [workerMain, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let problems = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      problems += text;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(out);
      else {
        const message = problems.trim().replace(/^convsweep: /, "");
        reject(
          new ConvsweepError(
            code === 2 ? "BAD_INPUT" : "INTERNAL",
            message || `the worker program ended with exit code ${code}`,
          ),
        );
      }
    });
  });
}
