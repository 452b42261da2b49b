/** The tables: every pair of states, and how `apply` keeps them. */
import { describe, expect, it } from "vitest";
import { apply } from "../../coordinator/core/apply.js";
import {
  ATTEMPT_TRANSITIONS,
  isFinal,
  move,
  SWEEP_TRANSITIONS,
  type Table,
  TRIAL_TRANSITIONS,
  WORKER_TRANSITIONS,
} from "../../coordinator/core/transitions.js";
import { ConvsweepError } from "../../proto/contract.js";
import { FakeWorker, Rig } from "./rig.js";

/** Written by hand from the tables of the design: rows from, columns to; x allowed, . refused, = staying. */
const EXPECTED: Readonly<
  Record<string, { readonly table: Table<string>; readonly states: string; readonly rows: readonly string[] }>
> = {
  sweep: {
    table: SWEEP_TRANSITIONS,
    states: "running paused completed cancelled failed",
    rows: ["=xxxx", "x=xxx", "x.=..", "x..=.", "x...="],
  },
  trial: {
    table: TRIAL_TRANSITIONS,
    states: "queued leased running paused completed stopped failed lost cancelled",
    rows: [
      "=x......x",
      "x=x....xx",
      "x.=xxxxxx",
      "x..=.x..x",
      "....=....",
      ".....=...",
      "......=..",
      ".......=.",
      "........=",
    ],
  },
  attempt: {
    table: ATTEMPT_TRANSITIONS,
    states: "offered running finished stopped paused failed lost revoked",
    rows: ["=x....xx", ".=xxxxxx", "..=.....", "...=....", "....=...", ".....=..", "......=.", ".......="],
  },
  worker: {
    table: WORKER_TRANSITIONS,
    states: "connected draining away gone",
    rows: ["=xxx", "x=.x", "xx=x", "x..="],
  },
};

describe.each(Object.entries(EXPECTED))("states of a %s", (_name, { table, states, rows }) => {
  const names = states.split(" ");
  it("has exactly these states", () => expect(Object.keys(table).sort()).toEqual([...names].sort()));

  it.each(names.flatMap((from, row) => names.map((to, column) => [from, to, rows[row]?.[column] ?? "?"] as const)))(
    "%s to %s: %s",
    (from, to, mark) => {
      if (mark === ".") expect(() => move(table, from, to, "it")).toThrow(ConvsweepError);
      else expect(move(table, from, to, "it")).toBe(to);
    },
  );
});

describe("apply", () => {
  it("refuses to leave a final state, whatever the target", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w");
    rig.submit({ runCap: 1 });
    worker.hello();
    const [assign] = rig.assigns();
    if (assign === undefined) throw new Error("nothing assigned");
    worker.train(assign);
    const trial = rig.trial(1, 0);
    expect(isFinal(trial.state)).toBe(true);
    for (const state of Object.keys(TRIAL_TRANSITIONS)) {
      const put = (): void =>
        apply(rig.state, { kind: "putTrial", trial: { ...trial, state: state as typeof trial.state } });
      if (state === trial.state) expect(put).not.toThrow();
      else expect(put).toThrow(/cannot go from completed/);
    }
  });

  it("refuses tokens and sweep numbers that do not grow, and a second holder", () => {
    const rig = new Rig();
    const worker = new FakeWorker(rig, "w");
    rig.submit({ runCap: 1 });
    worker.hello();
    const [assign] = rig.assigns();
    const attempt = assign && rig.attempt(assign.attempt);
    if (attempt === undefined) throw new Error("nothing assigned");
    expect(() => apply(rig.state, { kind: "setTokens", last: attempt.token })).toThrow(/tokens only grow/);
    expect(() => apply(rig.state, { kind: "setSweeps", last: rig.state.lastSweep })).toThrow(/sweep numbers only grow/);
    const second = { ...attempt, id: `${attempt.trial}#2` as typeof attempt.id, n: 2 };
    expect(() => apply(rig.state, { kind: "putAttempt", attempt: second })).toThrow(/held already/);
    const other = { ...attempt, token: (attempt.token + 1) as typeof attempt.token };
    expect(() => apply(rig.state, { kind: "putAttempt", attempt: other })).toThrow(/keeps its token/);
  });
});
