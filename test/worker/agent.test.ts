/** The agent against a model coordinator: random interleavings of lost links, acks, repeats, stops and revokes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { Agent, type AgentEffect, type AgentInput, type Identity } from "../../worker/agent.js";
import type { Held, ThreadCommand, ThreadMessage } from "../../worker/messages.js";

const IDENTITY: Identity = {
  worker: "w",
  incarnation: "incarnation-1",
  host: "h",
  pid: 1,
  version: "0",
  devices: [{ id: "cpu", name: "c", backend: "cpu", fingerprint: "f", memoryBytes: 1, lanes: 8 }],
};
const LIMITS = { window: 3, outbox: 1_000, flushMillis: 5_000 };
const EPOCHS = 3;

const held = (i: number, token = i + 1): Held => ({ attempt: `1/${i}#1`, token });
const assign = (h: Held): NonNullable<LinkResponse["body"]> => ({
  $case: "assign",
  value: { ...h, device: "cpu", recipe: "{}", cohortKey: "k", seed: "0".repeat(16), parameters: "{}", alone: false },
});
const welcome = (over: Partial<Record<"store", string>> & { received?: number; keep?: Held[]; drop?: Held[] } = {}): LinkResponse => ({
  seq: 0,
  ack: 0,
  body: {
    $case: "welcome",
    value: { store: "s", heartbeatMillis: 2_000, leaseMillis: 9_000, keep: [], drop: [], received: 0, ...over },
  },
});

/** What one attempt's thread will say, in order, as far as nobody stops it. */
class ScriptedDevice {
  readonly scripts = new Map<string, { readonly held: Held; readonly messages: ThreadMessage[] }>();

  take(command: ThreadCommand): void {
    if (command.kind === "assign") {
      const h: Held = { attempt: command.job.attempt, token: command.job.token };
      if (this.scripts.has(h.attempt)) throw new Error(`${h.attempt} was given to the device twice`);
      const messages: ThreadMessage[] = [{ kind: "started", held: h, fingerprint: "f" }];
      for (let epoch = 1; epoch <= EPOCHS; epoch += 1) {
        messages.push({ kind: "report", held: h, epoch, step: epoch * 10, metrics: [{ name: "val_loss", value: 1 / epoch }] });
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
    return { seq: this.sent, ack: this.durable, body };
  }

  hear(request: LinkRequest): void {
    expect(request.ack).toBeLessThanOrEqual(this.sent);
    if (request.seq === 0) {
      if (request.body?.$case === "heartbeat") this.checkListed(new Set(request.body.value.running.map((r) => r.attempt)));
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
        const text = body.$case === "report" ? `report ${body.value.epoch}` : body.$case === "ended" ? `ended ${body.value.outcome?.$case}` : "started";
        const record = this.record.get(body.value.attempt) ?? [];
        this.record.set(body.value.attempt, [...record, text]);
      }
    }
    this.pending = [];
    this.durable = this.received;
    return { seq: 0, ack: this.durable, body: undefined };
  }
}

class World {
  readonly agent = new Agent(IDENTITY, LIMITS);
  readonly device = new ScriptedDevice();
  readonly coordinator = new ModelCoordinator();
  connected = false;
  upward: LinkRequest[] = [];
  downward: LinkResponse[] = [];
  exits: number[] = [];
  now = 0;
  next = 0;

  input(input: AgentInput): void {
    for (const effect of this.agent.handle(input, this.now)) this.carryOut(effect);
  }

  carryOut(effect: AgentEffect): void {
    if (effect.kind === "send") this.upward.push(effect.message);
    else if (effect.kind === "command") this.device.take(effect.command);
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
    this.downward.push(this.coordinator.say({ $case: kind, value: h }));
  }

  thread(i: number): void {
    const scripts = [...this.device.scripts.values()].filter((s) => s.messages.length > 0);
    const message = scripts[i % Math.max(1, scripts.length)]?.messages.shift();
    if (message) this.input({ kind: "thread", device: "cpu", message });
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
      const before = JSON.stringify([this.agent.owed, this.upward.length, this.downward.length, this.coordinator.durable]);
      while (this.upward.length > 0) this.up();
      this.downward.push(this.coordinator.commit());
      while (this.downward.length > 0) this.down();
      for (const script of this.device.scripts.values()) while (script.messages.length > 0) this.thread(0);
      if (this.agent.owed === 0 && before === JSON.stringify([0, this.upward.length, this.downward.length, this.coordinator.durable])) return;
    }
    throw new Error("never came to rest");
  }
}

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: "assign" as const }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("thread" as const), i: fc.nat(20) }) },
  { weight: 8, arbitrary: fc.constant({ kind: "up" as const }) },
  { weight: 8, arbitrary: fc.constant({ kind: "down" as const }) },
  { weight: 4, arbitrary: fc.constant({ kind: "commit" as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: "connect" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "cut" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("tell" as const), what: fc.constantFrom("stop" as const, "revoke" as const, "assign" as const), i: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("tick" as const), millis: fc.nat(3_000) }) },
);

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function perform(world: World, op: Operation): void {
  switch (op.kind) {
    case "assign":
      return world.assign();
    case "thread":
      return world.thread(op.i);
    case "up":
      return world.up();
    case "down":
      return world.down();
    case "commit": {
      const ack = world.coordinator.commit();
      if (world.greeted()) world.downward.push(ack);
      return;
    }
    case "connect":
      return world.connect();
    case "cut":
      return world.cut();
    case "restart":
      // What was not committed is gone, and so is the knowledge of how far this worker had come.
      world.cut();
      world.coordinator.received = 0;
      world.coordinator.durable = 0;
      return;
    case "tell":
      return world.tell(op.what, op.i);
    case "tick":
      return world.tick(op.millis);
  }
}

/** A restarted coordinator knows a repeat by its content: the same epoch twice is one report. */
const once = (record: readonly string[]): string[] => record.filter((text, i) => record.indexOf(text) === i);

describe("the agent and a model coordinator", () => {
  it("delivers every report once and in order over any interleaving", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200, size: "max" }), (operations) => {
        const world = new World();
        for (const op of operations) perform(world, op);
        world.heal();
        const restarted = operations.some((op) => op.kind === "restart");
        for (const attempt of world.coordinator.assigned.keys()) {
          const raw = world.coordinator.record.get(attempt) ?? [];
          // A second Assign earns a second Started, and only that.
          const record = once(raw);
          if (!restarted) expect(raw.filter((text) => text !== "started")).toEqual(record.filter((text) => text !== "started"));
          const full = ["started", "report 1", "report 2", "report 3", "ended completed"];
          const ended = record.findIndex((text) => text.startsWith("ended"));
          if (ended >= 0) expect(ended).toBe(record.length - 1);
          const cutShort = world.coordinator.revoked.has(attempt) || record.at(-1) === "ended stopped";
          if (cutShort) {
            const told = record.filter((text) => !text.startsWith("ended"));
            expect(told).toEqual(full.slice(0, told.length));
          }
          else expect(record).toEqual(full);
        }
        expect(world.agent.held).toEqual([]);
        expect(world.exits).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });

  it("ends within its time when told to leave, having given everything back", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: "max" }), (operations) => {
        const world = new World();
        for (const op of operations) perform(world, op);
        const before = world.agent.held.length;
        world.input({ kind: "leave", reason: "asked to", code: 0 });
        const training = [...world.device.scripts.values()].filter((s) => s.messages.length > 0);
        expect(training.map((s) => s.held.attempt), "nothing trains on").toEqual([]);
        if (world.exits.length === 0) {
          world.cut();
          world.connect();
          for (let i = 0; i < 200 && world.exits.length === 0; i += 1) {
            while (world.upward.length > 0) world.up();
            world.downward.push(world.coordinator.commit());
            while (world.downward.length > 0) world.down();
          }
          expect(world.exits[0]).toBe(0);
          for (const [attempt] of world.coordinator.assigned) {
            if (world.coordinator.record.has(attempt)) expect(world.coordinator.live(attempt)).toBe(false);
          }
        } else expect(before).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});

function joined(limits = LIMITS): { agent: Agent; handle: (input: AgentInput, now?: number) => readonly AgentEffect[] } {
  const agent = new Agent(IDENTITY, limits);
  const handle = (input: AgentInput, now = 0): readonly AgentEffect[] => agent.handle(input, now);
  handle({ kind: "linkUp" });
  handle({ kind: "received", message: welcome() });
  return { agent, handle };
}

const sends = (effects: readonly AgentEffect[]): LinkRequest[] => effects.flatMap((e) => (e.kind === "send" ? [e.message] : []));
const commands = (effects: readonly AgentEffect[]): ThreadCommand[] => effects.flatMap((e) => (e.kind === "command" ? [e.command] : []));
const said = (body: NonNullable<LinkResponse["body"]>, seq: number, ack = 0): AgentInput => ({ kind: "received", message: { seq, ack, body } });
const from = (message: ThreadMessage): AgentInput => ({ kind: "thread", device: "cpu", message });

describe("the agent, step by step", () => {
  it("says nothing numbered before the Welcome", () => {
    const agent = new Agent(IDENTITY, LIMITS);
    const effects = agent.handle({ kind: "linkUp" }, 0);
    expect(sends(effects).map((m) => m.body?.$case)).toEqual(["hello"]);
    expect(sends(agent.handle({ kind: "tick" }, 10_000))).toEqual([]);
  });

  it("beats at the rate of the Welcome, listing what it holds", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0)), 1));
    expect(agent.wakeAt).toBe(2_000);
    expect(sends(handle({ kind: "tick" }, 1_999))).toEqual([]);
    expect(sends(handle({ kind: "tick" }, 2_000))).toEqual([
      { seq: 0, ack: 1, body: { $case: "heartbeat", value: { running: [held(0)] } } },
    ]);
    expect(agent.wakeAt).toBe(4_000);
  });

  it("answers a repeated Assign with Started and nothing else", () => {
    const { handle } = joined();
    expect(commands(handle(said(assign(held(0)), 1)))).toHaveLength(1);
    expect(commands(handle(said(assign(held(0)), 2)))).toEqual([]);
    handle(from({ kind: "started", held: held(0), fingerprint: "f" }));
    const again = handle(said(assign(held(0)), 3));
    expect(commands(again)).toEqual([]);
    expect(sends(again).map((m) => m.body?.$case)).toEqual(["started"]);
  });

  it("leaves an attempt alone when the token is another's", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0, 7)), 1));
    expect(commands(handle(said({ $case: "revoke", value: held(0, 6) }, 2)))).toEqual([]);
    expect(commands(handle(said({ $case: "stop", value: held(0, 6) }, 3)))).toEqual([]);
    expect(commands(handle(said(assign(held(0, 6)), 4)))).toEqual([]);
    expect(agent.held).toEqual([held(0, 7)]);
    // A newer lease of the same attempt takes its place.
    expect(commands(handle(said(assign(held(0, 9)), 5))).map((c) => c.kind)).toEqual(["drop", "assign"]);
    expect(agent.held).toEqual([held(0, 9)]);
  });

  it("goes on holding an attempt until its end is durable", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f" }));
    handle(from({ kind: "ended", held: held(0), outcome: { kind: "completed", weightsHash: "b".repeat(64) } }));
    expect(agent.held).toEqual([held(0)]);
    handle({ kind: "received", message: { seq: 0, ack: 1, body: undefined } });
    expect(agent.held).toEqual([held(0)]);
    handle({ kind: "received", message: { seq: 0, ack: 2, body: undefined } });
    expect(agent.held).toEqual([]);
    expect(agent.owed).toBe(0);
  });

  it("pauses training when too much waits and goes on when half is gone, losing nothing", () => {
    const { agent, handle } = joined({ window: 4, outbox: 10, flushMillis: 5_000 });
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f" }));
    const report = (epoch: number): AgentInput => from({ kind: "report", held: held(0), epoch, step: epoch, metrics: [] });
    const paused: number[] = [];
    for (let epoch = 1; epoch <= 12; epoch += 1) {
      if (commands(handle(report(epoch))).some((c) => c.kind === "hold" && c.held)) paused.push(epoch);
    }
    expect(paused).toEqual([9]); // Started and nine reports
    expect(agent.owed).toBe(13);
    const resumed: number[] = [];
    for (let ack = 1; ack <= 13; ack += 1) {
      const effects = handle({ kind: "received", message: { seq: 0, ack, body: undefined } });
      expect(sends(effects).map((m) => m.seq)).toEqual(ack + 4 <= 13 ? [ack + 4] : []);
      if (commands(effects).some((c) => c.kind === "hold" && !c.held)) resumed.push(ack);
    }
    expect(resumed).toEqual([8]); // 5 of 10 left
  });

  it("drops everything when another coordinator answers", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f" }));
    handle({ kind: "linkDown" });
    handle({ kind: "linkUp" });
    const effects = handle({ kind: "received", message: welcome({ store: "another", keep: [held(0)] }) });
    expect(commands(effects)).toEqual([{ kind: "drop", held: held(0) }]);
    expect(sends(effects)).toEqual([]);
    expect(agent.owed).toBe(0);
  });

  it("gives back at SIGTERM and ends when that is durable, or when its time is over", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    const effects = handle({ kind: "leave", reason: "SIGTERM", code: 0 }, 100);
    expect(commands(effects)).toEqual([{ kind: "drop", held: held(0) }]);
    expect(sends(effects).map((m) => m.body?.$case)).toEqual(["ended", "draining"]);
    // A trial offered meanwhile goes straight back.
    const late = handle(said(assign(held(1)), 2), 200);
    expect(sends(late).map((m) => (m.body?.$case === "ended" ? m.body.value.outcome?.$case : ""))).toEqual(["released"]);
    expect(handle({ kind: "tick" }, 5_099).some((e) => e.kind === "exit")).toBe(false);
    expect(handle({ kind: "tick" }, 5_100)).toContainEqual({ kind: "exit", code: 0 });
    expect(handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined } }, 5_101)).toContainEqual({ kind: "exit", code: 0 });
  });

  it("finishes what it holds when the coordinator drains it, then ends", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    expect(commands(handle(said({ $case: "drain", value: {} }, 2)))).toEqual([]);
    handle(from({ kind: "started", held: held(0), fingerprint: "f" }));
    handle(from({ kind: "ended", held: held(0), outcome: { kind: "completed", weightsHash: "c".repeat(64) } }));
    expect(handle({ kind: "received", message: { seq: 0, ack: 2, body: undefined } }).some((e) => e.kind === "exit")).toBe(false);
    expect(handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined } })).toContainEqual({ kind: "exit", code: 0 });
  });

  it("begins a new link when a message is missing or an acknowledgement is of nothing sent", () => {
    expect(joined().handle(said(assign(held(0)), 2)).map((e) => e.kind)).toContain("relink");
    expect(joined().handle({ kind: "received", message: { seq: 0, ack: 1, body: undefined } }).map((e) => e.kind)).toContain("relink");
  });

  it("fails an attempt for a device it does not have", () => {
    const { handle } = joined();
    const body = assign(held(0));
    if (body.$case === "assign") body.value.device = "cuda:3";
    const [message] = sends(handle(said(body, 1)));
    expect(message?.body?.$case === "ended" && message.body.value.outcome).toMatchObject({ $case: "failed", value: { code: "ENGINE_NO_DEVICE" } });
  });

  it("leaves with code 70 when a device is lost", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    const error = { code: "ENGINE_DEVICE_LOST", message: "gone", path: null, expected: null, found: null } as const;
    handle(from({ kind: "ended", held: held(0), outcome: { kind: "released", reason: "gone" } }));
    handle(from({ kind: "lost", error }));
    expect(handle({ kind: "received", message: { seq: 0, ack: 2, body: undefined } })).toContainEqual({ kind: "exit", code: 70 });
  });
});
