/** The filter language, against rows whose answers can be read off. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseFilter } from "../../dashboard/src/filter.js";
import { sweepRow, trialRow } from "./rows.js";

const SWEEP = sweepRow(1);
const ROWS = [
  trialRow(1, 0, {
    best: 0.9,
    bestEpoch: 2,
    epoch: 3,
    parameters: { learning_rate: 1e-3, l2: 0, optimizer: "adam" },
    worker: "lab-1",
    device: "cuda:0",
    metrics: { val_loss: 0.4 },
  }),
  trialRow(1, 1, {
    state: "failed",
    cause: "diverged in epoch 3, step 931",
    epoch: 2,
    parameters: { learning_rate: 0.3, l2: 1e-4, optimizer: "sgd" },
    worker: "attic",
    device: "cpu",
    metrics: { val_loss: "nan" },
  }),
  trialRow(1, 2, { state: "queued", parameters: { learning_rate: 1e-5, l2: 5e-5, optimizer: "momentum" } }),
];

function matching(text: string): readonly number[] | string {
  const filter = parseFilter(text, SWEEP, ["val_accuracy", "val_loss"]);
  if (filter.problem !== null) return filter.problem;
  const { test } = filter;
  return ROWS.filter((row) => test === null || test(row)).map((row) => row.number);
}

describe("parseFilter", () => {
  it.each([
    ["", [0, 1, 2]],
    ["state:failed", [1]],
    ["state:failed,queued", [1, 2]],
    ["state:FAIL", [1]],
    ["state!=failed", [0, 2]],
    ["lr>0.001", [1]],
    ["lr>=1e-3", [0, 1]],
    ["learning_rate >= 1e-3", [0, 1]],
    ["learning_rate >= 1e-3 and state = failed", [1]],
    ["best_value > 0.8 and epochs >= 3", [0]],
    ["number<1", [0]],
    ['cause:"epoch 2, step"', [1]],
    ["learning_rate<1e-4", [2]],
    ["learn<1e-4", [2]],
    ["state:failed lr>0.001", [1]],
    ["state:failed lr<0.001", []],
    ["l2=0", [0]],
    ["l2:1e-5..1e-4", [1, 2]],
    ["l2:..6e-5", [0, 2]],
    ["l2:6e-5..", [1]],
    ["best>0.5", [0]],
    ["best<0.5", []],
    ["val_loss<1", [0]],
    ["optimizer:m", [0, 2]],
    ["optimizer=adam", [0]],
    ["diverged", [1]],
    ["-diverged", [0, 2]],
    ["worker:lab", [0]],
    ["cuda:0", "no column is called `cuda`"],
    ['"cuda:0"', [0]],
    ["momentum", [2]],
    ["lr<1e-4 or l2=0", [0, 2]],
    ["(lr<1e-4 or l2=0) state:queued", [2]],
    ["-(lr<1e-4 or l2=0)", [1]],
    ["-state:failed -state:queued", [0]],
    ["id:1/2", [2]],
  ])("%s", (text, expected) => {
    const found = matching(text);
    if (typeof expected === "string") expect(found).toContain(expected);
    else expect(found).toEqual(expected);
  });

  it.each([
    ["lr>", "lacks a value"],
    ["lr>fast", "needs a number"],
    ["nothing:1", "no column is called `nothing`; there are"],
    ["(state:failed", "not closed"],
    ["state:failed)", "not opened"],
    ["or", "missing"],
    ["lr:a..b", "not a range"],
    ["b=1", "could be best, best_value, best_epoch"],
  ])("%s is refused in words", (text, words) => expect(matching(text)).toContain(words));

  it("answers any text without an exception, and adding a term never finds more", () => {
    const token = fc.constantFrom(
      "state:failed",
      "lr>",
      "(",
      ")",
      "or",
      "-",
      "-(",
      '"',
      "l2:0..1",
      "best>0.5",
      "x",
      ":",
      "a:b",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(token, { maxLength: 8 }).map((list) => list.join(" ")),
          fc.string(),
        ),
        (text) => {
          const before = matching(text);
          const after = matching(`(${text}) state:failed`);
          if (typeof before === "string" || typeof after === "string" || text.trim() === "") return;
          expect(before).toEqual(expect.arrayContaining([...after]));
        },
      ),
      { numRuns: 500 },
    );
  });
});
