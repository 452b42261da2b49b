/** The agent against a model coordinator: random interleavings of lost links, acks, repeats, stops and revokes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { World } from "./agent-world.js";

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: "assign" as const }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("thread" as const), i: fc.nat(20) }) },
  { weight: 8, arbitrary: fc.constant({ kind: "endTurn" as const }) },
  { weight: 8, arbitrary: fc.constant({ kind: "up" as const }) },
  { weight: 8, arbitrary: fc.constant({ kind: "down" as const }) },
  { weight: 4, arbitrary: fc.constant({ kind: "commit" as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: "connect" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "cut" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("tell" as const),
      what: fc.constantFrom("stop" as const, "revoke" as const, "assign" as const),
      i: fc.nat(20),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("tick" as const), millis: fc.nat(3_000) }) },
);

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function perform(world: World, op: Operation): void {
  switch (op.kind) {
    case "assign":
      world.assign();
      break;
    case "thread":
      world.thread(op.i);
      break;
    case "endTurn":
      world.endTurn();
      break;
    case "up":
      world.up();
      break;
    case "down":
      world.down();
      break;
    case "commit": {
      const ack = world.coordinator.commit();
      if (world.greeted()) world.downward.push(ack);
      break;
    }
    case "connect":
      world.connect();
      break;
    case "cut":
      world.cut();
      break;
    case "restart":
      // What was not committed is gone, and so is the knowledge of how far this worker had come.
      world.cut();
      world.coordinator.received = 0;
      world.coordinator.durable = 0;
      break;
    case "tell":
      world.tell(op.what, op.i);
      break;
    case "tick":
      world.tick(op.millis);
      break;
  }
}

/** A restarted coordinator knows a repeat by its content: the same epoch twice is one report. */
const once = (record: readonly string[]): string[] => record.filter((text, i) => record.indexOf(text) === i);

describe("the agent and a model coordinator", () => {
  it("delivers every report once and in order over any interleaving", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200, size: "max" }), fc.constantFrom(0, 1), (operations, minor) => {
        const world = new World(minor);
        for (const op of operations) perform(world, op);
        world.heal();
        const restarted = operations.some((op) => op.kind === "restart");
        for (const attempt of world.coordinator.assigned.keys()) {
          const raw = world.coordinator.record.get(attempt) ?? [];
          // A second Assign earns a second Started, and only that.
          const record = once(raw);
          if (!restarted)
            expect(raw.filter((text) => text !== "started")).toEqual(record.filter((text) => text !== "started"));
          const full = ["started", "report 1", "report 2", "report 3", "ended completed"];
          const ended = record.findIndex((text) => text.startsWith("ended"));
          if (ended >= 0) expect(ended).toBe(record.length - 1);
          const cutShort = world.coordinator.revoked.has(attempt) || record.at(-1) === "ended stopped";
          if (cutShort) {
            const told = record.filter((text) => !text.startsWith("ended"));
            expect(told).toEqual(full.slice(0, told.length));
          } else expect(record).toEqual(full);
        }
        expect(world.agent.held).toEqual([]);
        expect(world.exits).toEqual([]);
      }),
      { numRuns: 400 },
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
        expect(
          training.map((s) => s.held.attempt),
          "nothing trains on",
        ).toEqual([]);
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
