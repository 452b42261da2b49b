/**
 * The built command line inside this process, its output caught: a command in milliseconds, without a process of its own.
 *
 * Not for verbs that start other programs (worker, data): what those write goes past this process.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Playground, root } from "../e2e/program.js";

export interface Said {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function commandLine(args: readonly string[]): Promise<Said> {
  Playground.requireBuild();
  const program = (await import(pathToFileURL(join(root, "dist/coordinator/cli/program.js")).href)) as {
    runCommandLine(args: readonly string[]): Promise<number>;
  };
  const said = { stdout: "", stderr: "" };
  const { stdout, stderr } = process;
  const writes = [stdout.write, stderr.write] as const;
  const exitCode = process.exitCode;
  stdout.write = (text: string | Uint8Array) => {
    said.stdout += String(text);
    return true;
  };
  stderr.write = (text: string | Uint8Array) => {
    said.stderr += String(text);
    return true;
  };
  try {
    const exit = await program.runCommandLine(args);
    return { exit, ...said };
  } finally {
    [stdout.write, stderr.write] = writes;
    process.exitCode = exitCode;
  }
}
