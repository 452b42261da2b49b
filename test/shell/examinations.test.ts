/** A22: the daily look through the store: when it is, and what becomes of what it finds. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, it, onTestFinished } from "vitest";
import { BETWEEN_MILLIS, FIRST_MILLIS, startExaminations } from "../../coordinator/shell/examinations.js";
import type { StoreFinding } from "../../coordinator/store/examine.js";
import { examineBeside } from "../../coordinator/store/examine-beside.js";
import { databasePath } from "../../coordinator/store/open.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { attemptId, millis, sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleReport, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { manualClock } from "./fixture.js";

const bad = (detail: string): StoreFinding => ({ what: "values", verdict: "bad", detail });

it("comes after an hour and then once a day; each thing that is wrong is told once", async () => {
  const clock = manualClock();
  const answers: (readonly StoreFinding[] | Error)[] = [
    [{ what: "pages", verdict: "ok", detail: "" }],
    new Error("killed"),
    [bad("trial 1/3")],
    [bad("trial 1/3"), bad("trial 1/4")],
  ];
  const looks: number[] = [];
  const noted: string[] = [];
  const logged: string[] = [];
  let settled = Promise.resolve();
  const examine = () => {
    looks.push(clock.now());
    const answer = answers[looks.length - 1] ?? [];
    const findings = answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    settled = findings.then(
      () => undefined,
      () => undefined,
    );
    return { findings, stop: () => undefined };
  };
  const begun = clock.now();
  const examinations = startExaminations(
    clock,
    examine,
    (level, event) => void logged.push(`${level} ${event}`),
    (detail) => void noted.push(detail),
  );
  for (const wait of [FIRST_MILLIS, BETWEEN_MILLIS, BETWEEN_MILLIS, BETWEEN_MILLIS]) {
    clock.advance(wait - 1);
    const before = looks.length;
    clock.advance(1);
    expect(looks.length).toBe(before + 1);
    await settled;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(looks.map((at) => at - begun)).toEqual([0, 1, 2, 3].map((n) => FIRST_MILLIS + n * BETWEEN_MILLIS));
  expect(noted).toEqual(["values: trial 1/3", "values: trial 1/4"]);
  expect(logged).toEqual(["warn examination-failed", "error store-damaged", "error store-damaged"]);
  examinations.close();
  clock.advance(2 * BETWEEN_MILLIS);
  expect(looks).toHaveLength(4);
});

it("is done by a process of its own, beside an open store", async () => {
  const dir = mkdtempSync(join(tmpdir(), "convsweep-examine-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const store = openSqliteStore(dir, { create: true });
  onTestFinished(() => store.close());
  const trial = trialId(sweepId(1), 0);
  store.commit([
    sampleSweep(1),
    sampleTrial(1, 0),
    sampleAttempt(trial, 1, 1, { state: "finished", endedAt: millis(9) }),
    sampleReport(attemptId(trial, 1), 1, { val_loss: 0.5 }),
  ]);
  const found = async () => (await examineBeside(dir).findings).filter(({ what }) => what === "values");
  expect(await found()).toMatchObject([{ verdict: "ok" }]);
  const db = new Database(databasePath(dir));
  db.exec("UPDATE base_reports SET value = 0.25");
  db.close();
  expect(await found()).toMatchObject([{ verdict: "bad", detail: /attempt 1\/0#1/ }]);
  const stopped = examineBeside(dir);
  stopped.stop();
  await expect(stopped.findings).rejects.toThrow(/the store was not looked through/);
});
