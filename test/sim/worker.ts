/**
 * A worker's process around the real agent: the link with its back-off, threads that train by a script, a clock that
 * drifts, and what befalls a process (stopped, killed, asked to leave).
 *
 * Guarantees: the agent gets what `worker/join.ts` would give it, in that order; nothing of a dead life does anything.
 */

import type { ConvsweepError } from "../../proto/contract.js";
import { PROGRAM_VERSION } from "../../proto/contract.js";
import type { LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { Agent } from "../../worker/agent.js";
import type { AgentEffect, AgentInput } from "../../worker/agent-messages.js";
import { reconnectDelay } from "../../worker/backoff.js";
import type { ThreadMessage } from "../../worker/messages.js";
import { Connection, type Peer } from "./network.js";
import type { WorkerPlan } from "./plan.js";
import { Standstill } from "./process.js";
import { Stream } from "./random.js";
import { inherited, type Spool } from "./spool.js";
import type { World } from "./surroundings.js";
import { NOTHING, Threads } from "./threads.js";
import type { Timer } from "./timeline.js";

const DEVICE = "cpu";
/** Dies before anything it wrote has left its machine. */
const UNHEARD = "before it was heard";
const ANSWER_MILLIS = 10_000;

export class SimulatedWorker implements Peer {
  readonly index: number;
  readonly name: string;
  readonly plan: WorkerPlan;
  readonly #world: World;
  readonly #random: Stream;
  readonly #gather: Stream;
  #life = 0;
  #agent: Agent | null = null;
  #connection: Connection | null = null;
  #answered = false;
  #failures = 0;
  readonly #process: Standstill;
  #tick: Timer | null = null;
  /** On disk: of this life, or left by the one before. */
  #spool: Spool | null = null;
  readonly #threads: Threads;

  constructor(world: World, index: number, plan: WorkerPlan, random: Stream) {
    this.#world = world;
    this.index = index;
    this.plan = plan;
    this.name = `w${index}`;
    this.#random = random;
    this.#gather = new Stream(world.plan.seed, 1_000 + index);
    this.#process = new Standstill(world.timeline);
    this.#threads = new Threads(world, random, plan, {
      incarnation: () => this.incarnation,
      say: (message) => this.#say(message),
      kill: (millis, why) => this.kill(millis, why),
      after: (millis, action) => this.#after(millis, action),
    });
  }

  get incarnation(): string {
    return `${this.name}-life-${this.#life}`;
  }

  get alive(): boolean {
    return this.#agent !== null;
  }

  get agent(): Agent | null {
    return this.#agent;
  }

  get trains(): number {
    return this.#threads.size;
  }

  begin(): void {
    if (this.#agent !== null) return;
    const { world, plan } = { world: this.#world, plan: this.plan };
    this.#life += 1;
    this.#failures = 0;
    this.#threads.held = false;
    const before = world.plan.spools ? this.#spool : null;
    const lives = [...(before?.lives ?? []), this.incarnation];
    const spool: Spool = { lives, store: before?.store ?? "", entries: new Map() };
    this.#spool = spool;
    world.oracle.born({
      incarnation: this.incarnation,
      worker: this.name,
      lanes: plan.lanes,
      honest: true,
      previous: before?.lives ?? [],
      left: [...(before?.entries.values() ?? [])].flatMap(({ held }) => held?.token ?? []),
      spooled: () => spool.entries.values(),
    });
    this.#agent = new Agent(
      {
        worker: this.name,
        incarnation: this.incarnation,
        host: "h",
        pid: this.#life,
        version: PROGRAM_VERSION,
        devices: [
          {
            id: DEVICE,
            name: "c",
            backend: "cpu",
            fingerprint: this.#threads.fingerprint,
            memoryBytes: 1,
            lanes: plan.lanes,
          },
        ],
      },
      { window: world.plan.window, outbox: world.plan.outbox, spoolBytes: 64 << 20, flushMillis: 5_000 },
      inherited(before, world.mutant.inherits),
    );
    this.#open();
  }

  /** Dies with everything it had in memory. */
  kill(downMillis: number, why: string): void {
    if (this.#agent === null) return;
    this.#world.trace(() => `${this.incarnation} dies: ${why}`);
    this.#end();
    this.#process.forget();
    const connection = this.#connection;
    this.#connection = null;
    if (why === UNHEARD) connection?.swallow();
    else if (this.#random.chance(0.5)) connection?.close();
    else connection?.vanish();
    this.#world.timeline.at(this.#world.until(downMillis), () => {
      this.begin();
      this.#perhapsDieAgain();
    });
  }

  /** Perhaps before it is welcomed: then two of its name are dead that the coordinator may count on. */
  #perhapsDieAgain(): void {
    const { now, plan } = this.#world;
    const share = plan.shortLives ?? 0;
    if (share === 0 || now >= plan.healAt || !this.#random.chance(share)) return;
    const unheard = this.#random.chance(0.6);
    const millis = unheard ? 0 : this.#random.below(3 * plan.latency.most);
    this.#after(millis, () => this.kill(this.#random.below(500), unheard ? UNHEARD : "killed again"));
  }

  stop(millis: number): void {
    this.#process.stand(this.#world.until(millis));
  }

  leave(): void {
    this.#enter(() => this.#dispatch({ kind: "leave", reason: "asked to", code: 0 }));
  }

  loseDevice(): void {
    this.#enter(() => {
      this.#threads.end();
      this.#dispatch({ kind: "leave", reason: "the thread of cpu ended", code: 70 });
    });
  }

  received(connection: Connection, message: LinkResponse): void {
    this.#enter(() => {
      if (this.#connection !== connection) return;
      this.#answered = true;
      this.#failures = 0;
      this.#dispatch({ kind: "received", message });
      if (message.body?.$case === "welcome" && this.#spool !== null) {
        this.#spool.store = message.body.value.store;
        this.#spool.lives = [this.incarnation];
      }
    });
  }

  ended(connection: Connection, error: ConvsweepError | null): void {
    this.#enter(() => {
      if (this.#connection !== connection) return;
      // What gRPC would say as INVALID_ARGUMENT or FAILED_PRECONDITION ends the process: it must never come to that.
      const refused = error?.code === "BAD_INPUT" || error?.code === "PROTOCOL" || error?.code === "WRONG_STATE";
      if (refused && !this.#world.hostile) {
        this.#world.oracle.fail("LINK", `the coordinator refused what ${this.incarnation} said: ${error?.message}`);
      }
      this.#linkEnded();
    });
  }

  /** As `Link.end`. */
  #linkEnded(): void {
    this.#connection?.close();
    this.#connection = null;
    const wait = reconnectDelay(this.#failures, this.#random.unit());
    this.#failures += 1;
    this.#dispatch({ kind: "linkDown" });
    this.#after(wait, () => this.#open());
  }

  #open(): void {
    if (this.#connection !== null) return;
    const connection = new Connection(this.#world, this);
    this.#connection = connection;
    this.#answered = false;
    this.#after(ANSWER_MILLIS, () => {
      if (this.#connection === connection && !this.#answered) this.#linkEnded();
    });
    this.#dispatch({ kind: "linkUp" });
  }

  #dispatch(input: AgentInput): void {
    const agent = this.#agent;
    if (agent === null) return;
    for (const effect of agent.handle(input, this.#localNow())) {
      this.#carryOut(effect);
      if (this.#agent !== agent) return;
    }
    const { wakeAt } = agent;
    if (wakeAt === null) return;
    const at = Math.ceil(wakeAt / this.plan.drift);
    if (this.#tick !== null && this.#tick.run !== null && this.#tick.at <= at) return;
    if (this.#tick !== null) this.#tick.run = null;
    const life = this.#life;
    const tick = this.#world.timeline.at(at, () => {
      this.#enter(() => {
        if (life !== this.#life) return;
        if (this.#tick === tick) this.#tick = null;
        this.#dispatch({ kind: "tick" });
      });
    });
    this.#tick = tick;
  }

  #carryOut(effect: AgentEffect): void {
    switch (effect.kind) {
      case "send":
        this.#connection?.send(effect.message);
        return;
      case "flushSoon": {
        const { gatherMillis = 0 } = this.#world.plan;
        const wait = gatherMillis === 0 ? 0 : this.#gather.below(gatherMillis + 1);
        this.#after(wait, () => this.#dispatch({ kind: "flush" }));
        return;
      }
      case "command":
        this.#threads.command(effect.command);
        return;
      case "upload": {
        const { held, lane } = effect;
        this.#after(this.#random.between(5, 60), () => {
          const kept = this.#world.files.upload(this.index, held.attempt, lane.epoch);
          this.#dispatch({ kind: "uploaded", held, kept, reason: "no coordinator" });
        });
        return;
      }
      case "download": {
        const { held, checkpoint } = effect;
        this.#after(this.#random.between(5, 60), () => {
          const there = this.#world.files.download(this.index, checkpoint.digest);
          if (!there) this.#world.count("checkpoint fallback");
          const lane = there ? { epoch: checkpoint.epoch, data: NOTHING } : null;
          this.#dispatch({ kind: "downloaded", held, lane, reason: "it is not there" });
        });
        return;
      }
      case "uploadArtifact":
        return;
      case "relink":
        this.#world.count("relinked");
        if (!this.#world.hostile) this.#world.oracle.fail("LINK", `${this.incarnation} relinks: ${effect.reason}`);
        if (this.#connection !== null) this.#linkEnded();
        return;
      case "exit":
        this.#end();
        // As `Spool.close`: nothing is owed, so the next process speaks for nobody.
        if (this.#spool?.entries.size === 0 && this.#spool.lives.length === 1) this.#spool = null;
        this.#connection?.close();
        this.#connection = null;
        this.#world.timeline.at(this.#world.now + 500, () => this.begin());
        return;
      case "spool":
        this.#spool?.entries.set(effect.entry.id, effect.entry);
        return;
      case "unspool":
        for (const { id } of effect.entries) this.#spool?.entries.delete(id);
        return;
      case "refused":
      case "log":
        return;
    }
  }

  #say(message: ThreadMessage): void {
    this.#dispatch({ kind: "thread", device: DEVICE, message });
  }

  #localNow(): number {
    return this.#world.now * this.plan.drift;
  }

  #end(): void {
    this.#world.oracle.died(this.incarnation);
    this.#agent = null;
    this.#threads.end();
    if (this.#tick !== null) this.#tick.run = null;
    this.#tick = null;
  }

  /** At once, or when the process is continued; never for a life that is over. */
  #enter(action: () => void): void {
    const life = this.#life;
    this.#process.enter(() => {
      if (life === this.#life && this.#agent !== null) action();
    });
  }

  #after(millis: number, action: () => void): Timer {
    const life = this.#life;
    return this.#world.timeline.at(this.#world.now + Math.ceil(millis), () => {
      if (life === this.#life && this.#agent !== null) this.#enter(action);
    });
  }
}
