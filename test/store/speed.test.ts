/** 100,000 trials load fast enough for a restart: processor time, because a busy machine says nothing about the code. */
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Mutation } from "../../coordinator/core/events.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { millis, sweepId, trialId } from "../../proto/contract.js";
import { sampleAttempt, sampleSweep, sampleTrial } from "../conformance/store-model.js";
import { scratchFolder } from "./scratch.js";

const TRIALS = 100_000;

it("loads 100,000 trials and attempts within 4 s of processor time (2 s on an idle machine)", () => {
  const folder = scratchFolder();
  try {
    const store = openSqliteStore(join(folder.path, "store"), { create: true });
    store.commit([sampleSweep(1)]);
    for (let first = 0; first < TRIALS; first += 5_000) {
      const batch: Mutation[] = [];
      for (let i = first; i < first + 5_000; i++) {
        batch.push(
          sampleTrial(1, i, {
            state: "completed",
            best: { value: i / TRIALS, epoch: 2 },
            metrics: { train_loss: 1 / (i + 1), train_accuracy: 0.5, val_loss: 2 / (i + 1), val_accuracy: 0.25 },
            weightsHash: "ab".repeat(32),
          }),
          sampleAttempt(trialId(sweepId(1), i), 1, i + 1, { endedAt: millis(3) }),
        );
      }
      store.commit(batch);
    }
    const before = process.cpuUsage();
    const { trials, attempts } = store.load();
    const { user, system } = process.cpuUsage(before);
    store.close();
    expect([trials.length, attempts.length]).toEqual([TRIALS, 0]);
    expect((user + system) / 1e6).toBeLessThan(4);
  } finally {
    folder.remove();
  }
}, 120_000);
