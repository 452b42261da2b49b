/**
 * A worker that is let in and lies: about what it holds, about others' attempts, with old, new and other's tokens, with
 * values that contradict what it said before, with messages that make no sense. It knows everything that was ever told
 * to anybody. Of its own trials it may say what it likes; of no other's anything.
 */
import { type ConvsweepError, PROGRAM_VERSION, PROTOCOL } from "../../proto/contract.js";
import type { HeldAttempt } from "../../proto/gen/convsweep/v1/types.js";
import type { LinkResponse, Numbered } from "../../proto/gen/convsweep/v1/worker.js";
import { Connection, type Peer } from "./network.js";
import type { WorkerPlan } from "./plan.js";
import type { Stream } from "./random.js";
import type { World } from "./surroundings.js";

type Body = NonNullable<Numbered["body"]>;

export class Liar implements Peer {
  readonly index: number;
  readonly #world: World;
  readonly #plan: WorkerPlan;
  readonly #random: Stream;
  readonly #name: string;
  #life = 0;
  #connection: Connection | null = null;
  #seq = 0;
  #acked = 0;
  #welcomed = false;
  #gone = false;

  constructor(world: World, index: number, plan: WorkerPlan, random: Stream) {
    this.#world = world;
    this.index = index;
    this.#plan = plan;
    this.#random = random;
    this.#name = `w${plan.name >= 0 ? plan.name : index}`;
  }

  get incarnation(): string {
    return `liar-${this.index}-life-${this.#life}`;
  }

  begin(): void {
    if (this.#gone) return;
    if (this.#life === 0 || this.#random.chance(0.3)) {
      this.#life += 1;
      this.#seq = 0;
      this.#acked = 0;
      const { incarnation } = this;
      this.#world.oracle.born({ incarnation, worker: this.#name, lanes: this.#plan.lanes, honest: false });
    }
    this.#welcomed = false;
    const connection = new Connection(this.#world, this);
    this.#connection = connection;
    connection.send({
      seq: 0,
      ack: 0,
      body: {
        $case: "hello",
        value: {
          protocolMajor: PROTOCOL.major,
          protocolMinor: PROTOCOL.minor,
          worker: this.#name,
          incarnation: this.incarnation,
          host: "h",
          pid: 1,
          version: PROGRAM_VERSION,
          devices: [
            { id: "cpu", name: "c", backend: "cpu", fingerprint: "f0", memoryBytes: 1, lanes: this.#plan.lanes },
          ],
          running: this.#someHeld(),
          previous: [],
          seenStore: "",
          seenGeneration: 0,
          seenCommit: 0,
          seenOpening: "",
        },
      },
    });
    this.#later();
  }

  /** It is found out and sent away. */
  leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#world.oracle.died(this.incarnation);
    this.#connection?.close();
  }

  received(connection: Connection, message: LinkResponse): void {
    if (connection !== this.#connection) return;
    if (message.body?.$case === "welcome") {
      this.#welcomed = true;
      this.#seq = message.body.value.received;
    }
    this.#acked = Math.max(this.#acked, message.ack);
  }

  ended(connection: Connection, _error: ConvsweepError | null): void {
    if (connection !== this.#connection) return;
    this.#connection = null;
    this.#world.timeline.at(this.#world.now + this.#random.between(50, 2_000), () => this.begin());
  }

  #later(): void {
    const connection = this.#connection;
    this.#world.timeline.at(this.#world.now + this.#random.between(20, 900), () => {
      if (this.#gone || connection !== this.#connection || connection === null) return;
      if (this.#welcomed) this.#speak(connection);
      this.#later();
    });
  }

  #speak(connection: Connection): void {
    if (this.#random.chance(0.4)) {
      connection.send({ seq: 0, ack: 0, body: { $case: "heartbeat", value: { running: this.#someHeld(), use: [] } } });
      return;
    }
    this.#world.count("lies");
    // Now and then a number that is wrong: the link ends.
    this.#seq += this.#random.chance(0.03) ? 2 : 1;
    const seq = this.#seq;
    if (!this.#random.chance(0.3)) return connection.send({ seq, ack: 0, body: this.#lie() });
    // Now and then an empty one, or one with nothing in it: the link ends.
    const messages = Array.from({ length: this.#random.chance(0.05) ? 0 : this.#random.between(1, 3) }, () => ({
      body: this.#random.chance(0.02) ? undefined : this.#lie(),
    }));
    this.#seq += Math.max(0, messages.length - 1);
    connection.send({ seq, ack: 0, body: { $case: "batch", value: { messages } } });
  }

  #lie(): Body {
    const held = this.#anyHeld();
    const { attempt, token } = held ?? { attempt: "1/0#1", token: 1 };
    switch (this.#random.below(7)) {
      case 2: {
        const [epoch, digest] = [this.#random.between(1, 4), "cd".repeat(32)];
        return { $case: "checkpointSaved", value: { attempt, token, epoch, digest, bytes: 1 } };
      }
      case 0:
        return { $case: "started", value: { attempt, token, fingerprint: "other", fromEpoch: this.#random.below(3) } };
      case 1: {
        const outcomes = [
          { $case: "completed", value: { weightsHash: "ab".repeat(32) } },
          { $case: "stopped", value: { weightsHash: "" } },
          { $case: "released", value: { reason: "", died: this.#random.chance(0.5) } },
          { $case: "diverged", value: { epoch: 1, step: 1, what: "loss" } },
        ] as const;
        return { $case: "ended", value: { attempt, token, outcome: this.#random.pick(outcomes) } };
      }
      default: {
        const value = this.#random.below(100) / 100;
        const metrics = [{ name: "val_accuracy", value: { $case: "number", value } as const }];
        const epoch = this.#random.between(1, 4);
        return { $case: "report", value: { attempt, token, epoch, step: epoch, metrics } };
      }
    }
  }

  #someHeld(): HeldAttempt[] {
    const held: HeldAttempt[] = [];
    const attempts = new Set<string>();
    for (let count = this.#random.below(3); count > 0; count -= 1) {
      const one = this.#anyHeld();
      if (one !== null && !attempts.has(one.attempt)) held.push(one);
      if (one !== null) attempts.add(one.attempt);
    }
    return held;
  }

  /** Somebody's, most often with the right token. */
  #anyHeld(): HeldAttempt | null {
    const { assigned } = this.#world.oracle;
    if (assigned.length === 0) return null;
    const one = this.#random.pick(assigned);
    if (this.#random.chance(0.7)) return { attempt: one.attempt, token: one.token };
    return { attempt: one.attempt, token: Math.max(1, one.token + this.#random.between(-2, 2)) };
  }
}
