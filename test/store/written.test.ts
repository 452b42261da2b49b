/** What counts as a trial or an attempt that only went on: nothing else about it may be left unwritten. */
import { expect, it } from "vitest";
import { Written } from "../../coordinator/store/written.js";
import { attemptId, sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleTrial } from "../conformance/store-model.js";

const { trial } = sampleTrial(1, 0);
const { attempt } = sampleAttempt(trial.id, 1, 1);

const written = new Written();
written.noteTrial(trial);
written.noteAttempt(attempt);

/** Of the same record, so that it is found; any other value will do, as members are compared by identity. */
const otherwise = <T>(record: T, member: string): T => ({ ...record, [member]: Symbol(member) });

it.each(Object.keys(trial).filter((member) => member !== "id"))("a trial with another %s", (member) => {
  const progress = ["epoch", "best", "last", "metrics"].includes(member);
  expect(written.onlyProgressed(otherwise(trial, member))).toBe(progress);
});

it.each(Object.keys(attempt).filter((member) => member !== "id"))("an attempt with another %s", (member) => {
  const progress = ["leaseUntil", "lastEpoch"].includes(member);
  expect(written.onlyRenewed(otherwise(attempt, member))).toBe(progress);
});

it("one that was never written, and one that was forgotten", () => {
  expect(written.onlyProgressed({ ...trial, id: trialId(sweepId(1), 1) })).toBe(false);
  expect(written.onlyRenewed({ ...attempt, id: attemptId(trial.id, 2) })).toBe(false);
  const after = new Written();
  after.noteTrial(trial);
  after.forget();
  expect(after.onlyProgressed(trial)).toBe(false);
});
