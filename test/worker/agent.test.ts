/** The agent, step by step. */
import { describe, expect, it } from "vitest";
import type { LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { Agent } from "../../worker/agent.js";
import type { AgentEffect, AgentInput } from "../../worker/agent-messages.js";
import type { ThreadCommand, ThreadMessage } from "../../worker/messages.js";
import { assign, held, IDENTITY, LIMITS, welcome } from "./agent-world.js";
import { unpacked } from "./unpacked.js";

function joined(
  limits = LIMITS,
  minor = 1,
): {
  agent: Agent;
  handle: (input: AgentInput, now?: number) => readonly AgentEffect[];
} {
  const agent = new Agent(IDENTITY, limits);
  /** Every input is a turn of the event loop of its own. */
  const handle = (input: AgentInput, now = 0): readonly AgentEffect[] =>
    agent
      .handle(input, now)
      .flatMap((effect) => (effect.kind === "flushSoon" ? agent.handle({ kind: "flush" }, now) : [effect]));
  handle({ kind: "linkUp" });
  handle({ kind: "received", message: welcome({ protocolMinor: minor }) });
  return { agent, handle };
}

const written = (effects: readonly AgentEffect[]): LinkRequest[] =>
  effects.flatMap((e) => (e.kind === "send" ? [e.message] : []));
/** However they were put together. */
const sends = (effects: readonly AgentEffect[]): LinkRequest[] => written(effects).flatMap(unpacked);
const commands = (effects: readonly AgentEffect[]): ThreadCommand[] =>
  effects.flatMap((e) => (e.kind === "command" ? [e.command] : []));
const said = (body: NonNullable<LinkResponse["body"]>, seq: number, ack = 0): AgentInput => ({
  kind: "received",
  message: { seq, ack, body, commit: 0 },
});
const from = (message: ThreadMessage): AgentInput => ({ kind: "thread", device: "cpu", message });

describe("the agent, step by step", () => {
  it("says in one message what a turn of the event loop brings, to a coordinator that takes it", () => {
    for (const minor of [0, 1]) {
      const agent = new Agent(IDENTITY, { ...LIMITS, window: 4 });
      const handle = (input: AgentInput): readonly AgentEffect[] => agent.handle(input, 0);
      handle({ kind: "linkUp" });
      handle({ kind: "received", message: welcome({ protocolMinor: minor }) });
      for (const i of [0, 1, 2]) handle(said(assign(held(i)), i + 1));
      const turn = [0, 1, 2].flatMap((i) => [
        ...handle(from({ kind: "started", held: held(i), fingerprint: "f", fromEpoch: 0 })),
        ...handle(from({ kind: "report", held: held(i), epoch: 1, step: 1, metrics: [] })),
      ]);
      expect(sends(turn)).toEqual([]);
      expect(turn.filter(({ kind }) => kind === "flushSoon")).toHaveLength(1);
      const sent = written(handle({ kind: "flush" }));
      expect(sent.map(({ seq, ack, body }) => [seq, ack, body?.$case])).toEqual(
        minor === 1 ? [[1, 3, "batch"]] : [1, 2, 3, 4].map((seq) => [seq, 3, seq % 2 ? "started" : "report"]),
      );
      expect(sent.flatMap(unpacked).map(({ seq, body }) => [seq, body?.$case])).toEqual(
        [1, 2, 3, 4].map((seq) => [seq, seq % 2 ? "started" : "report"]),
      );
      // What the window held back follows its acknowledgement at once; a single message needs no batch.
      const rest = (ack: number) =>
        sends(handle({ kind: "received", message: { seq: 0, ack, body: undefined, commit: 0 } }));
      expect(rest(1).map(({ seq, body }) => [seq, body?.$case])).toEqual([[5, "started"]]);
      expect(rest(4).map(({ seq, body }) => [seq, body?.$case])).toEqual([[6, "report"]]);
    }
  });

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
      { seq: 0, ack: 1, body: { $case: "heartbeat", value: { running: [held(0)], use: [] } } },
    ]);
    expect(agent.wakeAt).toBe(4_000);
  });

  it("says with every heartbeat what the devices said of themselves last, and sends nothing for it alone", () => {
    const { handle } = joined();
    const beat = (now: number) =>
      sends(handle({ kind: "tick" }, now)).map((m) => m.body?.$case === "heartbeat" && m.body.value.use);
    expect(handle({ kind: "sampled", use: [{ device: "cuda:0", power: 300 }] })).toEqual([]);
    expect(beat(2_000)).toEqual([[{ device: "cuda:0", power: 300 }]]);
    expect(beat(4_000)).toEqual([[{ device: "cuda:0", power: 300 }]]);
    handle({ kind: "sampled", use: [] });
    expect(beat(6_000)).toEqual([[]]);
  });

  it("answers a repeated Assign with Started and nothing else", () => {
    const { handle } = joined();
    expect(commands(handle(said(assign(held(0)), 1)))).toHaveLength(1);
    expect(commands(handle(said(assign(held(0)), 2)))).toEqual([]);
    handle(from({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 }));
    const again = handle(said(assign(held(0)), 3));
    expect(commands(again)).toEqual([]);
    expect(sends(again).map((m) => m.body?.$case)).toEqual(["started"]);
  });

  it("leaves an attempt alone when the token is another's", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0, 7)), 1));
    expect(commands(handle(said({ $case: "revoke", value: held(0, 6) }, 2)))).toEqual([]);
    expect(commands(handle(said({ $case: "stop", value: { ...held(0, 6), save: false } }, 3)))).toEqual([]);
    expect(commands(handle(said(assign(held(0, 6)), 4)))).toEqual([]);
    expect(agent.held).toEqual([held(0, 7)]);
    // A newer lease of the same attempt takes its place.
    expect(commands(handle(said(assign(held(0, 9)), 5))).map((c) => c.kind)).toEqual(["drop", "assign"]);
    expect(agent.held).toEqual([held(0, 9)]);
  });

  it("holds the end of a trial back until its files are at the coordinator, or given up", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 }));
    const picture = { name: "samples", mediaType: "image/png", epoch: 1, data: Uint8Array.of(1) };
    const effects = handle(from({ kind: "artifact", held: held(0), artifact: picture }));
    expect(effects).toEqual([{ kind: "uploadArtifact", held: held(0), artifact: picture }]);
    handle(from({ kind: "artifact", held: held(0), artifact: { ...picture, epoch: 2 } }));
    const ended = from({ kind: "ended", held: held(0), outcome: { kind: "completed", weightsHash: "h" } });
    expect(sends(handle(ended))).toEqual([]);
    const kept = { name: "samples", mediaType: "image/png", epoch: 1, digest: "d", bytes: 1 };
    const first = handle({ kind: "artifactUploaded", held: held(0), kept, reason: "" });
    expect(sends(first).map((m) => m.body)).toEqual([{ $case: "artifactSaved", value: { ...held(0), ...kept } }]);
    const second = handle({ kind: "artifactUploaded", held: held(0), kept: null, reason: "the disk is full" });
    expect(sends(second).map((m) => m.body?.$case)).toEqual(["ended"]);
  });

  it("goes on holding an attempt until its end is durable", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 }));
    handle(from({ kind: "ended", held: held(0), outcome: { kind: "completed", weightsHash: "b".repeat(64) } }));
    expect(agent.held).toEqual([held(0)]);
    handle({ kind: "received", message: { seq: 0, ack: 1, body: undefined, commit: 0 } });
    expect(agent.held).toEqual([held(0)]);
    handle({ kind: "received", message: { seq: 0, ack: 2, body: undefined, commit: 0 } });
    expect(agent.held).toEqual([]);
    expect(agent.owed).toBe(0);
  });

  it("pauses training when too much waits and goes on when half is gone, losing nothing", () => {
    const { agent, handle } = joined({ window: 4, outbox: 10, spoolBytes: 1e9, flushMillis: 5_000 });
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 }));
    const report = (epoch: number): AgentInput =>
      from({ kind: "report", held: held(0), epoch, step: epoch, metrics: [] });
    const paused: number[] = [];
    for (let epoch = 1; epoch <= 12; epoch += 1) {
      if (commands(handle(report(epoch))).some((c) => c.kind === "hold" && c.held)) paused.push(epoch);
    }
    expect(paused).toEqual([9]); // Started and nine reports
    expect(agent.owed).toBe(13);
    const resumed: number[] = [];
    for (let ack = 1; ack <= 13; ack += 1) {
      const effects = handle({ kind: "received", message: { seq: 0, ack, body: undefined, commit: 0 } });
      expect(sends(effects).map((m) => m.seq)).toEqual(ack + 4 <= 13 ? [ack + 4] : []);
      if (commands(effects).some((c) => c.kind === "hold" && !c.held)) resumed.push(ack);
    }
    expect(resumed).toEqual([8]); // 5 of 10 left
  });

  it("drops everything when another coordinator answers", () => {
    const { agent, handle } = joined();
    handle(said(assign(held(0)), 1));
    handle(from({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 }));
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
    expect(sends(effects).map((m) => m.body?.$case)).toEqual(["draining", "ended"]);
    // A trial offered meanwhile goes straight back.
    const late = handle(said(assign(held(1)), 2), 200);
    expect(sends(late).map((m) => (m.body?.$case === "ended" ? m.body.value.outcome?.$case : ""))).toEqual([
      "released",
    ]);
    expect(handle({ kind: "tick" }, 5_099).some((e) => e.kind === "exit")).toBe(false);
    expect(handle({ kind: "tick" }, 5_100)).toContainEqual({ kind: "exit", code: 0 });
    expect(handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined, commit: 0 } }, 5_101)).toContainEqual(
      {
        kind: "exit",
        code: 0,
      },
    );
  });

  it("finishes what it holds when the coordinator drains it, then ends", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    expect(commands(handle(said({ $case: "drain", value: {} }, 2)))).toEqual([]);
    handle(from({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 }));
    handle(from({ kind: "ended", held: held(0), outcome: { kind: "completed", weightsHash: "c".repeat(64) } }));
    expect(
      handle({ kind: "received", message: { seq: 0, ack: 2, body: undefined, commit: 0 } }).some(
        (e) => e.kind === "exit",
      ),
    ).toBe(false);
    expect(handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined, commit: 0 } })).toContainEqual({
      kind: "exit",
      code: 0,
    });
  });

  it("begins a new link when a message is missing or an acknowledgement is of nothing sent", () => {
    expect(
      joined()
        .handle(said(assign(held(0)), 2))
        .map((e) => e.kind),
    ).toContain("relink");
    expect(
      joined()
        .handle({ kind: "received", message: { seq: 0, ack: 1, body: undefined, commit: 0 } })
        .map((e) => e.kind),
    ).toContain("relink");
  });

  it("fails an attempt for a device it does not have", () => {
    const { handle } = joined();
    const body = assign(held(0));
    if (body.$case === "assign") body.value.device = "cuda:3";
    const [message] = sends(handle(said(body, 1)));
    expect(message?.body?.$case === "ended" && message.body.value.outcome).toMatchObject({
      $case: "failed",
      value: { code: "ENGINE_NO_DEVICE" },
    });
  });

  it("gives back before it drains when a thread died, so that the attempt counts as lost", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    const effects = handle({ kind: "leave", reason: "the thread of cpu ended", code: 70 });
    expect(sends(effects).map((m) => m.body?.$case)).toEqual(["ended", "draining"]);
  });

  it("leaves with code 70 when a device is lost", () => {
    const { handle } = joined();
    handle(said(assign(held(0)), 1));
    const error = { code: "ENGINE_DEVICE_LOST", message: "gone", path: null, expected: null, found: null } as const;
    handle(from({ kind: "ended", held: held(0), outcome: { kind: "released", reason: "gone" } }));
    handle(from({ kind: "lost", error }));
    expect(handle({ kind: "received", message: { seq: 0, ack: 2, body: undefined, commit: 0 } })).toContainEqual({
      kind: "exit",
      code: 70,
    });
  });
});
