/**
 * The loop inside a device's thread: takes commands between slices, lets the cohorts on the device train in turn, and
 * says what came of it.
 *
 * Guarantees: an attempt that was assigned and not dropped ends exactly once, after its `started` and all its reports;
 * commands are served in the order they were posted, at most one step after the main thread interrupted the slice; a
 * cohort without lanes is closed after `idleMillis`, so that its memory is given back; what the engine throws ends
 * attempts, never the thread. Native calls are never aborted from outside.
 *
 * Not here: threads, Piscina, loading the addon (thread.ts); when lanes are saved (lane-saver.ts), a trial's files (trial-files.ts);
 * leases (agent.ts).
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { ConvsweepError } from "../proto/contract.js";
import { capacityFor } from "./capacity.js";
import { Cohort } from "./cohort.js";
import type { Control } from "./control.js";
import { type Engine, engineError, metricsOf, type SliceResult } from "./engine.js";
import { type JobPlan, planJob } from "./job.js";
import { LaneSaver } from "./lane-saver.js";
import type { Held, Job, Outcome, SavedLane, ThreadCommand, ThreadMessage } from "./messages.js";
import { TrialFiles } from "./trial-files.js";

export interface CohortThreadOptions {
  readonly engine: Engine;
  readonly device: string;
  /** Lanes of a cohort on this device. */
  readonly lanes: number;
  /** Threads a session may use. */
  readonly threads: number;
  /** Bytes that all cohorts on this device may take together. */
  readonly memoryBytes: number;
  readonly control: Control;
  readonly port: MessagePort;
  /** Sees to it that the engine has the data set and answers its digest. */
  readonly dataset: (plan: JobPlan) => Promise<string>;
  /** Milliseconds, never stepping back. */
  readonly now: () => number;
  readonly sliceMillis: number;
  readonly idleMillis: number;
  /** How long an attempt waits for memory that other cohorts use, before it is given back. */
  readonly memoryMillis: number;
  /** An attempt is saved at the end of an epoch, but not more often than this. */
  readonly checkpointMillis: number;
}

export const THREAD_TIMES = { sliceMillis: 200, idleMillis: 2_000, memoryMillis: 6_000 } as const;

/** An attempt that found no memory while others train; tried again whenever some is given back. */
interface Waiting {
  readonly job: Job;
  readonly from: SavedLane | null;
  readonly until: number;
  readonly reason: string;
}

const CHECKPOINT_FAULTS: ReadonlySet<string> = new Set(["ENGINE_CORRUPT_CHECKPOINT", "ENGINE_FOREIGN_CHECKPOINT"]);

const same = (a: Held, b: Held): boolean => a.attempt === b.attempt && a.token === b.token;
const heldOf = (job: Job): Held => ({ attempt: job.attempt, token: job.token });

export class CohortThread {
  private readonly options: CohortThreadOptions;
  private readonly commands: ThreadCommand[] = [];
  private cohorts: Cohort[] = [];
  private waiting: Waiting[] = [];
  private readonly saver: LaneSaver;
  private readonly files: TrialFiles;
  private wake: (() => void) | null = null;
  /** Memory came back since the waiting attempts were tried. */
  private freed = false;
  private paused = false;
  private closed = false;
  /** Which cohort has the next slice. */
  private turn = 0;

  constructor(options: CohortThreadOptions) {
    this.options = options;
    const { engine, now, checkpointMillis } = options;
    const talk = {
      post: (message: ThreadMessage) => this.post(message),
      native: <T>(call: () => T) => this.native(call),
    };
    this.files = new TrialFiles({ engine, ...talk });
    this.saver = new LaneSaver({ now, checkpointMillis, ...talk });
  }

  /** Runs until `close` is commanded, or rejects with ENGINE_DEVICE_LOST after every attempt was given back. */
  async run(): Promise<void> {
    const { port, control } = this.options;
    const listener = (command: ThreadCommand): void => {
      this.commands.push(command);
      this.wake?.();
    };
    port.on("message", listener);
    try {
      while (true) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        control.listen();
        this.drainPort();
        for (let command = this.commands.shift(); command; command = this.commands.shift()) await this.serve(command);
        if (this.closed) return;
        await this.retryWaiting();
        this.expireWaiting();
        this.closeIdle();
        const cohort = this.next();
        if (cohort) this.slice(cohort);
        else await this.sleep();
      }
    } finally {
      control.setBusy(false);
      port.off("message", listener);
      for (const cohort of this.cohorts) cohort.close();
      this.cohorts = [];
    }
  }

  /** Takes what is posted already, without waiting for the event loop to bring it. */
  private drainPort(): void {
    for (let got = receiveMessageOnPort(this.options.port); got; got = receiveMessageOnPort(this.options.port)) {
      this.commands.push(got.message as ThreadCommand);
    }
  }

  private async serve(command: ThreadCommand): Promise<void> {
    switch (command.kind) {
      case "assign":
        await this.assign(command.job, command.from, this.options.now() + this.options.memoryMillis);
        break;
      case "stop":
        this.stop(command.held, command.save);
        break;
      case "uploaded":
        this.saver.uploaded(command.held);
        break;
      case "drop":
        this.drop(command.held);
        break;
      case "hold":
        this.paused = command.held;
        break;
      case "close":
        this.closed = true;
        break;
    }
  }

  /** `until`: how long it may wait for memory. */
  private async assign(job: Job, from: SavedLane | null, until: number): Promise<void> {
    const { options } = this;
    const held = heldOf(job);
    try {
      const plan = planJob(job);
      const key = job.alone ? `alone ${job.attempt} ${job.token}` : job.cohortKey;
      const cohort = this.cohorts.find((c) => c.key === key) ?? (await this.open(key, job, plan));
      // Memory allows it fewer lanes than the device has: the trial takes the next one that is given back.
      if (cohort.size >= cohort.capacity.lanes && cohort.capacity.lanes < options.lanes && !job.alone) {
        const reason = `no more than ${cohort.capacity.lanes} lanes of this recipe fit into its memory`;
        this.waiting.push({ job, from, until, reason });
        return;
      }
      const { seed, hyperparameters } = plan;
      this.native(() => cohort.add(held, { seed, hyperparameters, checkpoint: from?.data ?? null }));
      const fromEpoch = from?.epoch ?? 0;
      this.saver.watch(held, fromEpoch);
      if (plan.keepWeights) this.files.keepWeightsOf(held, job);
      this.post({ kind: "started", held, fingerprint: options.engine.fingerprint(options.device), fromEpoch });
    } catch (thrown) {
      const error = engineError(thrown);
      if (from && CHECKPOINT_FAULTS.has(error.code)) this.post({ kind: "unusable", held, error: error.toData() });
      else if (error.code === "ENGINE_OUT_OF_MEMORY") await this.shortOfMemory(job, from, until, error);
      else if (error.code === "ENGINE_DEVICE_LOST") this.loseDevice(error, [held]);
      else if (error.code === "ENGINE_LANES_FULL") {
        this.end(held, { kind: "released", reason: `no free lane on ${options.device}` });
      } else if (error.code === "ENGINE_NO_DATASET") this.end(held, { kind: "released", reason: error.message });
      else this.end(held, { kind: "failed", error: error.toData() });
    }
  }

  /** Files that are missing or wrong here may be right on another machine: that is no fault of the trial. */
  private async dataset(plan: JobPlan): Promise<string> {
    try {
      return await this.options.dataset(plan);
    } catch (thrown) {
      const error = engineError(thrown);
      if (error.code === "BAD_INPUT" || error.code.startsWith("ENGINE_")) throw error;
      throw new ConvsweepError("ENGINE_NO_DATASET", error.message, { cause: error });
    }
  }

  private async open(key: string, job: Job, plan: JobPlan): Promise<Cohort> {
    const { engine, device, threads, control, lanes, memoryBytes } = this.options;
    const dataset = await this.dataset(plan);
    const free = memoryBytes - this.cohorts.reduce((sum, cohort) => sum + cohort.capacity.bytes, 0);
    const wanted = { recipe: job.recipe, device, threads, lanes: job.alone ? 1 : lanes };
    const capacity = this.native(() => capacityFor(engine, wanted, free));
    const session = this.native(() =>
      engine.createSession({
        ...wanted,
        dataset,
        lanes: capacity.lanes,
        isa: "auto",
        control: control.engineCells(),
      }),
    );
    const cohort = new Cohort(key, session, capacity, this.options.now(), {
      spec: plan.dataset,
      digest: dataset,
      batchSize: plan.batchSize,
      labelsImages: plan.labelsImages,
      testAtEnd: plan.testAtEnd,
    });
    this.cohorts.push(cohort);
    return cohort;
  }

  /** Memory may come back: from a cohort that stands empty at once, from one that trains when its lanes end. */
  private async shortOfMemory(job: Job, from: SavedLane | null, until: number, error: ConvsweepError): Promise<void> {
    const empty = this.cohorts.filter((c) => c.size === 0);
    if (empty.length > 0) {
      for (const cohort of empty) this.close(cohort);
      await this.assign(job, from, until);
    } else if (this.cohorts.length > 0) {
      this.waiting.push({ job, from, until, reason: error.message });
    } else {
      const { device, lanes } = this.options;
      const what =
        error.path === "--memory"
          ? `the trial does not fit on ${device} (more: --memory)`
          : `${job.alone ? "the trial" : `a cohort of ${lanes} lanes`} does not fit on ${device} (fewer: --lanes)`;
      const failure = new ConvsweepError(error.code, `${what}: ${error.message}`);
      this.end(heldOf(job), { kind: "failed", error: failure.toData() });
    }
  }

  private expireWaiting(): void {
    const now = this.options.now();
    const expired = this.waiting.filter((w) => w.until <= now);
    this.waiting = this.waiting.filter((w) => w.until > now);
    for (const { job, reason } of expired) {
      this.end(heldOf(job), { kind: "released", reason: `${this.options.device} is full: ${reason}` });
    }
  }

  /** After memory came back: in the order they were assigned. */
  private async retryWaiting(): Promise<void> {
    if (!this.freed) return;
    this.freed = false;
    const waiting = this.waiting;
    this.waiting = [];
    for (const { job, from, until } of waiting) await this.assign(job, from, until);
  }

  private stop(held: Held, save: boolean): void {
    if (this.waiting.some((w) => same(w.job, held))) {
      this.waiting = this.waiting.filter((w) => !same(w.job, held));
      this.end(held, { kind: "stopped", weightsHash: null });
      return;
    }
    const place = this.find(held);
    if (place && save) this.saver.save(place.cohort, place.lane, held);
    if (place) this.leave(place.cohort, place.lane, held, (weightsHash) => ({ kind: "stopped", weightsHash }));
  }

  private drop(held: Held): void {
    this.waiting = this.waiting.filter((w) => !same(w.job, held));
    const place = this.find(held);
    if (place) this.remove(place.cohort, place.lane);
  }

  /** Ends an attempt with the hash of its weights and frees its lane. */
  private leave(cohort: Cohort, lane: number, held: Held, outcome: (weightsHash: string) => Outcome): void {
    let ended: Outcome;
    try {
      ended = outcome(this.native(() => cohort.weightsHash(lane)));
    } catch (thrown) {
      const error = engineError(thrown);
      if (error.code === "ENGINE_DEVICE_LOST") this.loseDevice(error, []);
      ended = { kind: "failed", error: error.toData() };
    }
    this.end(held, ended);
    this.remove(cohort, lane);
  }

  private remove(cohort: Cohort, lane: number): void {
    const held = cohort.attemptIn(lane);
    if (held) this.forget(held);
    try {
      cohort.remove(lane, this.options.now());
      this.freed = true;
    } catch (thrown) {
      this.breakCohort(cohort, engineError(thrown));
    }
  }

  /** What is remembered of an attempt beside its lane. */
  private forget(held: Held): void {
    this.saver.forget(held);
    this.files.forget(held);
  }

  private slice(cohort: Cohort): void {
    let result: SliceResult;
    try {
      result = this.native(() => cohort.runSlice(this.options.sliceMillis));
    } catch (thrown) {
      this.breakCohort(cohort, engineError(thrown));
      return;
    }
    const last = new Map<number, number>();
    for (const report of result.reports) {
      const held = cohort.attemptIn(report.lane);
      if (!held) continue;
      this.post({ kind: "report", held, epoch: report.epoch, step: report.step, metrics: metricsOf(report) });
      if (report.pictures !== null) this.files.show(held, report.epoch, report.pictures, report.finished);
      // A lane may end several epochs in a slice, and what is saved is the lane as the slice left it.
      last.set(report.lane, report.epoch);
      if (!report.finished) continue;
      this.files.finish(cohort, report.lane, held);
      this.leave(cohort, report.lane, held, (weightsHash) => ({ kind: "completed", weightsHash }));
    }
    for (const { lane, epoch, step, what } of result.diverged) {
      const held = cohort.attemptIn(lane);
      if (!held) continue;
      this.end(held, { kind: "diverged", epoch, step, what });
      this.remove(cohort, lane);
    }
    for (const [lane, epoch] of last) {
      const held = cohort.attemptIn(lane);
      if (held) this.saver.consider(cohort, lane, held, epoch);
    }
    if (result.state === "idle" && cohort.size > 0) {
      // Would otherwise be asked for slices for ever.
      this.breakCohort(cohort, new ConvsweepError("ENGINE_INTERNAL", "the engine idles although lanes have not ended"));
    }
  }

  /** The session cannot go on: its attempts end, its memory comes back, the other cohorts are not touched. */
  private breakCohort(cohort: Cohort, error: ConvsweepError): void {
    if (error.code === "ENGINE_DEVICE_LOST") this.loseDevice(error, []);
    const others = this.cohorts.some((c) => c !== cohort && c.size > 0);
    const released = error.code === "ENGINE_OUT_OF_MEMORY" && others;
    for (const held of cohort.attempts) {
      this.end(
        held,
        released ? { kind: "released", reason: error.message } : { kind: "failed", error: error.toData() },
      );
    }
    this.close(cohort);
  }

  /** Everything on the device is given back; the process has to end, a broken device does not heal within one. */
  private loseDevice(error: ConvsweepError, also: readonly Held[]): never {
    const all = [...also, ...this.cohorts.flatMap((c) => c.attempts), ...this.waiting.map((w) => heldOf(w.job))];
    this.waiting = [];
    for (const held of all) this.end(held, { kind: "released", reason: error.message });
    this.post({ kind: "lost", error: error.toData() });
    throw error;
  }

  private close(cohort: Cohort): void {
    this.cohorts = this.cohorts.filter((c) => c !== cohort);
    for (const held of cohort.attempts) this.forget(held);
    try {
      cohort.close();
    } catch (thrown) {
      const { code, message } = engineError(thrown);
      const said = `a session did not close: ${message}`;
      this.post({ kind: "log", level: "error", event: "thread-trouble", message: said, fields: { code } });
    }
    this.freed = true;
  }

  private closeIdle(): void {
    const before = this.options.now() - this.options.idleMillis;
    for (const cohort of this.cohorts.filter((c) => c.emptySince !== null && c.emptySince <= before))
      this.close(cohort);
  }

  private find(held: Held): { readonly cohort: Cohort; readonly lane: number } | null {
    for (const cohort of this.cohorts) {
      const lane = cohort.laneOf(held);
      if (lane !== null) return { cohort, lane };
    }
    return null;
  }

  /** The cohorts with lanes, one after another. */
  private next(): Cohort | null {
    if (this.paused) return null;
    const busy = this.cohorts.filter((c) => c.size > 0);
    if (busy.length === 0) return null;
    this.turn = (this.turn + 1) % busy.length;
    return busy[this.turn] ?? null;
  }

  /** Until a command comes or something falls due. */
  private sleep(): Promise<void> {
    if (this.commands.length > 0) return Promise.resolve();
    const closes = this.cohorts.map((c) => (c.emptySince ?? Number.POSITIVE_INFINITY) + this.options.idleMillis);
    const due = Math.min(...closes, ...this.waiting.map((w) => w.until)) - this.options.now();
    return new Promise<void>((resolve) => {
      const timer = Number.isFinite(due) ? setTimeout(resolve, Math.max(1, Math.ceil(due))) : null;
      this.wake = () => {
        if (timer) clearTimeout(timer);
        resolve();
      };
    }).then(() => {
      this.wake = null;
    });
  }

  /** Marks the time inside the engine, so that the watchdog knows a stuck call from an idle thread. */
  private native<T>(call: () => T): T {
    this.options.control.setBusy(true);
    try {
      return call();
    } finally {
      this.options.control.setBusy(false);
    }
  }

  private end(held: Held, outcome: Outcome): void {
    this.post({ kind: "ended", held, outcome });
  }

  private post(message: ThreadMessage): void {
    this.options.port.postMessage(message);
  }
}
