/**
 * One Piscina thread a device, each with one task that lasts as long as the worker.
 *
 * Guarantees: commands of a device arrive in the order they were given, and interrupt the slice that runs; messages of a
 * device come out in the order they were sent; a thread that ends, however it ends, is told to the owner exactly once; a
 * thread that is stuck inside the engine for `stuckMillis` is told to the owner, who has to end the process. A task that
 * runs is never aborted: that would tear the thread down inside native code.
 */
import { fileURLToPath } from "node:url";
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { Piscina } from "piscina";
import { type ErrorData, toConvsweepError } from "../proto/contract.js";
import { Control } from "./control.js";
import type { ThreadCommand, ThreadMessage, ThreadResult } from "./messages.js";
import type { DeviceTask } from "./thread.js";
import { Watchdog } from "./watchdog.js";

export interface PoolDevice {
  readonly id: string;
  readonly lanes: number;
  readonly threads: number;
  /** Bytes that its cohorts may take together. */
  readonly memoryBytes: number;
}

export interface PoolOptions {
  readonly devices: readonly PoolDevice[];
  readonly dataDir: string;
  readonly checkpointMillis: number;
  readonly onMessage: (device: string, message: ThreadMessage) => void;
  /** A thread ended that was not told to; its attempts are gone. */
  readonly onThreadDied: (device: string, error: ErrorData) => void;
  readonly onStuck: (device: string, silentMillis: number) => void;
  /** How long a native call may show no sign of life. */
  readonly stuckMillis?: number;
  readonly checkMillis?: number;
  /** The module whose `trainDevice` runs in a thread. */
  readonly threadModule?: string;
}

const STUCK_MILLIS = 60_000;
const CHECK_MILLIS = 1_000;

interface DeviceThread {
  readonly control: Control;
  readonly port: MessagePort;
  readonly done: Promise<void>;
  ended: boolean;
}

export class Pool {
  private readonly options: PoolOptions;
  private readonly piscina: Piscina;
  private readonly threads = new Map<string, DeviceThread>();
  private readonly timer: NodeJS.Timeout;
  private closing = false;

  constructor(options: PoolOptions) {
    this.options = options;
    const { devices } = options;
    this.piscina = new Piscina({
      filename: options.threadModule ?? fileURLToPath(new URL("./thread.js", import.meta.url)),
      name: "trainDevice",
      minThreads: devices.length,
      maxThreads: devices.length,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    for (const device of devices) this.threads.set(device.id, this.start(device));
    const watchdog = new Watchdog(options.stuckMillis ?? STUCK_MILLIS);
    this.timer = setInterval(() => {
      for (const [id, { control, ended }] of this.threads) {
        const silent = ended ? null : watchdog.check(id, control.pulse(), performance.now());
        if (silent !== null) options.onStuck(id, silent);
      }
    }, options.checkMillis ?? CHECK_MILLIS);
    this.timer.unref();
  }

  command(device: string, command: ThreadCommand): void {
    const thread = this.threads.get(device);
    if (!thread || thread.ended) return;
    // First the message, then the flag: whoever sees the flag finds the message.
    thread.port.postMessage(command);
    thread.control.interrupt();
  }

  /** Resolves when every thread has closed its sessions and the threads are gone. */
  async close(): Promise<void> {
    this.closing = true;
    for (const id of this.threads.keys()) this.command(id, { kind: "close" });
    await Promise.all([...this.threads.values()].map((t) => t.done));
    clearInterval(this.timer);
    await this.piscina.destroy();
  }

  private start(device: PoolDevice): DeviceThread {
    const control = new Control();
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (message: ThreadMessage) => this.options.onMessage(device.id, message));
    const { dataDir, checkpointMillis } = this.options;
    const task: DeviceTask = { ...device, control: control.buffer, port: port2, dataDir, checkpointMillis };
    const thread: DeviceThread = {
      control,
      port: port1,
      ended: false,
      done: this.piscina.run(task, { transferList: [port2] }).then(
        (result: ThreadResult) => this.ended(device.id, result.ok ? null : result.error),
        (thrown: unknown) => this.ended(device.id, toConvsweepError(thrown).toData()),
      ),
    };
    return thread;
  }

  private ended(device: string, error: ErrorData | null): void {
    const thread = this.threads.get(device);
    if (!thread) return;
    thread.ended = true;
    // The task's result may overtake the thread's last messages; closing would lose them.
    for (let got = receiveMessageOnPort(thread.port); got; got = receiveMessageOnPort(thread.port)) {
      this.options.onMessage(device, got.message as ThreadMessage);
    }
    thread.port.close();
    if (this.closing) return;
    this.options.onThreadDied(
      device,
      error ?? { code: "INTERNAL", message: "the thread ended by itself", path: null, expected: null, found: null },
    );
  }
}
