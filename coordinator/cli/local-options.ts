/** The options of the local workers that `up`, `run` and `trial rerun` start, and what the worker program is told of them. */
import type { Command } from "commander";
import { parseCount, parseLanes } from "./context.js";
import { captureWorkerProgram } from "./worker-process.js";

export interface LocalOptions {
  readonly devices?: string;
  readonly lanes?: string;
  readonly threads?: number;
}

export function addLocalOptions(command: Command): Command {
  return command
    .option("--devices <list>", "devices of a local worker, such as cuda:0,cpu, or cuda for every GPU (default: cpu)")
    .option("--lanes <n|auto>", "trials at once on each local device (default: auto)", parseLanes)
    .option("--threads <n>", "processor threads of a local worker (default: all)", parseCount("--threads", 1, 4096));
}

/** Throws BAD_INPUT that names each device that cannot be used: better said now than by a worker that cannot start. */
export async function checkLocalDevices({ devices }: LocalOptions): Promise<void> {
  if (devices !== undefined) await captureWorkerProgram(["devices", "--check", devices]);
}

/** Arguments of `worker join`. */
export function localWorkerArguments({ devices, lanes, threads }: LocalOptions): readonly string[] {
  return [
    ...(devices === undefined ? [] : ["--devices", devices]),
    ...(lanes === undefined ? [] : ["--lanes", lanes]),
    ...(threads === undefined ? [] : ["--threads", String(threads)]),
  ];
}
