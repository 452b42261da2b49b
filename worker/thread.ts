/**
 * What a Piscina thread runs for a device: the engine, its data sets and the loop of cohort-thread.ts.
 *
 * Guarantees: the task ends with data, never with a thrown error of our own; the port stays open, so
 * that its last messages arrive. Imported only by the pool's threads.
 */
import type { MessagePort } from "node:worker_threads";
import { CohortThread, THREAD_TIMES } from "./cohort-thread.js";
import { Control } from "./control.js";
import { DatasetShelf } from "./datasets.js";
import { engineError, openEngine } from "./engine.js";
import type { ThreadResult } from "./messages.js";

export interface DeviceTask {
  readonly id: string;
  readonly lanes: number;
  readonly threads: number;
  readonly memoryBytes: number;
  readonly control: SharedArrayBuffer;
  readonly port: MessagePort;
  readonly dataDir: string;
  readonly checkpointMillis: number;
}

export async function trainDevice(task: DeviceTask): Promise<ThreadResult> {
  const { id, lanes, threads, memoryBytes, port, dataDir } = task;
  try {
    const engine = openEngine();
    const control = new Control(task.control);
    const shelf = new DatasetShelf(engine, control, dataDir);
    const thread = new CohortThread({
      engine,
      device: id,
      lanes,
      threads,
      memoryBytes,
      control,
      port,
      dataset: (plan) => shelf.provide(plan.dataset),
      now: () => performance.now(),
      checkpointMillis: task.checkpointMillis,
      ...THREAD_TIMES,
    });
    await thread.run();
    return { ok: true };
  } catch (thrown) {
    return { ok: false, error: engineError(thrown).toData() };
  }
}
