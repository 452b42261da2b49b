/**
 * A2, B6: a coordinator that is killed again and again at the named points of what it says to workers and of what they
 * upload, while a real worker trains. At the end every trial is on record, once.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { Playground, smallSweep, workerMain } from "../e2e/program.js";

const TRIALS = 16;
const EPOCHS = 24;
const points = ["beforeAck", "afterAck", "beforeAssign", "afterAssign", "midCheckpointCopy"];

let playground = new Playground();
beforeAll(() => Playground.requireBuild());
afterEach(async () => {
  await playground.close();
  playground = new Playground();
});

const start = async (listen: string, fault: string) => {
  Object.assign(playground.variables, { NODE_ENV: "test", FAULT: fault });
  const up = playground.start("up", "--listen", listen, "--page", "127.0.0.1:0", "--json");
  delete playground.variables["NODE_ENV"];
  delete playground.variables["FAULT"];
  return { up, grpc: String((await up.line((line) => line["event"] === "up"))["grpc"]) };
};

const halfReceived = (): string[] =>
  readdirSync(join(playground.store, "checkpoints"), { recursive: true })
    .map(String)
    .filter((file) => file.endsWith(".new"));

it("killed at every point, the first and the second time it is reached: every trial once, with each epoch once", async () => {
  const first = await start("127.0.0.1:0", "");
  playground.startCommand(
    ...([process.execPath, workerMain, "join", "--coordinator", first.grpc] as const),
    ...["--token-file", join(playground.store, "worker.token"), "--lanes", "2", "--checkpoint-every", "1"],
  );
  const sweep = smallSweep({ network: "digits", epochs: EPOCHS, run_cap: TRIALS });
  expect((await playground.run("run", playground.file("s.yaml", sweep), "--detach")).code).toBe(0);
  await first.up.kill("SIGKILL");
  for (const n of [1, 2]) {
    for (const point of points) {
      const { up } = await start(first.grpc, `${point}:${n}`);
      await up.ended();
      expect([point, n, up.child.signalCode]).toEqual([point, n, "SIGKILL"]);
    }
  }
  const last = await start(first.grpc, "");
  await playground.until("SELECT state FROM sweeps WHERE state <> 'running'", (rows) => rows.length === 1);
  expect(playground.record("SELECT state, count(*) AS n FROM trials GROUP BY 1")).toEqual([
    { state: "completed", n: TRIALS },
  ]);
  expect(
    playground.record(
      "SELECT trial, count(DISTINCT epoch) AS epochs, count(*) AS n FROM reports WHERE metric = 'val_loss' GROUP BY 1 HAVING epochs <> n OR n <> " +
        EPOCHS,
    ),
  ).toEqual([]);
  // The worker lives on, so no attempt that had begun is lost.
  expect(playground.record("SELECT id FROM attempts WHERE state = 'lost' AND epochs > 0")).toEqual([]);
  expect((await last.up.kill("SIGTERM")).code).toBe(0);
  // B6: nothing of what they had half received lies about.
  expect(halfReceived()).toEqual([]);
});
