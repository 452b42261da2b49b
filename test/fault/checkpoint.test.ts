/** B1, B6, P6: a worker dies in mid-trial; another goes on from its checkpoint, and the result is the same to the bit. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";

// Some seconds of training on any machine: a lane is saved once a second, and the worker must die after that and before
// the end.
const EPOCHS = 72;
const sweep = smallSweep({ network: "digits", epochs: EPOCHS, run_cap: 2 });

describe("checkpoints", () => {
  let playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    await playground.close();
    playground = new Playground();
  });

  const saved = (): readonly string[] => {
    const folder = join(playground.store, "checkpoints", "1-0");
    return existsSync(folder) ? readdirSync(folder).filter((name) => !name.endsWith(".new")) : [];
  };

  const recorded = (): number => {
    const db = new Database(join(playground.store, "convsweep.db"), { readonly: true });
    const count = db.prepare("SELECT count(*) FROM base_trials WHERE checkpoints <> '[]'").pluck().get();
    db.close();
    return Number(count);
  };

  it("kill -9 of a worker: the trial goes on elsewhere from its last epoch and equals one that was never interrupted", async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const ready = await up.line((line) => line["event"] === "up");
    const startWorker = (name: string) =>
      playground.startCommand(
        process.execPath,
        workerMain,
        "join",
        "--coordinator",
        String(ready["grpc"]),
        "--token-file",
        join(playground.store, "worker.token"),
        "--name",
        name,
        "--lanes",
        "2",
        "--checkpoint-every",
        "1",
      );
    const first = startWorker("first");
    const run = playground.start("run", playground.file("s.yaml", sweep), "--json");
    // On record, not only on disk: a worker that dies between the two has told nobody of the file.
    await run.line((line) => line["event"] === "report" && recorded() > 0);
    await first.kill("SIGKILL");
    startWorker("second");
    expect((await run.finished).code).toBe(0);

    const attempts = await playground.query("SELECT trial, n, state, from_epoch, epochs FROM attempts ORDER BY 1, 2");
    const resumed = attempts.filter((row) => Number(row["from_epoch"]) > 0);
    expect(resumed.length).toBeGreaterThan(0);
    for (const row of resumed) expect(row).toMatchObject({ state: "finished", epochs: EPOCHS });
    // Every epoch is on record once between the attempt that was lost and the one that went on.
    for (const { trial, n, from_epoch } of resumed) {
      const [row] = await playground.query(
        `SELECT count(*) AS n, min(epoch) AS first FROM reports WHERE trial = '${trial}' AND metric = 'val_loss' AND attempt = '${trial}#${n}'`,
      );
      expect(row).toEqual({ n: EPOCHS - Number(from_epoch), first: Number(from_epoch) + 1 });
    }
    // The files are gone with the trials.
    expect(saved()).toEqual([]);
    const again = await playground.run("trial", "rerun", String(resumed[0]?.["trial"]), "--verify");
    expect(again.stdout + again.stderr).toMatch(/equal to the bit/);
    expect(again.code).toBe(0);
  });
});
