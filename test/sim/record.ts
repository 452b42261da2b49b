/**
 * The record as the oracle keeps it, from the batches that became durable, and what must hold of every change in it.
 *
 * I2 one value a report · I3 and I19 only what the holder of an attempt said, while it held it · I4 tokens grow · I5 one
 * holder, final states stay, states follow the table · I6 one end a trial · I7 conservation · I8 losses bounded ·
 * I9 no lease taken early · I12 no more than its lanes · I17 budgets, and nothing starts after a cancel · I18 the
 * scheduler's decisions rest on reports on record. What is written here is written down from the design, not taken from
 * the core's own tables.
 */
import type { Mutation } from "../../coordinator/core/events.js";
import type { Attempt, Sweep, Trial } from "../../coordinator/core/types.js";
import type { LifeBook, OutcomeCase } from "./lives.js";
import { PAUSE_BELOW, PAUSE_EPOCH, type RungState, STOP_BELOW } from "./scheduler.js";

/** Milliseconds, from the design. */
export const LEASE = 9_000;

const TRIALS: Readonly<Record<Trial["state"], readonly Trial["state"][]>> = {
  queued: ["leased", "cancelled"],
  leased: ["running", "queued", "lost", "cancelled"],
  running: ["completed", "stopped", "paused", "failed", "queued", "lost", "cancelled"],
  paused: ["queued", "stopped", "cancelled"],
  completed: [],
  stopped: [],
  failed: [],
  lost: [],
  cancelled: [],
};

const FINAL_EVENTS = new Set(["trial-completed", "trial-stopped", "trial-failed", "trial-lost", "trial-cancelled"]);

export const isFinal = (state: Trial["state"]): boolean => TRIALS[state].length === 0;
export const isLive = (attempt: Attempt): boolean => attempt.state === "offered" || attempt.state === "running";

/** What a worker must have said for its attempt to become this. */
const SAID: Partial<Record<Attempt["state"], readonly OutcomeCase[]>> = {
  finished: ["completed"],
  failed: ["diverged", "failed"],
  stopped: ["stopped"],
  paused: ["stopped"],
};

export interface Witness {
  fail(id: string, what: string): void;
  count(what: string): void;
  bookOf(incarnation: string): LifeBook | undefined;
  /** When the holder was last heard, on the clock of the coordinator's present life. */
  heardAt(attempt: string): number | undefined;
  /** When the event was received that is decided now, on the same clock. */
  decidingAt(): number;
}

export class DurableRecord {
  readonly sweeps = new Map<number, Sweep>();
  readonly trials = new Map<string, Trial>();
  readonly attempts = new Map<string, Attempt>();
  /** Attempt -> epoch -> value of the objective. */
  readonly reports = new Map<string, Map<number, unknown>>();
  readonly #live = new Map<string, Attempt>();
  /** Attempt -> the one whose checkpoint it began with. */
  readonly #wentOnFrom = new Map<string, string>();
  readonly #asked = new Map<number, number>();
  readonly #ends = new Map<string, number>();
  /** Of all attempts here. */
  #highestToken = 0;
  /** Sweep cancelled -> highest token when that became durable. */
  readonly #cancelled = new Set<number>();
  readonly #witness: Witness;
  lastToken = 0;

  constructor(witness: Witness) {
    this.#witness = witness;
  }

  /** Attempts that somebody holds. */
  live(): Iterable<Attempt> {
    return this.#live.values();
  }

  apply(batch: readonly Mutation[]): void {
    for (const mutation of batch) {
      switch (mutation.kind) {
        case "putSweep":
          this.#sweep(mutation.sweep);
          break;
        case "putTrial":
          this.#trial(mutation.trial);
          break;
        case "putAttempt":
          this.#attempt(mutation.attempt);
          break;
        case "addReport": {
          const { attempt, epoch, metrics } = mutation.report;
          this.#report(attempt, epoch, metrics["val_accuracy"]);
          break;
        }
        case "addEvent":
          this.#event(mutation.event.kind, mutation.event.trial);
          break;
        case "setTokens":
          if (mutation.last <= this.lastToken) this.#fail("I4", `the token counter goes back to ${mutation.last}`);
          this.lastToken = mutation.last;
          break;
        case "putWorker":
        case "setSweeps":
          break;
      }
    }
    for (const trial of this.#touched) this.#settled(trial);
    this.#touched.clear();
  }

  readonly #touched = new Set<string>();

  #sweep(sweep: Sweep): void {
    this.sweeps.set(sweep.id, sweep);
    if (sweep.cause === "cancelled by user") this.#cancelled.add(sweep.id);
    else this.#cancelled.delete(sweep.id);
    if (sweep.state !== "completed" && sweep.state !== "cancelled" && sweep.state !== "failed") return;
    const asked = this.#asked.get(sweep.id) ?? 0;
    if (sweep.cause === "run_cap" && asked !== sweep.spec.runCap) {
      this.#fail("I7", `sweep ${sweep.id} ended with ${asked} of ${sweep.spec.runCap} trials`);
    }
  }

  #trial(next: Trial): void {
    const old = this.trials.get(next.id);
    this.trials.set(next.id, next);
    this.#touched.add(next.id);
    const sweep = this.sweeps.get(next.sweep);
    if (sweep === undefined) return this.#fail("I7", `${next.id} is of no sweep`);
    if (old === undefined) {
      if (next.origin.kind === "rerun") return;
      const asked = (this.#asked.get(next.sweep) ?? 0) + 1;
      this.#asked.set(next.sweep, asked);
      if (asked > sweep.spec.runCap)
        this.#fail("I17", `sweep ${next.sweep} has ${asked} trials of ${sweep.spec.runCap}`);
      if (next.number >= sweep.nextTrial) this.#fail("I7", `${next.id} is numbered above its sweep's counter`);
      return;
    }
    if (old.state !== next.state && !TRIALS[old.state].includes(next.state)) {
      this.#fail("I5", `${next.id} goes from ${old.state} to ${next.state}`);
    }
    if (isFinal(old.state) && !sameResult(old, next))
      this.#fail("I6", `the result of ${next.id} changes after its end`);
    if (next.seed !== old.seed || next.number !== old.number) this.#fail("I15", `${next.id} becomes another trial`);
    if (next.losses > sweep.spec.maxAttempts) this.#fail("I8", `${next.id} was lost ${next.losses} times`);
    if (next.attempts !== old.attempts && next.attempts !== old.attempts + 1) {
      this.#fail("I8", `${next.id} goes from attempt ${old.attempts} to ${next.attempts}`);
    }
    if (next.state === "stopped" && old.state === "running") this.#judged(sweep, next);
    this.#checkpoints(old, next);
  }

  /** What must hold of a trial when a batch is whole. */
  #settled(id: string): void {
    const trial = this.trials.get(id);
    if (trial === undefined) return;
    const held = this.#live.get(id);
    const trains = trial.state === "leased" || trial.state === "running";
    if (trains !== (held !== undefined)) this.#fail("I5", `${id} is ${trial.state}, held: ${held?.id ?? "by nobody"}`);
    if (held !== undefined && held.n !== trial.attempts)
      this.#fail("I5", `${id} is at ${trial.attempts}, ${held.id} lives`);
    if (!isFinal(trial.state)) return;
    if (this.#ends.get(id) !== 1) this.#fail("I6", `${id} has ${this.#ends.get(id) ?? 0} events of its end`);
    const last = `${id}#${trial.attempts}`;
    const { best } = trial;
    if (best !== null && this.#valueAt(trial, best.epoch) !== best.value) {
      this.#fail("I6", `the best of ${id} is none of its reports`);
    }
    if (trial.state !== "completed") return;
    const attempt = this.attempts.get(last);
    const book = attempt === undefined ? undefined : this.#witness.bookOf(attempt.incarnation);
    if (book?.honest !== true) return;
    for (let epoch = (attempt?.fromEpoch ?? 0) + 1; epoch <= trial.epoch; epoch += 1) {
      if (!this.reports.get(last)?.has(epoch))
        this.#fail("I1", `${id} is completed without its report of epoch ${epoch}`);
    }
  }

  /** By the newest attempt, or by those that it went on from: others that trained the same epoch do not count. */
  #valueAt({ id, attempts }: Trial, epoch: number): unknown {
    let attempt: string | undefined = `${id}#${attempts}`;
    while (attempt !== undefined && epoch <= (this.attempts.get(attempt)?.fromEpoch ?? 0)) {
      attempt = this.#wentOnFrom.get(attempt);
    }
    return attempt === undefined ? undefined : this.reports.get(attempt)?.get(epoch);
  }

  /** I11: of an epoch on record, and never before one that is kept already. */
  #checkpoints(old: Trial, next: Trial): void {
    const [newest] = next.checkpoints;
    if (newest === undefined || newest === old.checkpoints[0]) return;
    if (old.checkpoints.some(({ digest }) => digest === newest.digest)) return;
    const { epoch } = newest.progress;
    if (epoch < (old.checkpoints[0]?.progress.epoch ?? 0))
      this.#fail("I11", `${next.id} keeps an older lane, of ${epoch}`);
    if (this.#valueAt(next, epoch) === undefined)
      this.#fail("I11", `${next.id} keeps a lane of ${epoch}, never reported`);
    this.#witness.count("checkpoint kept");
  }

  /** I11: an attempt begins at the start, or at a checkpoint that was kept. */
  #begins(attempt: Attempt): void {
    if (attempt.fromEpoch === 0) return;
    const kept = this.trials.get(attempt.trial)?.checkpoints ?? [];
    const there = kept.filter(({ progress }) => progress.epoch === attempt.fromEpoch);
    const from = there.find(({ fingerprint }) => fingerprint === attempt.fingerprint) ?? there[0];
    if (from !== undefined) return void this.#wentOnFrom.set(attempt.id, from.attempt);
    this.#fail("I11", `${attempt.id} begins at epoch ${attempt.fromEpoch}, of which no lane is kept`);
  }

  #attempt(next: Attempt): void {
    const old = this.attempts.get(next.id);
    this.attempts.set(next.id, next);
    if (old === undefined) return this.#granted(next);
    if (next.token !== old.token) this.#fail("I4", `${next.id} changes its token`);
    if (next.worker !== old.worker || (next.incarnation !== old.incarnation && !this.#succeeds(old, next))) {
      this.#fail("I4b", `${next.id} changes hands from ${old.incarnation} to ${next.incarnation}`);
    }
    if (!isLive(old)) return this.#fail("I5", `${next.id} is ${old.state} and becomes ${next.state}`);
    if (isLive(next)) {
      this.#live.set(next.trial, next);
      if (old.state === "running" && next.state === "offered")
        this.#fail("I5", `${next.id} is offered again while it runs`);
      if (next.state === "running" && old.state === "offered") {
        this.#spoke(next, "runs");
        this.#begins(next);
      }
      return;
    }
    this.#live.delete(next.trial);
    const book = this.#witness.bookOf(next.incarnation);
    const said = SAID[next.state];
    const outcomes = book?.outcomes.get(next.token) ?? [];
    if (said !== undefined && !outcomes.some((outcome) => said.includes(outcome))) {
      this.#fail("I3", `${next.id} is ${next.state}, but ${next.incarnation} never said so`);
    }
    if (next.state === "lost") this.#lost(next, book, outcomes);
  }

  #granted(next: Attempt): void {
    const trial = this.trials.get(next.trial);
    const sweep = trial === undefined ? undefined : this.sweeps.get(trial.sweep);
    const before = this.#live.get(next.trial);
    if (before !== undefined) this.#fail("I5", `${next.id} is granted while ${before.id} lives`);
    this.#live.set(next.trial, next);
    if (next.token > this.#highestToken) this.#highestToken = next.token;
    else this.#tokenAgain(next);
    if (next.token > this.lastToken) this.#fail("I4", `token ${next.token} lies above the counter`);
    // A rerun may be asked for after the end of its sweep.
    if (sweep !== undefined && this.#cancelled.has(sweep.id) && trial?.origin.kind !== "rerun")
      this.#fail("I17", `${next.id} starts in a cancelled sweep`);
    const parallel = sweep?.spec.maxParallel ?? null;
    let [ofSweep, ofLife] = [0, 0];
    for (const live of this.#live.values()) {
      if (live.incarnation === next.incarnation && live.device === next.device) ofLife += 1;
      if (live.trial.slice(0, live.trial.indexOf("/")) === String(sweep?.id)) ofSweep += 1;
    }
    if (parallel !== null && ofSweep > parallel) this.#fail("I17", `sweep ${sweep?.id} trains ${ofSweep} at once`);
    const book = this.#witness.bookOf(next.incarnation);
    if (book === undefined) return this.#fail("I12", `${next.id} is granted to nobody`);
    if (book.worker !== next.worker) this.#fail("I4b", `${next.id} mixes ${next.worker} and ${next.incarnation}`);
    if (ofLife > book.lanes) this.#fail("I12", `${next.incarnation} gets ${ofLife} trials on ${book.lanes} lanes`);
    const previous = this.attempts.get(`${next.trial}#${next.n - 1}`);
    const holder = previous === undefined ? undefined : this.#witness.bookOf(previous.incarnation);
    if (previous?.state === "lost" && holder?.alive === true && !holder.outcomes.has(previous.token)) {
      this.#witness.count("re-lease while old worker alive");
    }
  }

  #tokenAgain(next: Attempt): void {
    for (const other of this.attempts.values()) {
      if (other !== next && other.token >= next.token)
        this.#fail("I4", `${next.id} has token ${next.token}, ${other.id} ${other.token}`);
    }
  }

  /** The lease ran out, or the worker itself let go. */
  #lost(attempt: Attempt, book: LifeBook | undefined, outcomes: readonly OutcomeCase[]): void {
    if (outcomes.includes("released") || outcomes.includes("stopped") || book?.unlisted.has(attempt.token)) return;
    // Its successor has proof that it is dead.
    if (book?.succeeded === true && !book.alive) return;
    // Says that it began where no lane is kept.
    if (book?.honest === false && book.spokeOf.has(attempt.token)) return;
    const heard = this.#witness.heardAt(attempt.id);
    const ended = Math.min(attempt.endedAt ?? 0, this.#witness.decidingAt());
    if (heard === undefined || ended - heard >= LEASE) return;
    this.#fail("I9", `${attempt.id} is taken from ${attempt.incarnation} ${ended - heard} ms after it was heard`);
  }

  #report(attempt: string, epoch: number, value: unknown): void {
    const holder = this.attempts.get(attempt);
    if (holder === undefined || !isLive(holder)) return this.#fail("I3", `a report of ${attempt}, which nobody holds`);
    const said = this.#witness.bookOf(holder.incarnation)?.reports.get(`${holder.token}:${epoch}`);
    if (said === undefined || !said.includes(value)) {
      this.#fail("I19", `${attempt} epoch ${epoch} is ${String(value)} on record, ${holder.incarnation} never said so`);
    }
    const known = this.reports.get(attempt) ?? new Map<number, unknown>();
    this.reports.set(attempt, known);
    if (known.has(epoch)) this.#fail("I2", `${attempt} epoch ${epoch} is recorded twice`);
    known.set(epoch, value);
  }

  /** A process that has the spool of the one before it has proof that that one is dead. */
  #succeeds(old: Attempt, next: Attempt): boolean {
    const taken = this.#witness.bookOf(next.incarnation)?.previous.includes(old.incarnation) === true;
    if (taken) this.#witness.count("taken over from a dead process");
    return taken && this.#witness.bookOf(old.incarnation)?.alive === false;
  }

  #spoke(attempt: Attempt, what: string): void {
    if (this.#witness.bookOf(attempt.incarnation)?.spokeOf.has(attempt.token)) return;
    this.#fail("I3", `${attempt.id} ${what}, but ${attempt.incarnation} never said anything of it`);
  }

  #judged(sweep: Sweep, trial: Trial): void {
    const [, text] = /^by rung after epoch (\d+)/.exec(trial.cause) ?? [];
    if (text === undefined) return;
    const epoch = Number(text);
    const value = this.#valueAt(trial, epoch);
    const bad = typeof value === "number" && (value < STOP_BELOW || (epoch === PAUSE_EPOCH && value < PAUSE_BELOW));
    const { judged } = sweep.schedulerState as RungState;
    if (!bad) this.#fail("I18", `${trial.id} is stopped for epoch ${epoch}, whose value is ${String(value)}`);
    if (!judged.includes(`${trial.number}@${epoch}`)) this.#fail("I18", `no record why ${trial.id} is stopped`);
  }

  #event(kind: string, trial: string | null): void {
    if (kind === "report-refused") this.#witness.count("conflict refused");
    if (kind === "lease-lapsed") this.#witness.count("lease lapsed");
    if (kind === "lease-renewed") this.#witness.count("holder back after its lease");
    if (trial === null || !FINAL_EVENTS.has(kind)) return;
    const ends = (this.#ends.get(trial) ?? 0) + 1;
    this.#ends.set(trial, ends);
    if (ends > 1) this.#fail("I6", `${trial} ends twice: ${kind}`);
  }

  #fail(id: string, what: string): void {
    this.#witness.fail(id, what);
  }
}

function sameResult(a: Trial, b: Trial): boolean {
  return (
    a.state === b.state &&
    a.cause === b.cause &&
    a.epoch === b.epoch &&
    a.endedAt === b.endedAt &&
    a.weightsHash === b.weightsHash &&
    a.best?.value === b.best?.value &&
    a.best?.epoch === b.best?.epoch
  );
}
