/**
 * The register of workers' lives: which Link speaks for an incarnation now, and how far its messages have come.
 *
 * Guarantees: at most one Link an incarnation; a newer one replaces the older, whose end then means nothing. A life that an open
 * Link's Hello named as a dead one before it gets none: what it wrote may be read late, and it would be given trials. What was
 * received of an incarnation outlives its Links, so a repeat after a reconnect is dropped. It does not outlive the
 * coordinator, and need not: a new coordinator says `received = 0`, the worker sends again all that was not
 * acknowledged, starting wherever its numbers stand, and the core takes repeats without a change.
 * Acks go out once a turn of the runtime, however many messages the turn took.
 *
 * Not here: the stream itself (link-session.ts).
 */
import { ConvsweepError, type Incarnation, type WorkerId } from "../../proto/contract.js";
import type { Effect, WorkerMessage } from "../core/events.js";
import { faultPoint } from "../store/fault-point.js";

/** What the register asks of a Link. */
export interface Link {
  send(message: WorkerMessage): void;
  acknowledge(): void;
  end(error: ConvsweepError): void;
}

/** How far the messages of one incarnation have come. */
export interface Progress {
  readonly worker: WorkerId;
  /** Highest number taken in; 0 before the first. */
  received: number;
  /** Highest number that is durable. */
  durable: number;
  link: Link | null;
  /** Lives of the same worker that are dead, by its newest Hello. */
  previous: readonly Incarnation[];
  /** Names of metrics it has used. */
  readonly names: Set<string>;
}

/** Lives without a Link that are remembered; one forgotten is taken for new, which costs only repeats. */
const REMEMBERED = 10_000;

export class Links {
  readonly #lives = new Map<Incarnation, Progress>();
  /** Dead life -> the one with an open Link that said so. */
  readonly #successors = new Map<Incarnation, Progress>();
  readonly #owing = new Set<Link>();
  #away = 0;

  /** Lives with an open Link. */
  get count(): number {
    return this.#lives.size - this.#away;
  }

  /** Makes `link` the one of its incarnation, which names the lives before it. */
  open(worker: WorkerId, life: Incarnation, link: Link, previous: readonly Incarnation[] = []): Progress {
    const known = this.#lives.get(life);
    const successor = this.#successors.get(life);
    if (successor?.worker === worker && successor !== known) {
      throw new ConvsweepError(
        "CONFLICT",
        `hello.incarnation: a later process of worker ${worker} is linked and says that this one has ended`,
        { path: "hello.incarnation", expected: "a process that lives", found: life },
      );
    }
    if (known && known.worker !== worker) {
      throw new ConvsweepError("BAD_INPUT", `hello.incarnation: ${life} already belongs to worker ${known.worker}`, {
        path: "hello.incarnation",
        expected: "a random text of this process alone",
        found: life,
      });
    }
    const progress = known ?? { worker, received: 0, durable: 0, link: null, previous: [], names: new Set() };
    const older = progress.link;
    if (known && older === null) this.#away -= 1;
    progress.link = link;
    this.#forgetPrevious(progress);
    progress.previous = previous;
    for (const dead of previous) this.#successors.set(dead, progress);
    // Back to the end of the map's order: the one longest away is forgotten first.
    this.#lives.delete(life);
    this.#lives.set(life, progress);
    older?.end(new ConvsweepError("CONFLICT", "a newer Link of the same process took over"));
    return progress;
  }

  /** True if `link` was the one of its incarnation: then the worker is away. */
  close(life: Incarnation, link: Link): boolean {
    this.#owing.delete(link);
    const progress = this.#lives.get(life);
    if (progress?.link !== link) return false;
    progress.link = null;
    this.#forgetPrevious(progress);
    this.#lives.delete(life);
    this.#lives.set(life, progress);
    this.#away += 1;
    this.#forgetOldest();
    this.#freeName(progress.worker);
    return true;
  }

  send(effect: Extract<Effect, { readonly kind: "send" }>): void {
    // No Link: nothing is lost, the worker's next Hello tells what it has and is answered with what it lacks.
    if (effect.message.kind === "Assign") faultPoint("beforeAssign");
    this.#lives.get(effect.incarnation)?.link?.send(effect.message);
    if (effect.message.kind === "Assign") faultPoint("afterAssign");
  }

  /** The Link has something to acknowledge at the end of this turn. */
  owes(link: Link): void {
    this.#owing.add(link);
  }

  turnEnded(): void {
    for (const link of this.#owing) {
      this.#owing.delete(link);
      faultPoint("beforeAck");
      link.acknowledge();
      faultPoint("afterAck");
    }
  }

  endAll(error: ConvsweepError): void {
    for (const { link } of [...this.#lives.values()]) link?.end(error);
  }

  /**
   * Of two processes with one name the core knows the one that said hello last. When that one ends, the other has to say
   * hello again, or it would wait for trials for ever on a link that stands.
   */
  #freeName(worker: WorkerId): void {
    for (const other of [...this.#lives.values()]) {
      if (other.worker !== worker) continue;
      other.link?.end(new ConvsweepError("CONFLICT", `another process named ${worker} has ended: say hello again`));
    }
  }

  #forgetPrevious(progress: Progress): void {
    for (const dead of progress.previous) if (this.#successors.get(dead) === progress) this.#successors.delete(dead);
    progress.previous = [];
  }

  #forgetOldest(): void {
    if (this.#away <= REMEMBERED) return;
    for (const [life, progress] of this.#lives) {
      if (progress.link !== null) continue;
      this.#lives.delete(life);
      this.#away -= 1;
      return;
    }
  }
}
