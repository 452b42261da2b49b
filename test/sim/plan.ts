/**
 * A schedule as data: who there is, what they do, what goes wrong and when. A run is a function of its plan, so a plan is
 * all there is to keep of a failure, and shrinking takes parts of it away.
 *
 * `planOf(seed)` draws one. Swarm: every seed leaves most kinds of fault out and takes those that remain more often.
 */
import { Stream } from "./random.js";

export type FaultKind =
  /** The process dies with all it had in memory; a new one begins after `millis`. */
  | "kill-worker"
  /** SIGSTOP, and SIGCONT after `millis`. */
  | "stop-worker"
  /** Asked to leave in good order. */
  | "leave-worker"
  /** A device's thread is lost: the worker gives everything back and ends. */
  | "lose-device"
  /** Nothing passes either way for `millis`. */
  | "partition"
  | "partition-up"
  | "partition-down"
  /** The connection breaks; each side notices in its own time. */
  | "cut"
  | "kill-coordinator"
  | "stop-coordinator"
  /** Every commit takes up to half a second for `millis`. */
  | "slow-disk"
  /** The next fsync fails: nobody knows whether the batch is there. */
  | "fsync-error"
  /** No commit succeeds for `millis`. */
  | "full-disk"
  /** The machine's wall clock jumps by `millis`, which may be negative; a later life of the coordinator starts from it. */
  | "step-clock"
  /** What the coordinator says to a worker stays in a proxy that keeps both connections open, for `millis`. */
  | "hold-down"
  /** The coordinator's machine is lost; an older copy of the store, made at a backup, takes its place. */
  | "restore"
  /** It dies, and its disk loses the newest commits, too few for the mark beside the database to know. */
  | "lose-tail";

export interface Fault {
  readonly at: number;
  readonly kind: FaultKind;
  /** Number of a worker, where the kind concerns one. */
  readonly target: number;
  readonly millis: number;
}

/** The coordinator's last act: its `commit`-th commit of the schedule. */
export interface CrashPoint {
  readonly commit: number;
  /** `sends`: after that many messages of the turn have left. */
  readonly when: "before" | "after" | "sends";
  readonly sends: number;
  readonly downMillis: number;
}

export interface WorkerPlan {
  readonly lanes: number;
  /** Says what it likes: other's attempts, old tokens, other values. */
  readonly lies: boolean;
  /** Of a liar: uses the name of this worker; -1 for one of its own. */
  readonly name: number;
  /** Its clock against true time. */
  readonly drift: number;
  /** Kind of its device: another one trains to other values, and cannot go on from its checkpoints. */
  readonly device: number;
  /** Share of epochs that end early or late. */
  readonly epochMillis: number;
}

export interface SweepPlan {
  readonly at: number;
  readonly runCap: number;
  readonly epochs: number;
  readonly maxAttempts: number;
  readonly maxParallel: number | null;
  readonly maxWallMillis: number | null;
  readonly target: number | null;
  /** `rung` pauses at epoch 1 and stops bad trials (scheduler.ts). */
  readonly scheduler: "none" | "rung";
  readonly grid: boolean;
}

export type ActionKind = "pause" | "resume" | "cancel" | "extend" | "stop" | "enqueue" | "rerun" | "verify";

export interface Action {
  readonly at: number;
  readonly kind: ActionKind;
  readonly sweep: number;
  readonly trial: number;
}

export interface Plan {
  readonly seed: number;
  /** Faults end here; from then on everything must come to rest. */
  readonly healAt: number;
  readonly workers: readonly WorkerPlan[];
  readonly sweeps: readonly SweepPlan[];
  readonly actions: readonly Action[];
  readonly faults: readonly Fault[];
  readonly crashes: readonly CrashPoint[];
  readonly latency: { readonly least: number; readonly most: number };
  /** Of a message, each: lost, twice, overtaken. */
  readonly drop: number;
  readonly duplicate: number;
  readonly reorder: number;
  /** Events a turn of the coordinator takes at most, and how long it waits for them. */
  readonly batch: number;
  readonly turnMillis: number;
  /** The workers' limits: messages ahead of the ack, messages kept before training pauses. */
  readonly window: number;
  readonly outbox: number;
  /** Pages that follow the feed. */
  readonly viewers: number;
  /** Out of this many trials one diverges, fails, or kills the worker that trains it; 0 for none. */
  readonly diverging: number;
  readonly poisonous: number;
  /** After an epoch, that a lane is saved; of a saved one, that its file is bad when it is asked for. */
  readonly checkpoints: number;
  readonly badFiles: number;
  /** Workers keep on disk what they said, for the process after them. */
  readonly spools: boolean;
  /** Of a worker's process that follows a killed one, that it dies within a round trip too. */
  readonly shortLives?: number;
  /** Commits are flushed beside the coordinator's process, which takes up to this long; 0 and absent: in it. */
  readonly flushMillis?: number;
  /** A worker's process gets through with what its threads say only after up to this long, and sends it together; 0 and absent: at once. */
  readonly gatherMillis?: number;
  /** Everything is checked after every commit, also what costs the size of the state. */
  readonly deep: boolean;
}

const FAULTS: readonly FaultKind[] = [
  "kill-worker",
  "stop-worker",
  "leave-worker",
  "lose-device",
  "partition",
  "partition-up",
  "partition-down",
  "cut",
  "kill-coordinator",
  "stop-coordinator",
  "slow-disk",
  "fsync-error",
  "full-disk",
  "step-clock",
  "hold-down",
  "restore",
];

const ACTIONS: readonly ActionKind[] = ["pause", "resume", "cancel", "extend", "stop", "enqueue", "rerun", "verify"];

/** One in this many seeds is checked in full. */
const DEEP_EVERY = 128;

export function planOf(seed: number): Plan {
  const random = new Stream(seed, 0);
  const healAt = random.between(2_000, 16_000);
  const honest = random.between(1, 3);
  const liars = random.chance(0.15) ? 1 : 0;
  const kinds = FAULTS.filter(() => random.chance(0.35));
  const faults = kinds.length === 0 ? 0 : random.below(5);
  const hostile = random.chance(0.12);
  const workers = [
    ...times(honest, () => workerPlan(random, false, -1)),
    ...times(liars, () => workerPlan(random, true, random.chance(0.3) ? random.below(honest) : -1)),
  ];
  return {
    seed,
    healAt,
    workers,
    sweeps: times(random.chance(0.25) ? 2 : 1, (index) => sweepPlan(random, index)),
    actions: times(random.chance(0.4) ? random.between(1, 3) : 0, () => ({
      at: random.below(healAt),
      kind: random.pick(ACTIONS),
      sweep: random.between(1, 2),
      trial: random.below(4),
    })),
    faults: [...times(faults, () => faultPlan(random, random.pick(kinds), healAt, honest)), ...lostTail(seed, healAt)],
    crashes: times(random.chance(0.35) ? random.between(1, 2) : 0, () => ({
      commit: random.between(1, 40),
      when: random.pick(["before", "after", "sends"] as const),
      sends: random.below(3),
      downMillis: random.chance(0.2) ? random.below(14_000) : random.below(1_500),
    })),
    latency: { least: 1, most: random.chance(0.2) ? random.between(100, 900) : random.between(2, 40) },
    drop: hostile ? random.unit() * 0.05 : 0,
    duplicate: hostile ? random.unit() * 0.1 : 0,
    reorder: hostile ? random.unit() * 0.1 : 0,
    batch: random.chance(0.25) ? 1 : 1_024,
    turnMillis: random.chance(0.25) ? random.between(1, 30) : 0,
    window: random.chance(0.25) ? random.between(1, 4) : 256,
    outbox: random.chance(0.2) ? random.between(2, 6) : 50_000,
    viewers: random.chance(0.15) ? random.between(1, 2) : 0,
    diverging: random.chance(0.3) ? random.between(2, 6) : 0,
    poisonous: random.chance(0.1) ? random.between(2, 5) : 0,
    checkpoints: random.chance(0.5) ? random.unit() : 0,
    badFiles: random.chance(0.2) ? 0.5 : 0,
    spools: random.chance(0.7),
    deep: seed % DEEP_EVERY === 0,
    shortLives: random.chance(0.4) ? 0.6 : 0,
    flushMillis: random.chance(0.6) ? random.between(1, 60) : 0,
    gatherMillis: gathering(seed),
  };
}

function workerPlan(random: Stream, lies: boolean, name: number): WorkerPlan {
  return {
    lanes: random.between(1, 3),
    lies,
    name,
    drift: random.chance(0.2) ? 0.9 + random.unit() * 0.2 : 1,
    device: random.chance(0.2) ? 1 : 0,
    epochMillis: random.chance(0.3) ? random.between(1_000, 4_000) : random.between(50, 800),
  };
}

function sweepPlan(random: Stream, index: number): SweepPlan {
  return {
    at: index === 0 ? random.below(300) : random.below(4_000),
    runCap: random.between(1, 5),
    epochs: random.between(1, 3),
    maxAttempts: random.between(1, 4),
    maxParallel: random.chance(0.2) ? random.between(1, 2) : null,
    maxWallMillis: random.chance(0.1) ? random.between(1_000, 20_000) : null,
    target: random.chance(0.1) ? 0.9 : null,
    scheduler: random.chance(0.25) ? "rung" : "none",
    grid: random.chance(0.1),
  };
}

function faultPlan(random: Stream, kind: FaultKind, healAt: number, workers: number): Fault {
  const long = random.chance(0.35);
  const millis =
    kind === "step-clock"
      ? random.between(-3_600_000, 3_600_000)
      : long
        ? random.between(5_000, 15_000)
        : random.below(3_000);
  const target = random.below(workers);
  // Shorter than a lease it is a latency like any other.
  if (kind === "hold-down") return { at: random.below(2_000), kind, target, millis: random.between(9_500, 15_000) };
  return { at: random.below(healAt), kind, target, millis };
}

/** From a stream of its own: this fault came later than the seeds of the others. */
function lostTail(seed: number, healAt: number): readonly Fault[] {
  const random = new Stream(seed, 4);
  if (!random.chance(0.1)) return [];
  return [{ kind: "lose-tail", at: random.below(healAt), target: 0, millis: random.below(3_000) }];
}

/** From a stream of its own, as above. */
function gathering(seed: number): number {
  const random = new Stream(seed, 5);
  return random.chance(0.5) ? random.between(1, 400) : 0;
}

function times<T>(count: number, make: (index: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
