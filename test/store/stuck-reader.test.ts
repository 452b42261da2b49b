/** A21: a query that never ends holds the log of the store open while results come in. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { databasePath } from "../../coordinator/store/open.js";
import { runQuery } from "../../coordinator/store/query.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { attemptId, sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleReport, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { scratchFolder } from "./scratch.js";

const folder = scratchFolder();
afterAll(() => folder.remove());

const MIB = 1 << 20;

it("is killed at its time; the log grows by what was committed meanwhile, and no more once it is gone", async () => {
  const dir = join(folder.path, "store");
  const store = openSqliteStore(dir, { create: true });
  const trial = trialId(sweepId(1), 0);
  store.commit([sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 1)]);
  let epoch = 0;
  /** One turn of a coordinator under load. */
  const commit = (): void => {
    store.commit(
      Array.from({ length: 100 }, () => {
        epoch += 1;
        return sampleReport(attemptId(trial, 1), epoch, { loss: epoch, accuracy: 0.5, images_per_second: 1e4 });
      }),
    );
  };
  const log = (): number => statSync(`${databasePath(dir)}-wal`).size;
  // Something for the query to read.
  commit();
  // Longer than a query of a page may take.
  const endless = "SELECT count(*) FROM reports a, reports b, reports c, reports d, reports e, reports f";
  let reading = true;
  const query = runQuery(dir, endless, [], { millis: 4_000 })
    .then(
      () => "ended",
      (thrown: Error) => thrown.message,
    )
    .finally(() => {
      reading = false;
    });
  while (reading) {
    commit();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await query).toMatch(/4 s/);
  const held = log();
  // Nothing could be taken out of it while it was read: it holds three numbers of each report at least.
  expect(held).toBeGreaterThan(epoch * 24);
  expect(held).toBeLessThan(256 * MIB);
  process.stderr.write(
    `A21: a log of ${(held / MIB).toFixed(1)} MiB, ${epoch} reports, ${(held / epoch).toFixed(0)} bytes each\n`,
  );
  // It begins anew at its head, and its file is cut to what is kept of it.
  const during = epoch;
  while (epoch < 2 * during) commit();
  expect(log()).toBeLessThanOrEqual(Math.max(held, 64 * MIB));
  expect(store.reports(trial).length).toBe(epoch);
  store.close();
  const reopened = openSqliteStore(dir, { create: false });
  expect(reopened.reports(trial).at(-1)?.epoch).toBe(epoch);
  reopened.close();
}, 120_000);
