/**
 * Looks through a store in a process of its own, at the lowest priority: it reads every page, which can take minutes.
 *
 * Guarantees: never more than one process a call, ended with `stop`; rejects with UNAVAILABLE when it ends without an
 * answer. Not here: what is looked at (examine.ts), when (shell/examinations.ts).
 */
import { fork } from "node:child_process";
import { ConvsweepError } from "../../proto/contract.js";
import { childPath } from "./child-path.js";
import type { StoreFinding } from "./examine.js";

export interface Examination {
  readonly findings: Promise<readonly StoreFinding[]>;
  stop(): void;
}

export function examineBeside(dir: string): Examination {
  const child = fork(childPath("examine-child"), [dir], {
    env: {},
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000);
  });
  const findings = new Promise<readonly StoreFinding[]>((resolve, reject) => {
    const failed = (why: string): void =>
      reject(new ConvsweepError("UNAVAILABLE", `the store was not looked through: ${why}`, { path: dir }));
    child.once("message", (message) => resolve(message as readonly StoreFinding[]));
    child.once("error", ({ message }) => failed(message));
    child.once("exit", (code, signal) => failed(said.trim() || `its process ended (${code ?? signal})`));
  });
  return { findings, stop: () => void child.kill("SIGKILL") };
}
