/**
 * A world for the agent's tests: a model coordinator that numbers, records and answers as worker.proto says, a device
 * whose thread follows a script, and a network that delivers one message at a time or loses what travels.
 */
import { expect } from "vitest";
import type { LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { Agent } from "../../worker/agent.js";
import type { AgentEffect, AgentInput, Identity } from "../../worker/agent-messages.js";
import type { Held, ThreadCommand, ThreadMessage } from "../../worker/messages.js";
import { unpacked } from "./unpacked.js";

export const IDENTITY: Identity = {
  worker: "w",
  incarnation: "incarnation-1",
  host: "h",
  pid: 1,
  version: "0",
  devices: [{ id: "cpu", name: "c", backend: "cpu", fingerprint: "f", memoryBytes: 1, lanes: 8 }],
};
export const LIMITS = { window: 3, outbox: 1_000, spoolBytes: 1e9, flushMillis: 5_000 };
export const EPOCHS = 3;

export const held = (i: number, token = i + 1): Held => ({ attempt: `1/${i}#1`, token });
export const assign = (h: Held): NonNullable<LinkResponse["body"]> => ({
  $case: "assign",
  value: {
    ...h,
    device: "cpu",
    recipe: "{}",
    cohortKey: "k",
    seed: "0".repeat(16),
    parameters: "{}",
    alone: false,
    checkpoints: [],
  },
});
export const welcome = (
  over: {
    store?: string;
    received?: number;
    keep?: Held[];
    drop?: Held[];
    generation?: number;
    commit?: number;
    lost?: number;
    protocolMinor?: number;
  } = {},
): LinkResponse => ({
  seq: 0,
  ack: 0,
  body: {
    $case: "welcome",
    value: {
      store: "s",
      heartbeatMillis: 2_000,
      leaseMillis: 9_000,
      keep: [],
      drop: [],
      received: 0,
      generation: 0,
      commit: 0,
      opening: "o",
      lost: 0,
      protocolMinor: 1,
      ...over,
    },
  },
  commit: 0,
});

/** What one attempt's thread will say, in order, as far as nobody stops it. */
class ScriptedDevice {
  readonly scripts = new Map<string, { readonly held: Held; readonly messages: ThreadMessage[] }>();

  take(command: ThreadCommand): void {
    if (command.kind === "assign") {
      const h: Held = { attempt: command.job.attempt, token: command.job.token };
      if (this.scripts.has(h.attempt)) throw new Error(`${h.attempt} was given to the device twice`);
      const messages: ThreadMessage[] = [{ kind: "started", held: h, fingerprint: "f", fromEpoch: 0 }];
      for (let epoch = 1; epoch <= EPOCHS; epoch += 1) {
        messages.push({
          kind: "report",
          held: h,
          epoch,
          step: epoch * 10,
          metrics: [{ name: "val_loss", value: 1 / epoch }],
        });
      }
      messages.push({ kind: "ended", held: h, outcome: { kind: "completed", weightsHash: "a".repeat(64) } });
      this.scripts.set(h.attempt, { held: h, messages });
    } else if (command.kind === "stop") {
      const script = this.scripts.get(command.held.attempt);
      if (!script || script.messages.length === 0) return;
      const started = script.messages[0]?.kind === "started" ? script.messages.slice(0, 1) : [];
      script.messages.splice(0, script.messages.length, ...started, {
        kind: "ended",
        held: script.held,
        outcome: { kind: "stopped", weightsHash: null },
      });
    } else if (command.kind === "drop") {
      this.scripts.delete(command.held.attempt);
    }
  }
}

/** Numbers, records and answers as worker.proto says. */
class ModelCoordinator {
  /** Every message that became durable, by attempt. */
  readonly record = new Map<string, string[]>();
  readonly assigned = new Map<string, Held>();
  readonly revoked = new Set<string>();
  received = 0;
  durable = 0;
  sent = 0;
  private pending: LinkRequest[] = [];
  /** What it says it knows of the protocol. */
  private readonly minor: number;

  constructor(minor: number) {
    this.minor = minor;
  }

  live(attempt: string): boolean {
    const record = this.record.get(attempt) ?? [];
    return this.assigned.has(attempt) && !this.revoked.has(attempt) && !record.some((r) => r.startsWith("ended"));
  }

  /** The coordinator's answer to a Hello. */
  hello(running: readonly Held[]): LinkResponse[] {
    this.pending = [];
    this.received = this.durable;
    this.sent = 0;
    const listed = new Set(running.map((r) => r.attempt));
    this.checkListed(listed);
    const answers = [
      welcome({
        received: this.durable,
        keep: running.filter((r) => this.live(r.attempt)),
        drop: running.filter((r) => !this.live(r.attempt)),
        protocolMinor: this.minor,
      }),
    ];
    for (const [attempt, h] of this.assigned) {
      if (this.live(attempt) && !listed.has(attempt)) answers.push(this.say(assign(h)));
    }
    return answers;
  }

  /** An attempt that has started and not ended is always listed. */
  checkListed(listed: ReadonlySet<string>): void {
    for (const attempt of this.assigned.keys()) {
      if (this.live(attempt) && this.record.has(attempt)) expect(listed, "live attempts are listed").toContain(attempt);
    }
  }

  say(body: NonNullable<LinkResponse["body"]>): LinkResponse {
    this.sent += 1;
    return { seq: this.sent, ack: this.durable, body, commit: 0 };
  }

  hear(request: LinkRequest): void {
    if (request.body?.$case === "batch") {
      expect(this.minor).toBe(1);
      expect(request.body.value.messages.length).toBeGreaterThan(1);
    }
    for (const one of unpacked(request)) this.hearOne(one);
  }

  private hearOne(request: LinkRequest): void {
    expect(request.ack).toBeLessThanOrEqual(this.sent);
    if (request.seq === 0) {
      if (request.body?.$case === "heartbeat")
        this.checkListed(new Set(request.body.value.running.map((r) => r.attempt)));
      return;
    }
    if (request.seq <= this.received) return;
    // After a restart the first number is taken as it comes: what was before it had been acknowledged.
    if (this.received === 0) this.durable = request.seq - 1;
    else expect(request.seq).toBe(this.received + 1);
    expect(request.seq).toBeLessThanOrEqual(this.durable + LIMITS.window);
    this.received = request.seq;
    this.pending.push(request);
  }

  commit(): LinkResponse {
    for (const { body } of this.pending) {
      if (body?.$case === "started" || body?.$case === "report" || body?.$case === "ended") {
        const text =
          body.$case === "report"
            ? `report ${body.value.epoch}`
            : body.$case === "ended"
              ? `ended ${body.value.outcome?.$case}`
              : "started";
        const record = this.record.get(body.value.attempt) ?? [];
        this.record.set(body.value.attempt, [...record, text]);
      }
    }
    this.pending = [];
    this.durable = this.received;
    return { seq: 0, ack: this.durable, body: undefined, commit: 0 };
  }
}

export class World {
  readonly agent = new Agent(IDENTITY, LIMITS);
  readonly device = new ScriptedDevice();
  readonly coordinator: ModelCoordinator;
  connected = false;
  upward: LinkRequest[] = [];
  downward: LinkResponse[] = [];
  exits: number[] = [];
  now = 0;
  next = 0;
  /** The agent wants to be told when the turn of its event loop is over. */
  flushAsked = false;

  constructor(minor = 1) {
    this.coordinator = new ModelCoordinator(minor);
  }

  input(input: AgentInput): void {
    for (const effect of this.agent.handle(input, this.now)) this.carryOut(effect);
  }

  carryOut(effect: AgentEffect): void {
    if (effect.kind === "send") this.upward.push(effect.message);
    else if (effect.kind === "flushSoon") {
      expect(this.flushAsked).toBe(false);
      this.flushAsked = true;
    } else if (effect.kind === "command") this.device.take(effect.command);
    else if (effect.kind === "relink") throw new Error(`relink: ${effect.reason}`);
    else if (effect.kind === "exit") this.exits.push(effect.code);
  }

  connect(): void {
    if (this.connected) return;
    this.connected = true;
    this.input({ kind: "linkUp" });
  }

  /** What travels is lost. */
  cut(): void {
    if (!this.connected) return;
    this.connected = false;
    this.upward = [];
    this.downward = [];
    this.input({ kind: "linkDown" });
  }

  up(): void {
    const request = this.upward.shift();
    if (!request) return;
    if (request.body?.$case === "hello") this.downward.push(...this.coordinator.hello(request.body.value.running));
    else this.coordinator.hear(request);
  }

  down(): void {
    const message = this.downward.shift();
    if (message) this.input({ kind: "received", message });
  }

  greeted(): boolean {
    return this.connected && !this.upward.some((r) => r.body?.$case === "hello");
  }

  assign(): void {
    const h = held(this.next);
    this.next += 1;
    this.coordinator.assigned.set(h.attempt, h);
    if (this.greeted()) this.downward.push(this.coordinator.say(assign(h)));
  }

  tell(kind: "stop" | "revoke" | "assign", i: number): void {
    const h = [...this.coordinator.assigned.values()][i % Math.max(1, this.coordinator.assigned.size)];
    if (!h || !this.greeted()) return;
    if (kind === "assign") {
      // A repeat only makes sense of what is live.
      if (this.coordinator.live(h.attempt)) this.downward.push(this.coordinator.say(assign(h)));
      return;
    }
    if (kind === "revoke") this.coordinator.revoked.add(h.attempt);
    this.downward.push(
      this.coordinator.say(kind === "stop" ? { $case: kind, value: { ...h, save: false } } : { $case: kind, value: h }),
    );
  }

  thread(i: number): void {
    const scripts = [...this.device.scripts.values()].filter((s) => s.messages.length > 0);
    const message = scripts[i % Math.max(1, scripts.length)]?.messages.shift();
    if (message) this.input({ kind: "thread", device: "cpu", message });
  }

  endTurn(): void {
    if (!this.flushAsked) return;
    this.flushAsked = false;
    this.input({ kind: "flush" });
  }

  tick(millis: number): void {
    this.now += millis;
    this.input({ kind: "tick" });
  }

  /** The links hold, everything arrives, every thread ends. */
  heal(): void {
    this.cut();
    this.connect();
    for (let round = 0; round < 10_000; round += 1) {
      const before = JSON.stringify([
        this.agent.owed,
        this.upward.length,
        this.downward.length,
        this.coordinator.durable,
      ]);
      while (this.upward.length > 0) this.up();
      this.downward.push(this.coordinator.commit());
      while (this.downward.length > 0) this.down();
      for (const script of this.device.scripts.values()) while (script.messages.length > 0) this.thread(0);
      this.endTurn();
      if (
        this.agent.owed === 0 &&
        before === JSON.stringify([0, this.upward.length, this.downward.length, this.coordinator.durable])
      )
        return;
    }
    throw new Error("never came to rest");
  }
}
