import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { stateFrom } from "../../coordinator/core/state.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { stateText } from "./ending.js";
import { planOf } from "./plan.js";
import { runPlan } from "./run.js";

const SEEDS = 16;
const folder = mkdtempSync(join(tmpdir(), "convsweep-sim-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it(`SQLite keeps what the simulated disk keeps: ${SEEDS} schedules, batch by batch`, { timeout: 120_000 }, () => {
  let commits = 0;
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const { log, onDisk, violation } = runPlan(planOf(seed));
    expect(violation).toBeNull();
    const dir = join(folder, String(seed));
    // Closed and opened again half way, as after a restart.
    const half = Math.floor(log.length / 2);
    for (const part of [log.slice(0, half), log.slice(half)]) {
      const store = openSqliteStore(dir, { create: true });
      for (const batch of part) store.commit(batch);
      store.close();
    }
    const store = openSqliteStore(dir, { create: false });
    expect(stateText(stateFrom(store.load())), `seed ${seed}`).toBe(onDisk());
    store.close();
    commits += log.length;
  }
  expect(commits).toBeGreaterThan(SEEDS);
});
