/** The outbox by itself: numbers, what is kept after its acknowledgement, and what is not. */
import { describe, expect, it } from "vitest";
import type { Held } from "../../worker/messages.js";
import { Outbox } from "../../worker/outbox.js";
import type { Body } from "../../worker/wire.js";

const mine: Held = { attempt: "1/0#1", token: 1 };
const others: Held = { attempt: "1/1#1", token: 2 };
const report = (held: Held, epoch: number): Body => ({
  $case: "report",
  value: { ...held, epoch, step: epoch, metrics: [] },
});
const said = (outbox: Outbox): readonly string[] =>
  outbox
    .due()
    .map(
      ({ seq, body }) =>
        `${seq}: ${body.$case === "report" ? `${body.value.attempt} ${body.value.epoch}` : body.$case}`,
    );

describe("a coordinator that is older than it was", () => {
  it("hears again of all that is kept, before everything else", () => {
    const outbox = new Outbox(2);
    for (const epoch of [1, 2, 3]) outbox.put(report(mine, epoch), mine);
    expect(said(outbox)).toEqual(["1: 1/0#1 1", "2: 1/0#1 2"]);
    outbox.acknowledge(1);
    expect(outbox.again()).toBe(1);
    expect(said(outbox)).toEqual(["3: 1/0#1 1", "4: 1/0#1 2"]);
  });

  it("hears nothing of an attempt that was given up, not even what was on its way: half of it is worse than none", () => {
    const outbox = new Outbox(10);
    outbox.put(report(mine, 1), mine);
    outbox.put(report(others, 1), others);
    outbox.due();
    outbox.acknowledge(1);
    outbox.put(report(mine, 2), mine);
    expect(said(outbox)).toEqual(["3: 1/0#1 2"]);
    outbox.discard(mine);
    outbox.again();
    expect(said(outbox)).toEqual(["4: 1/1#1 1"]);
  });

  it("nor what was acknowledged after it was given up", () => {
    const outbox = new Outbox(10);
    outbox.put(report(mine, 1), mine);
    outbox.put(report(mine, 2), mine);
    outbox.due();
    outbox.acknowledge(1);
    outbox.discard(mine);
    // It keeps its number on the present link.
    outbox.rewind();
    expect(said(outbox)).toEqual(["2: 1/0#1 2"]);
    outbox.acknowledge(2);
    expect(outbox.again()).toBe(0);
    expect(said(outbox)).toEqual([]);
  });
});
