/**
 * The simulated world: one coordinator, its disk, workers, liars, people, pages, and what goes wrong, over virtual time.
 *
 * Guarantees: a run is a function of its plan (and mutant): the same plan gives the same events to the last number.
 */
import type { Mutation } from "../../coordinator/core/events.js";
import type { Call } from "../../coordinator/shell/runtime.js";
import { type ConvsweepError, sweepId, trialId } from "../../proto/contract.js";
import { SimulatedLife } from "./coordinator.js";
import { Disk } from "./disk.js";
import { checkEnding, checkRecovery, checkTurn } from "./ending.js";
import { Files } from "./files.js";
import { Liar } from "./liar.js";
import { type Mutant, type MutantName, mutantOf } from "./mutants.js";
import { Oracle } from "./oracle.js";
import type { Action, CrashPoint, Fault, Plan, SweepPlan } from "./plan.js";
import { Stream } from "./random.js";
import { specOf } from "./spec.js";
import type { Life, Wire, World } from "./surroundings.js";
import { Timeline } from "./timeline.js";
import { Viewer } from "./viewer.js";
import { SimulatedWorker } from "./worker.js";

/** Everything has to be over by then, counted from the end of the faults. */
const REST_MILLIS = 900_000;
/** A schedule that goes on for longer goes round in circles. */
const EVENTS_AT_MOST = 200_000;
const RESTART_MILLIS = 400;

export class SimulatedWorld implements World {
  readonly plan: Plan;
  readonly timeline = new Timeline();
  readonly random: { readonly network: Stream; readonly disk: Stream };
  readonly oracle: Oracle;
  readonly disk: Disk;
  readonly files: Files;
  readonly mutant: Mutant;
  readonly connections = new Set<Wire>();
  readonly workers: readonly SimulatedWorker[];
  readonly liars: readonly Liar[];
  readonly viewers: readonly Viewer[];
  readonly counts = new Map<string, number>();
  readonly notes: string[] | null;
  coordinator: Life | null = null;
  wallStep = 0;
  diskFull = false;
  slowDisk = false;
  healed = false;
  steps = 0;
  turns = 0;
  readonly #partitions = new Map<number, { up: number; down: number }>();
  readonly #crashes = new Map<number, CrashPoint>();

  constructor(plan: Plan, mutant: MutantName | null = null, noting = false) {
    this.plan = plan;
    this.notes = noting ? [] : null;
    this.mutant = mutantOf(mutant, this);
    this.random = { network: new Stream(plan.seed, 1), disk: new Stream(plan.seed, 2) };
    this.oracle = new Oracle(this);
    this.disk = new Disk(this);
    this.files = new Files(this, new Stream(plan.seed, 3));
    const honest = plan.workers.filter((worker) => !worker.lies).length;
    this.workers = plan.workers.flatMap((worker, index) =>
      worker.lies ? [] : [new SimulatedWorker(this, index, worker, new Stream(plan.seed, 10 + index))],
    );
    this.liars = plan.workers.flatMap((worker, index) =>
      worker.lies ? [new Liar(this, index, worker, new Stream(plan.seed, 10 + index))] : [],
    );
    if (honest === 0) throw new Error("a plan needs a worker that trains");
    this.viewers = Array.from({ length: plan.viewers }, () => new Viewer(this));
    for (const point of plan.crashes) this.#crashes.set(point.commit, point);
  }

  get now(): number {
    return this.timeline.now;
  }

  /** When a message of the coordinator leaves: a turn that waited for its disk ends late. */
  get departure(): number {
    return Math.max(this.now, this.coordinator?.process.until ?? 0);
  }

  /** Messages are lost, repeated and swapped on a connection that stands. */
  get hostile(): boolean {
    return this.plan.drop + this.plan.duplicate + this.plan.reorder > 0;
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  trace(line: () => string): void {
    if (this.notes !== null) this.notes.push(`${String(this.now).padStart(7)}  ${line()}`);
  }

  /** Faults end at `healAt`, whatever they were to last. */
  until(millis: number): number {
    return Math.max(this.now, Math.min(this.now + Math.max(0, millis), Math.max(this.plan.healAt, this.now + 1)));
  }

  run(): void {
    const { plan, timeline } = this;
    this.#boot();
    for (const worker of [...this.workers, ...this.liars]) timeline.at(worker.index * 7, () => worker.begin());
    for (const sweep of plan.sweeps) timeline.at(sweep.at, () => this.#submit(sweep));
    for (const action of plan.actions) timeline.at(action.at, () => this.#act(action));
    for (const fault of plan.faults) timeline.at(fault.at, () => this.#strike(fault));
    timeline.at(plan.healAt, () => this.#heal());
    const end = plan.healAt + REST_MILLIS;
    while (this.oracle.violation === null && timeline.step(end)) {
      this.steps += 1;
      if (this.steps > EVENTS_AT_MOST) this.oracle.fail("I10", `no rest after ${EVENTS_AT_MOST} events`);
      if (this.healed && this.#atRest()) break;
    }
    if (this.oracle.violation === null) checkEnding(this, this.#atRest());
  }

  /** Nothing is left to do: every sweep has ended, every worker has nothing to train and nothing to say. */
  #atRest(): boolean {
    const { coordinator } = this;
    if (coordinator === null || coordinator.state.sweeps.size < this.plan.sweeps.length) return false;
    if (coordinator.state.indexes.open.size > 0 || coordinator.runtime.waiting > 0 || this.disk.busy) return false;
    if (this.viewers.some((viewer) => !viewer.atRest)) return false;
    return this.workers.every(
      ({ agent, trains }) => agent !== null && agent.owed === 0 && agent.held.length === 0 && trains === 0,
    );
  }

  #boot(): void {
    if (this.coordinator !== null) return;
    this.oracle.recovered(this.disk.log, this.#applied(), this.#restored);
    this.#restored = false;
    this.#appliedBatches = this.disk.log.length;
    const life = new SimulatedLife(this);
    this.coordinator = life;
    this.trace(() => "coordinator boots");
    if (!life.boot()) return;
    // People find their newest sweeps missing, and submit them again.
    for (const sweep of this.plan.sweeps.slice(life.state.sweeps.size)) {
      if (this.#submitted.has(sweep)) this.#submit(sweep);
    }
    if (this.mutant.losesBatches === 0) checkRecovery(this, life);
    for (const viewer of this.viewers) viewer.coordinatorUp(life);
  }

  /** The copy that a restart finds is an older one. */
  #restored = false;
  #appliedBatches = 0;
  #applied(): number {
    return this.#appliedBatches;
  }

  /** Answered to whoever asked. */
  readonly #submitted = new Set<SweepPlan>();

  turnEnded(mutations: readonly Mutation[]): void {
    const life = this.coordinator;
    if (life === null) return;
    this.turns += 1;
    life.endIfDying();
    if (life.dead) return;
    const { hides } = this.mutant;
    const shown = hides === null ? mutations : mutations.filter((mutation) => !hides(mutation));
    for (const viewer of this.viewers) viewer.note(life, shown);
    if (this.plan.deep) checkTurn(this, life);
  }

  batchKept(): void {
    this.#appliedBatches = this.disk.log.length;
  }

  crashAt(commit: number): CrashPoint | null {
    return this.#crashes.get(commit) ?? null;
  }

  /** Ends the coordinator's process; the answer is thrown so that nothing of it goes on. */
  crash(point: CrashPoint, where: string): Error {
    this.trace(() => `coordinator is killed ${where}`);
    const life = this.coordinator;
    if (life !== null) this.coordinatorDied(life, point.downMillis);
    return new Error(`killed ${where}`);
  }

  crashAfterSends(point: CrashPoint): void {
    this.trace(() => `coordinator is about to be killed after ${point.sends} more messages`);
    this.coordinator?.dieAfter(point.sends);
  }

  /** Its loop stopped: on purpose, by its disk, or by a fault of its own. */
  coordinatorStopped(life: Life, error: ConvsweepError): void {
    if (life.dead) return;
    const disk = error.message === "database or disk is full" || error.message === "disk I/O error";
    if (!disk) this.oracle.fail("CORE", `the coordinator had to stop: ${error.message}`);
    this.coordinatorDied(life, RESTART_MILLIS);
  }

  coordinatorDied(life: Life, downMillis: number = RESTART_MILLIS): void {
    if (life.dead) return;
    this.trace(() => "coordinator is dead");
    this.count("coordinator restarted");
    life.dead = true;
    this.coordinator = null;
    if (this.mutant.losesBatches > 0) this.disk.loseNewest(this.mutant.losesBatches);
    for (const connection of this.connections) if (connection.life === life) connection.coordinatorDied();
    for (const viewer of this.viewers) viewer.coordinatorDown();
    this.timeline.at(Math.max(this.now + 1, this.until(downMillis)), () => this.#boot());
  }

  coordinatorBusy(millis: number): void {
    const life = this.coordinator;
    if (life !== null) life.process.stand(Math.max(life.process.until, this.now) + millis);
  }

  partitioned(worker: number, way: "up" | "down"): boolean {
    const partition = this.#partitions.get(worker);
    return partition !== undefined && partition[way] > this.now;
  }

  ask(call: Call, answered: (ok: boolean) => void): void {
    const life = this.coordinator;
    if (life === null) return answered(false);
    life.enter(() => {
      life.runtime.ask(call, (reply) => {
        if (life.dead) return answered(false);
        this.oracle.replied(call.kind, reply);
        answered(reply.ok);
      });
    });
  }

  /** People try again until they are answered: a sweep may then be there twice. */
  #submit(sweep: SweepPlan): void {
    this.#submitted.delete(sweep);
    let answered = false;
    this.ask({ kind: "SweepSubmitted", spec: specOf(sweep, this.plan.seed) }, (ok) => {
      answered = ok;
      if (ok) this.#submitted.add(sweep);
    });
    this.timeline.at(this.now + 3_000, () => {
      if (!answered) this.#submit(sweep);
    });
  }

  #act({ kind, sweep: number, trial }: Action): void {
    const sweep = sweepId(number);
    const calls: Readonly<Record<Action["kind"], Call>> = {
      pause: { kind: "SweepPaused", sweep },
      resume: { kind: "SweepResumed", sweep },
      cancel: { kind: "SweepCancelled", sweep },
      extend: { kind: "SweepExtended", sweep, trials: 1, wallMillis: 0 },
      stop: { kind: "TrialStopped", trial: trialId(sweep, trial) },
      enqueue: { kind: "TrialEnqueued", sweep, parameters: {} },
      rerun: { kind: "TrialRerun", trial: trialId(sweep, trial), verify: false },
      verify: { kind: "TrialRerun", trial: trialId(sweep, trial), verify: true },
    };
    this.trace(() => `somebody asks: ${kind} sweep ${number}, trial ${trial}`);
    this.ask(calls[kind], (ok) => {
      if (ok) this.count(`call ${kind}`);
    });
  }

  #strike({ kind, target, millis }: Fault): void {
    this.trace(() => `fault: ${kind} ${target} for ${millis} ms`);
    this.count(`fault ${kind}`);
    const worker = this.workers.find(({ index }) => index === target) ?? this.workers[0];
    const life = this.coordinator;
    switch (kind) {
      case "kill-worker":
        return worker?.kill(millis, "killed");
      case "stop-worker":
        return worker?.stop(millis);
      case "leave-worker":
        return worker?.leave();
      case "lose-device":
        return worker?.loseDevice();
      case "partition":
        return this.#part(target, millis, millis);
      case "partition-up":
        return this.#part(target, millis, 0);
      case "partition-down":
        return this.#part(target, 0, millis);
      case "cut":
        for (const connection of this.connections) {
          if (connection.index === target && connection.open) {
            connection.cut(this.random.network.below(millis + 1), this.random.network.below(2 * millis + 1));
          }
        }
        return;
      case "kill-coordinator":
        if (life !== null) this.coordinatorDied(life, millis);
        return;
      case "stop-coordinator":
        return this.coordinatorBusy(this.until(millis) - this.now);
      case "slow-disk":
        this.slowDisk = true;
        this.timeline.at(this.until(millis), () => {
          this.slowDisk = false;
        });
        return;
      case "fsync-error":
        this.disk.failNextSync = true;
        return;
      case "full-disk":
        this.diskFull = true;
        this.timeline.at(this.until(millis), () => {
          this.diskFull = false;
        });
        return;
      case "hold-down":
        return this.#hold(target, millis);
      case "restore":
        this.#restored = true;
        if (life !== null) this.coordinatorDied(life, millis);
        return this.disk.restore(this.random.disk.between(1, 30));
      case "lose-tail":
        this.#restored = true;
        if (life !== null) this.coordinatorDied(life, millis);
        return this.disk.loseTail(this.random.disk.between(1, 5));
      case "step-clock":
        this.wallStep += millis;
        return;
    }
  }

  /** Each side gives its connections up when its keepalive is not answered. */
  #part(target: number, up: number, down: number): void {
    const partition = { up: this.until(up), down: this.until(down) };
    this.#partitions.set(target, partition);
    const { network } = this.random;
    const end = Math.max(partition.up, partition.down);
    const mine = [...this.connections].filter(({ index, open }) => index === target && open);
    const still = (): boolean => this.#partitions.get(target) === partition && this.now < end;
    this.timeline.at(this.now + network.between(3_000, 5_000), () => {
      if (still()) for (const connection of mine) connection.peerGivesUp();
    });
    this.timeline.at(this.now + network.between(2_000, 15_000), () => {
      if (still()) for (const connection of mine) connection.coordinatorGivesUp();
    });
    this.timeline.at(end, () => {
      if (up !== down && mine.some(({ open }) => open)) this.count("one-way partition healed on an open link");
      for (const connection of this.connections) if (connection.index === target) connection.flush();
    });
    if (partition.up !== partition.down) {
      this.timeline.at(Math.min(partition.up, partition.down) + 1, () => {
        for (const connection of this.connections) if (connection.index === target) connection.flush();
      });
    }
  }

  #hold(target: number, millis: number): void {
    const end = this.until(millis);
    this.#partitions.set(target, { up: 0, down: end });
    this.timeline.at(end, () => {
      for (const connection of this.connections) if (connection.index === target) connection.flush();
    });
  }

  #heal(): void {
    this.trace(() => "everything works again");
    this.healed = true;
    this.diskFull = false;
    this.slowDisk = false;
    this.disk.failNextSync = false;
    for (const liar of this.liars) liar.leave();
    this.#partitions.clear();
    for (const connection of this.connections) connection.flush();
    if (this.hostile) for (const connection of this.connections) connection.cut(10, 20);
    for (const id of [1, 2, 3, 4]) this.#resume(id);
  }

  /** A paused sweep would rest for ever. */
  #resume(id: number): void {
    this.ask({ kind: "SweepResumed", sweep: sweepId(id) }, () => undefined);
    this.timeline.at(this.now + 20_000, () => {
      if (this.coordinator === null || this.coordinator.state.sweeps.get(sweepId(id))?.state === "paused")
        this.#resume(id);
    });
  }
}
