import { describe, expect, it, onTestFinished } from "vitest";
import { openAdminClient } from "../../coordinator/shell/admin-client.js";
import { startCoordinator } from "../../coordinator/shell/coordinator.js";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import type { Recipe } from "../../native/recipe.js";
import { PROGRAM_VERSION } from "../../proto/contract.js";
import { rejection, scratch } from "./fixture.js";
import { HASH, ScriptedWorker } from "./scripted-worker.js";

const FILE = `
name: real
network: lenet
dataset: mnist
epochs: 1
metric: {name: val_accuracy, goal: maximize}
method: random
seed: 7
run_cap: 2
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
`;

describe("startCoordinator, with every real part", () => {
  it("takes a sweep file to trials on a worker to answers, over a restart", async () => {
    const storeDir = scratch();
    const options = {
      storeDir,
      grpc: { host: "127.0.0.1", port: 0 },
      http: { host: "127.0.0.1", port: 0 },
      insecurePlaintext: false,
    };
    const first = await startCoordinator(options);
    onTestFinished(() => first.close());
    const admin = openAdminClient({ address: first.grpcAddress, tokenFile: tokenFile(storeDir, "admin") });
    onTestFinished(() => admin.close());
    expect((await admin.submitSweep("real.yaml", FILE)).sweep).toBe(1);
    const wrong = await rejection(admin.submitSweep("wrong.yaml", FILE.replace("run_cap", "run_cup")));
    expect(wrong).toMatchObject({ code: "BAD_INPUT", path: expect.stringMatching(/^wrong\.yaml:9:/) });

    const worker = ScriptedWorker.of(storeDir, first.grpcAddress);
    await worker.link();
    const held = await worker.next("assign");
    const recipe = JSON.parse(held.recipe) as Recipe;
    expect([recipe.network.name, recipe.dataset.name, recipe.epochs]).toEqual(["lenet", "mnist", 1]);
    const { learning_rate } = JSON.parse(held.parameters) as { learning_rate: number };
    expect(learning_rate).toBeGreaterThanOrEqual(1e-5);
    expect(learning_rate).toBeLessThanOrEqual(1e-2);
    worker.started(held);
    worker.report(held, 1, 0.875);
    await worker.durable(worker.completed(held));
    expect(await admin.getStatus()).toMatchObject({ version: PROGRAM_VERSION, pid: process.pid });
    expect((await rejection(startCoordinator(options))).code).toBe("IN_USE");
    await first.close();

    const second = await startCoordinator({ ...options, http: null });
    onTestFinished(() => second.close());
    const again = openAdminClient({ address: second.grpcAddress, tokenFile: tokenFile(storeDir, "admin") });
    onTestFinished(() => again.close());
    const sql = "SELECT id, state, best_value, weights_hash FROM trials WHERE best_value > ?";
    expect(await again.query(sql, [0.5])).toEqual({
      columns: ["id", "state", "best_value", "weights_hash"],
      rows: [["1/0", "completed", 0.875, HASH]],
      truncated: false,
    });
    expect(await rejection(again.query("DELETE FROM trials"))).toMatchObject({ code: "FORBIDDEN" });
    const copy = `${storeDir}/copy.db`;
    expect(await again.backup(copy)).toBeGreaterThan(4_096);
  });
});
