/** A device's thread over a scripted engine: jobs for it, and the other side of its port. */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { CohortThread, type CohortThreadOptions } from "../../worker/cohort-thread.js";
import { Control } from "../../worker/control.js";
import type { Held, Job, Outcome, ThreadCommand, ThreadMessage } from "../../worker/messages.js";
import { ScriptedEngine } from "./scripted-engine.js";

const HYPERPARAMETERS = {
  learning_rate: 0.1,
  l2: 0,
  momentum: 0.9,
  rho: 0.9,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  dropout: null,
  label_smoothing: 0,
};

export const recipe = (epochs: number): string =>
  JSON.stringify({
    version: 1,
    network: {},
    dataset: { name: "d", seed: 1 },
    epochs,
    hyperparameters: HYPERPARAMETERS,
  });

let attempts = 0;
export function job(over: Partial<Job> & { readonly epochs?: number } = {}): Job {
  const { epochs = 3, ...rest } = over;
  attempts += 1;
  return {
    attempt: `1/${attempts}#1`,
    token: attempts,
    recipe: recipe(epochs),
    cohortKey: "k",
    seed: attempts.toString(16).padStart(16, "0"),
    parameters: "{}",
    alone: false,
    checkpoints: [],
    ...rest,
  };
}

export const heldOf = ({ attempt, token }: Job): Held => ({ attempt, token });

/** The other side of the port: posts commands, waits for messages. */
export class Harness {
  readonly engine = new ScriptedEngine();
  readonly control = new Control();
  readonly messages: ThreadMessage[] = [];
  private readonly port: MessagePort;
  private waiters: { readonly done: () => boolean; readonly resolve: () => void }[] = [];
  readonly ended: Promise<unknown>;

  constructor(options: Partial<CohortThreadOptions> = {}) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.on("message", (message: ThreadMessage) => {
      this.messages.push(message);
      this.waiters = this.waiters.filter((w) => {
        if (w.done()) w.resolve();
        return !w.done();
      });
    });
    const thread = new CohortThread({
      engine: this.engine,
      device: "cpu",
      lanes: 4,
      threads: 1,
      memoryBytes: 1_000_000,
      control: this.control,
      port: port2,
      dataset: async () => "digest",
      now: () => performance.now(),
      sliceMillis: 200,
      idleMillis: 60_000,
      memoryMillis: 60_000,
      checkpointMillis: 60_000,
      ...options,
    });
    this.ended = thread.run().then(
      () => null,
      (error: unknown) => error,
    );
  }

  post(...commands: ThreadCommand[]): void {
    for (const command of commands) this.port.postMessage(command);
    this.control.interrupt();
  }

  assign(...jobs: Job[]): void {
    this.post(...jobs.map((j): ThreadCommand => ({ kind: "assign", job: j, from: null })));
  }

  until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (done()) resolve();
      else this.waiters.push({ done, resolve });
    });
  }

  of(j: Job): ThreadMessage[] {
    return this.messages.filter((m) => "held" in m && m.held.attempt === j.attempt && m.held.token === j.token);
  }

  outcome(j: Job): Outcome | null {
    const message = this.of(j).find((m) => m.kind === "ended");
    return message?.kind === "ended" ? message.outcome : null;
  }

  async outcomeOf(j: Job): Promise<Outcome> {
    await this.until(() => this.outcome(j) !== null);
    return this.outcome(j) as Outcome;
  }

  async close(): Promise<void> {
    this.post({ kind: "close" });
    await this.ended;
    this.port.close();
  }
}
