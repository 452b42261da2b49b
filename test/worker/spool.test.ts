/** What a worker keeps on disk, and what the process after it makes of that (B1, B9, B10, B11, B12). */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LinkRequest } from "../../proto/gen/convsweep/v1/worker.js";
import { Agent } from "../../worker/agent.js";
import type { AgentEffect, AgentInput } from "../../worker/agent-messages.js";
import type { Entry } from "../../worker/outbox.js";
import { readSpool, Spool } from "../../worker/spool.js";
import { endedBody, reportBody } from "../../worker/wire.js";
import { assign, held, IDENTITY, LIMITS, welcome } from "./agent-world.js";
import { unpacked } from "./unpacked.js";

let root: string;
let open: Spool[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "convsweep-spool-"));
  open = [];
});
afterEach(() => {
  for (const spool of open) spool.close();
  rmSync(root, { recursive: true, force: true });
});

function openSpool(incarnation: string): Spool {
  const spool = Spool.open(root, "w", incarnation);
  if (!spool) throw new Error("locked");
  open.push(spool);
  return spool;
}

const report = (id: number, epoch = id): Entry => ({
  id,
  held: held(0),
  body: reportBody(held(0), epoch, epoch * 10, [
    { name: "val_loss", value: 1 / epoch },
    { name: "val_accuracy", value: Number.NaN },
  ]),
});

/** As a kill leaves it: the file is copied while the spool is open. */
function killed(spool: Spool): Buffer {
  spool.ready();
  return readFileSync(join(root, "w", "spool"));
}

/** A process that is killed: nothing of it stays but the spool. */
function dies(incarnation: string, act: (spool: Spool) => void = () => undefined): void {
  const spool = openSpool(incarnation);
  act(spool);
  const left = killed(spool);
  spool.close();
  open = [];
  writeFileSync(join(root, "w", "spool"), left);
}

describe("the spool", () => {
  it("gives back what was kept and not settled, to the bit", () => {
    const spool = openSpool("first-life");
    const entries = [1, 2, 3, 4].map((id) => report(id));
    for (const entry of entries) spool.keep(entry);
    spool.welcomed("store-1");
    spool.drop(entries.slice(1, 3));
    const left = readSpool(killed(spool));
    expect(left).toMatchObject({ lives: ["first-life"], store: "store-1" });
    expect(left?.entries.map(({ id }) => id)).toEqual([1, 4]);
    expect(left?.entries[0]?.body).toEqual(entries[0]?.body);
  });

  it("is begun anew when nothing in it is of use, and gone after a clean end", () => {
    const spool = openSpool("first-life");
    spool.ready();
    for (let round = 0; round < 50; round += 1) {
      const entries = Array.from({ length: 20 }, (_, i) => report(round * 20 + i + 1));
      for (const entry of entries) spool.keep(entry);
      spool.drop(entries);
    }
    expect(statSync(join(root, "w", "spool")).size).toBeLessThan(200);
    expect(spool.bytes).toBe(0);
    spool.close();
    open = [];
    expect(existsSync(join(root, "w", "spool"))).toBe(false);
  });

  it("B10: cut anywhere it gives back every record before the cut and nothing else", () => {
    const spool = openSpool("first-life");
    const ends: number[] = [];
    for (let id = 1; id <= 5; id += 1) {
      spool.keep(report(id));
      ends.push(killed(spool).length);
    }
    const whole = killed(spool);
    for (let length = 0; length <= whole.length; length += 1) {
      const left = readSpool(whole.subarray(0, length));
      const expected = ends.filter((end) => end <= length).length;
      expect(left?.entries.length ?? 0).toBe(expected);
      // What a file system may leave of the rest after a loss of power.
      const zeroed = Buffer.concat([whole.subarray(0, length), Buffer.alloc(64)]);
      expect(readSpool(zeroed)?.entries.length ?? 0).toBe(expected);
    }
    for (let at = (ends[1] ?? 0) + 9; at < whole.length; at += 37) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 4;
      expect(readSpool(flipped)?.entries.length).toBe(ends.filter((end) => end <= at).length);
    }
  });

  it("keeps what a dead process left in place until its successor has it", () => {
    const first = openSpool("first-life");
    first.keep(report(1));
    first.ready();
    copyFileSync(join(root, "w", "spool"), join(root, "kept"));
    first.drop([report(1)]);
    first.close();
    open = [];
    copyFileSync(join(root, "kept"), join(root, "w", "spool"));
    const second = openSpool("second-life");
    expect(second.before).toMatchObject({ lives: ["first-life"], entries: [{ id: 1 }] });
    expect(readSpool(readFileSync(join(root, "w", "spool")))?.lives).toEqual(["first-life"]);
    second.keep(report(1));
    second.ready();
    expect(readSpool(readFileSync(join(root, "w", "spool")))).toMatchObject({
      lives: ["first-life", "second-life"],
      entries: [{ id: 1 }],
    });
  });

  it("B1: names every life that the coordinator may still count on, until one of them was welcomed", () => {
    dies("life-1", (spool) => spool.welcomed("store-1"));
    for (const life of ["life-2", "life-3"]) dies(life);
    const fourth = openSpool("life-4");
    expect(fourth.before).toMatchObject({ lives: ["life-1", "life-2", "life-3"], store: "store-1" });
    // It leaves in good order, and nobody has heard of the dead ones.
    fourth.ready();
    fourth.close();
    open = [];
    dies("life-5", (spool) => {
      expect(spool.before?.lives).toEqual(["life-1", "life-2", "life-3", "life-4"]);
      spool.welcomed("store-1");
      spool.keep(report(1));
      spool.drop([report(1)]);
    });
    const sixth = openSpool("life-6");
    expect(sixth.before?.lives).toEqual(["life-5"]);
    sixth.welcomed("store-1");
    sixth.ready();
    sixth.close();
    open = [];
    expect(existsSync(join(root, "w", "spool"))).toBe(false);
  });

  it("of more lives than may be named keeps the oldest and the newest", () => {
    dies("life-0", (spool) => spool.welcomed("store-1"));
    for (let n = 1; n < 100; n += 1) dies(`life-${n}`);
    const lives = openSpool("life-100").before?.lives;
    expect(lives).toHaveLength(64);
    expect([lives?.[0], lives?.[1], lives?.at(-1)]).toEqual(["life-0", "life-37", "life-99"]);
  });

  it("B12: belongs to one process at a time", () => {
    openSpool("first-life");
    expect(Spool.open(root, "w", "second-life")).toBeNull();
    expect(Spool.open(root, "v", "second-life")?.close()).toBeUndefined();
  });

  it("a file of another kind is no spool", () => {
    openSpool("first-life").close();
    open = [];
    writeFileSync(join(root, "w", "spool"), "hello".repeat(100));
    expect(openSpool("second-life").before).toBeNull();
    truncateSync(join(root, "w", "spool"), 0);
  });
});

const sends = (effects: readonly AgentEffect[]): LinkRequest[] =>
  effects.flatMap((effect) => (effect.kind === "send" ? unpacked(effect.message) : []));
const told = (effects: readonly AgentEffect[]): string[] =>
  sends(effects).map(
    ({ seq, body }) => `${seq} ${body?.$case}${body?.$case === "report" ? ` ${body.value.epoch}` : ""}`,
  );

describe("the process after a dead one", () => {
  it("B1: says what was left, then that it trains no more; nothing is held once that is on record", () => {
    const agent = new Agent(
      IDENTITY,
      { ...LIMITS, window: 10 },
      {
        lives: ["first-life"],
        store: "s",
        entries: [report(1), report(2)],
      },
    );
    const first = agent.handle({ kind: "linkUp" }, 0);
    expect(first.filter(({ kind }) => kind === "spool")).toHaveLength(3);
    expect(sends(first)[0]?.body).toMatchObject({
      value: { previous: ["first-life"], running: [held(0)], seenStore: "s" },
    });
    const effects = agent.handle({ kind: "received", message: welcome({ keep: [held(0)] }) }, 0);
    expect(told(effects)).toEqual(["1 report 1", "2 report 2", "3 ended"]);
    expect(sends(effects)[2]?.body).toMatchObject({ value: { outcome: { $case: "released", value: { died: true } } } });
    const settled = agent.handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined, commit: 5 } }, 0);
    expect(settled.flatMap((effect) => (effect.kind === "unspool" ? effect.entries.map(({ id }) => id) : []))).toEqual([
      1, 2, 3,
    ]);
    expect(agent.held).toEqual([]);
  });

  it("does not end for it what had ended already", () => {
    const ended: Entry = {
      id: 2,
      held: held(0),
      body: endedBody(held(0), { kind: "completed", weightsHash: "a".repeat(64) }),
    };
    const agent = new Agent(IDENTITY, LIMITS, { lives: ["first-life"], store: "s", entries: [report(1), ended] });
    agent.handle({ kind: "linkUp" }, 0);
    expect(told(agent.handle({ kind: "received", message: welcome({ keep: [held(0)] }) }, 0))).toEqual([
      "1 report 1",
      "2 ended",
    ]);
  });

  it.each([
    ["the attempt is another's by now", welcome({ drop: [held(0)] })],
    ["the store is another", welcome({ store: "other" })],
  ])("P9: keeps for the user what nobody wants: %s", (_, message) => {
    const agent = new Agent(IDENTITY, LIMITS, { lives: ["first-life"], store: "s", entries: [report(1)] });
    agent.handle({ kind: "linkUp" }, 0);
    const effects = agent.handle({ kind: "received", message }, 0);
    const refused = effects.flatMap((effect) => (effect.kind === "refused" ? [effect] : []));
    expect(refused).toMatchObject([
      { held: held(0), entries: [{ body: { $case: "report" } }, { body: { $case: "ended" } }] },
    ]);
    const spool = openSpool("second-life");
    const file = spool.refuse(held(0), refused[0]?.entries ?? [], "why");
    expect(
      readFileSync(file ?? "", "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).attempt),
    ).toEqual(["1/0#1", "1/0#1"]);
  });
});

describe("P3: a coordinator that is older than it was", () => {
  function trained(epochs: number) {
    const agent = new Agent(IDENTITY, { ...LIMITS, window: 100 });
    /** Every input is a turn of the event loop of its own. */
    const handle = (input: AgentInput): readonly AgentEffect[] =>
      agent
        .handle(input, 0)
        .flatMap((effect) => (effect.kind === "flushSoon" ? agent.handle({ kind: "flush" }, 0) : [effect]));
    handle({ kind: "linkUp" });
    handle({ kind: "received", message: welcome() });
    handle({ kind: "received", message: { seq: 1, ack: 0, body: assign(held(0)), commit: 3 } });
    const thread = (message: Extract<AgentInput, { readonly kind: "thread" }>["message"]): readonly AgentEffect[] =>
      handle({ kind: "thread", device: "cpu", message });
    thread({ kind: "started", held: held(0), fingerprint: "f", fromEpoch: 0 });
    for (let epoch = 1; epoch <= epochs; epoch += 1) {
      thread({ kind: "report", held: held(0), epoch, step: epoch, metrics: [] });
    }
    return { agent, handle, thread };
  }

  it.each([
    ["fewer commits", { commit: 40 }],
    ["another generation", { generation: 1, commit: 90 }],
    ["as many commits, but not those it has heard of", { commit: 90, lost: 3 }],
  ])("%s: hears all of a live attempt again, in order and newly numbered, before what is new", (_, older) => {
    const { handle, thread } = trained(3);
    handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined, commit: 50 } });
    handle({ kind: "linkDown" });
    thread({ kind: "report", held: held(0), epoch: 4, step: 4, metrics: [] });
    const hello = sends(handle({ kind: "linkUp" }))[0];
    expect(hello?.body).toMatchObject({ value: { seenStore: "s", seenGeneration: 0, seenCommit: 50 } });
    const effects = handle({ kind: "received", message: welcome({ keep: [held(0)], ...older }) });
    expect(told(effects)).toEqual(["5 started", "6 report 1", "7 report 2", "8 report 3", "9 report 4"]);
  });

  it("the same or a newer one hears only what it has not acknowledged", () => {
    const { handle } = trained(3);
    handle({ kind: "received", message: { seq: 0, ack: 3, body: undefined, commit: 50 } });
    handle({ kind: "linkDown" });
    handle({ kind: "linkUp" });
    expect(told(handle({ kind: "received", message: welcome({ keep: [held(0)], commit: 51 }) }))).toEqual([
      "4 report 3",
    ]);
  });

  it("keeps nothing of an attempt whose end is on record", () => {
    const { handle, thread } = trained(2);
    thread({ kind: "ended", held: held(0), outcome: { kind: "completed", weightsHash: "a".repeat(64) } });
    handle({ kind: "received", message: { seq: 0, ack: 4, body: undefined, commit: 50 } });
    handle({ kind: "linkDown" });
    handle({ kind: "linkUp" });
    expect(told(handle({ kind: "received", message: welcome({ commit: 10 }) }))).toEqual([]);
  });
});

it("B9: a full spool pauses training, an acknowledgement lets it go on, nothing is lost", () => {
  const agent = new Agent(IDENTITY, { ...LIMITS, window: 100, spoolBytes: 1_000 });
  agent.handle({ kind: "linkUp" }, 0);
  agent.handle({ kind: "received", message: welcome() }, 0);
  const holds = (effects: readonly AgentEffect[]): boolean[] =>
    effects.flatMap((effect) =>
      effect.kind === "command" && effect.command.kind === "hold" ? [effect.command.held] : [],
    );
  agent.spooled = 1_000;
  expect(holds(agent.handle({ kind: "tick" }, 1))).toEqual([true]);
  agent.spooled = 600;
  expect(holds(agent.handle({ kind: "tick" }, 2))).toEqual([]);
  agent.spooled = 499;
  expect(holds(agent.handle({ kind: "tick" }, 3))).toEqual([false]);
});
