/**
 * Sweep files are compiled beside the coordinator's event loop: a file that names data of its own has all of it read, and a
 * folder of pictures decoded, which may take minutes in which leases and heartbeats must be seen to.
 *
 * Guarantees: the outcome is compileSweep's, errors with all they say; a thread that dies fails its file alone. Threads start when
 * they are needed and end when they have long been idle. Not here: what a sweep file means (recipe/).
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import { ConvsweepError } from "../../proto/contract.js";
import type { CompileOutcome, CompileTask } from "./compile-thread.js";
import type { Compiler } from "./compose.js";

const THREADS = 2;
const IDLE_MILLIS = 30_000;

/** Beside this module once built; seen from the sources it is in dist/. */
function threadPath(): string {
  const built = fileURLToPath(new URL("./compile-thread.js", import.meta.url));
  return existsSync(built)
    ? built
    : fileURLToPath(new URL("../../dist/coordinator/shell/compile-thread.js", import.meta.url));
}

/** `threadModule`: whose `compile` runs in a thread. */
export function openCompilePool(threadModule: string = threadPath()): Compiler {
  let closing = false;
  const threads = new Piscina<CompileTask, CompileOutcome>({
    filename: threadModule,
    name: "compile",
    minThreads: 0,
    maxThreads: THREADS,
    concurrentTasksPerWorker: 1,
    idleTimeout: IDLE_MILLIS,
  });
  return {
    async compile(text, fileName, directory) {
      const outcome = await threads.run({ text, fileName, directory }).catch((cause: unknown) => {
        if (closing) throw new ConvsweepError("UNAVAILABLE", "the coordinator is closing", { cause });
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new ConvsweepError("INTERNAL", `the thread that read ${fileName} ended: ${why}`, { cause });
      });
      if (outcome.ok) return outcome.sweep;
      throw ConvsweepError.fromData(outcome.error);
    },
    async close() {
      closing = true;
      await threads.destroy();
    },
  };
}
