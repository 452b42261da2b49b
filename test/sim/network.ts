/**
 * Connections between workers and the coordinator: one ordered stream each way, as gRPC over TCP gives, and its faults.
 *
 * Guarantees: what arrives on a connection was sent on it, and goes to the process that it was opened with. Both ways are
 * in order; a hostile network (a proxy with faults of its own) may also lose, repeat and swap messages. A connection that
 * breaks loses what travels, each side notices in its own time, and messages of an old connection may arrive after a new
 * one was opened. A partition holds everything back until it heals or a side gives the connection up.
 */
import { LinkSession, type LinkStream } from "../../coordinator/shell/link-session.js";
import type { ConvsweepError } from "../../proto/contract.js";
import type { LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import type { Life, Wire, World } from "./surroundings.js";

/** Whoever opens connections: a worker, or something that says it is one. */
export interface Peer {
  /** Number in the plan, by which partitions find it. */
  readonly index: number;
  readonly incarnation: string;
  received(connection: Connection, message: LinkResponse): void;
  /** The connection is over; `error` is what the coordinator said, if it said anything. */
  ended(connection: Connection, error: ConvsweepError | null): void;
}

type Parcel = { readonly message: LinkRequest } | { readonly end: true };
type Reply = { readonly message: LinkResponse } | { readonly error: ConvsweepError | null };

export class Connection implements Wire {
  readonly #world: World;
  readonly #peer: Peer;
  /** The life that opened it. */
  readonly incarnation: string;
  #life: Life | null = null;
  #session: LinkSession | null = null;
  /** When the newest message of each way arrives: no later one arrives before. */
  #lastUp = 0;
  #lastDown = 0;
  /** From then on nothing arrives. */
  #cutUp = Number.POSITIVE_INFINITY;
  #cutDown = Number.POSITIVE_INFINITY;
  #heldUp: Parcel[] = [];
  #heldDown: Reply[] = [];
  #travelling = 0;
  /** A numbered message has gone up. */
  #numbered = false;
  #peerOpen = true;
  #coordinatorOpen = true;

  constructor(world: World, peer: Peer) {
    this.#world = world;
    this.#peer = peer;
    this.incarnation = peer.incarnation;
    world.connections.add(this);
  }

  get index(): number {
    return this.#peer.index;
  }

  get open(): boolean {
    return this.#peerOpen;
  }

  send(message: LinkRequest): void {
    if (!this.#peerOpen) return;
    if (message.body?.$case === "batch") this.#world.count("several messages in one");
    this.#world.oracle.said(this.incarnation, message, message.seq > 0 && !this.#numbered);
    this.#upward({ message });
  }

  /** The peer closes, or dies and its machine says so. What it wrote before still travels. */
  close(): void {
    if (!this.#peerOpen) return;
    this.#peerOpen = false;
    this.#upward({ end: true });
  }

  /** The peer is gone, and what it wrote was still in its own memory. */
  swallow(): void {
    this.#cutUp = this.#world.now;
    this.vanish();
  }

  /** The peer is gone without a word. */
  vanish(): void {
    this.#peerOpen = false;
    this.#world.timeline.at(this.#world.now + this.#world.random.network.between(3_000, 12_000), () => this.#lost());
  }

  /** Breaks on the way. `noticed`: how long each side takes to see it. */
  cut(peerMillis: number, coordinatorMillis: number): void {
    const { now, timeline, random } = this.#world;
    this.#cutUp = Math.min(this.#cutUp, now + random.network.below(30));
    this.#cutDown = Math.min(this.#cutDown, now + random.network.below(30));
    timeline.at(now + peerMillis, () => this.peerGivesUp());
    timeline.at(now + coordinatorMillis, () => this.#lost());
  }

  /** The peer's own watch (keepalive, no answer) says that the connection is dead. */
  peerGivesUp(): void {
    if (!this.#peerOpen) return;
    this.#peerOpen = false;
    this.#upward({ end: true });
    this.#peer.ended(this, null);
  }

  coordinatorGivesUp(): void {
    this.#lost();
  }

  /** The coordinator's process is dead; its machine says so, or not. */
  coordinatorDied(): void {
    if (!this.#coordinatorOpen) return;
    this.#coordinatorOpen = false;
    const { random, now, timeline } = this.#world;
    if (random.network.chance(0.5)) return this.#downward({ error: null }, true);
    this.#cutDown = Math.min(this.#cutDown, now + random.network.below(10));
    timeline.at(now + random.network.between(2_000, 5_000), () => this.peerGivesUp());
  }

  /** The partition has healed. */
  flush(): void {
    const [up, down] = [this.#heldUp, this.#heldDown];
    this.#heldUp = [];
    this.#heldDown = [];
    for (const parcel of up) this.#arriveUp(parcel);
    for (const reply of down) this.#arriveDown(reply);
  }

  get life(): Life | null {
    return this.#life;
  }

  #upward(parcel: Parcel): void {
    const { plan, random, now, timeline } = this.#world;
    const { network } = random;
    const arrival = now + network.between(plan.latency.least, plan.latency.most);
    // No loss of the first numbered message of a link could be noticed, and no stream loses one.
    const first = !this.#numbered;
    if ("message" in parcel && parcel.message.seq > 0) this.#numbered = true;
    if ("message" in parcel && this.#session !== null && !first && !this.#world.healed) {
      if (network.chance(plan.drop)) return;
      if (network.chance(plan.reorder))
        return void timeline.at(Math.max(arrival, this.#lastUp) + 50, () => this.#arriveUp(parcel));
      if (network.chance(plan.duplicate))
        timeline.at(Math.max(arrival, this.#lastUp) + 20, () => this.#arriveUp(parcel));
    }
    this.#lastUp = Math.max(this.#lastUp, arrival);
    timeline.at(this.#lastUp, () => this.#arriveUp(parcel));
  }

  #arriveUp(parcel: Parcel): void {
    const world = this.#world;
    if (world.now >= this.#cutUp) return;
    if (this.#heldUp.length > 0 || world.partitioned(this.#peer.index, "up")) {
      this.#heldUp.push(parcel);
      return;
    }
    if (this.#life === null) {
      const life = world.coordinator;
      if (life === null) return this.#refuse();
      this.#life = life;
      this.#session = new LinkSession(this.#stream(life), life.sessionParts(), `peer ${this.#peer.index}`);
    }
    const life = this.#life;
    const session = this.#session;
    if (session === null || life.dead) return;
    life.enter(() => {
      if ("end" in parcel) session.lost();
      else {
        world.trace(() => `${this.incarnation} -> coordinator  ${briefly(parcel.message)}`);
        session.receive(parcel.message);
      }
    });
  }

  #refuse(): void {
    this.#coordinatorOpen = false;
    this.#downward({ error: null }, true);
  }

  #stream(life: Life): LinkStream {
    return {
      write: (message) => {
        if (life.dead || !this.#coordinatorOpen) return;
        if (life.sent()) return;
        this.#world.oracle.told(this.incarnation, message);
        this.#world.trace(() => `coordinator -> ${this.incarnation}  ${briefly(message)}`);
        this.#downward({ message }, false);
      },
      backlog: () => this.#travelling,
      end: (error) => {
        if (life.dead || !this.#coordinatorOpen) return;
        this.#coordinatorOpen = false;
        if (error !== null) this.#world.count(`link ended: ${error.code}`);
        this.#downward({ error }, true);
      },
      pause: () => undefined,
      resume: () => undefined,
    };
  }

  #downward(reply: Reply, last: boolean): void {
    const { plan, random, timeline, departure } = this.#world;
    const { network } = random;
    const arrival = departure + network.between(plan.latency.least, plan.latency.most);
    const arrive = (): void => this.#arriveDown(reply);
    if (!last && !this.#world.healed && "message" in reply && reply.message.body?.$case !== "welcome") {
      if (network.chance(plan.drop)) return;
      if (network.chance(plan.reorder)) return void timeline.at(Math.max(arrival, this.#lastDown) + 50, arrive);
      if (network.chance(plan.duplicate)) timeline.at(Math.max(arrival, this.#lastDown) + 20, arrive);
    }
    this.#travelling += 1;
    this.#lastDown = Math.max(this.#lastDown, arrival);
    timeline.at(this.#lastDown, () => {
      this.#travelling -= 1;
      arrive();
    });
  }

  #arriveDown(reply: Reply): void {
    if (this.#world.now >= this.#cutDown || !this.#peerOpen) return;
    if (this.#heldDown.length > 0 || this.#world.partitioned(this.#peer.index, "down")) {
      this.#heldDown.push(reply);
      return;
    }
    if ("message" in reply) return this.#peer.received(this, reply.message);
    this.#peerOpen = false;
    this.#peer.ended(this, reply.error);
  }

  #lost(): void {
    const { life } = this;
    if (!this.#coordinatorOpen || life === null || life.dead) return;
    const session = this.#session;
    life.enter(() => session?.lost());
  }
}

export function briefly(message: LinkRequest | LinkResponse): string {
  const { seq, ack, body } = message;
  const numbers = `seq ${seq} ack ${ack}`;
  if (body === undefined) return numbers;
  if (body.$case === "batch") {
    const inside = body.value.messages.map((one) => one.body?.$case ?? "nothing");
    return `batch of ${inside.join(", ")} (${numbers})`;
  }
  const value = body.value as Readonly<Record<string, unknown>>;
  const what = ["attempt", "token", "epoch", "fromEpoch", "received"].flatMap((key) =>
    value[key] === undefined ? [] : [`${key} ${String(value[key])}`],
  );
  const lists = ["running", "keep", "drop"].flatMap((key) => {
    const held = value[key] as readonly { attempt: string; token: number }[] | undefined;
    return held === undefined ? [] : [`${key} [${held.map((one) => `${one.attempt}:${one.token}`).join(" ")}]`];
  });
  const outcome = value["outcome"] as { readonly $case: string } | undefined;
  return [body.$case, ...what, ...lists, ...(outcome ? [outcome.$case] : []), `(${numbers})`].join(" ");
}
