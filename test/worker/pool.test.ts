/** Real Piscina threads, one a device: commands, interrupts, ends. Needs the build (dist/worker). */
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ErrorData } from "../../proto/contract.js";
import type { Job, ThreadMessage } from "../../worker/messages.js";
import { Pool, type PoolOptions } from "../../worker/pool.js";
import { requireBuilt } from "./build.js";

const threadModule = fileURLToPath(new URL("./fixtures/spinning-thread.mjs", import.meta.url));

const job = (n: number, mode = "spin"): Job => ({
  attempt: `1/${n}#1`,
  token: n + 1,
  recipe: JSON.stringify({
    mode,
    dataset: {},
    network: {},
    hyperparameters: Object.fromEntries(NAMES.map((name) => [name, 0])),
  }),
  cohortKey: mode,
  seed: "0".repeat(16),
  parameters: "{}",
  alone: false,
  checkpoints: [],
});
const NAMES = ["learning_rate", "l2", "momentum", "rho", "beta1", "beta2", "epsilon", "dropout", "label_smoothing"];

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function start(devices: readonly string[], over: Partial<PoolOptions> = {}) {
  const messages: [string, ThreadMessage][] = [];
  const died: [string, ErrorData][] = [];
  const stuck: [string, number][] = [];
  const waiters: (() => void)[] = [];
  const wake = (): void => {
    for (const waiter of waiters.splice(0)) waiter();
  };
  const pool = new Pool({
    devices: devices.map((id) => ({ id, lanes: 8, threads: 1, memoryBytes: 2 ** 32 })),
    dataDir: "",
    checkpointMillis: 60_000,
    threadModule,
    onMessage: (device, message) => {
      messages.push([device, message]);
      wake();
    },
    onThreadDied: (device, error) => {
      died.push([device, error]);
      wake();
    },
    onStuck: (device, millis) => {
      stuck.push([device, millis]);
      wake();
    },
    ...over,
  });
  cleanups.push(() => pool.close());
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => waiters.push(resolve));
  };
  return { pool, messages, died, stuck, until };
}

describe("the pool", () => {
  beforeAll(() => requireBuilt("dist/worker/cohort-thread.js"));

  it("runs a thread a device, all at once, and interrupts their slices for a command", async () => {
    const { pool, messages, until } = start(["a", "b"]);
    pool.command("a", { kind: "assign", job: job(0), from: null });
    pool.command("b", { kind: "assign", job: job(1), from: null });
    const count = (kind: string): number => messages.filter(([, m]) => m.kind === kind).length;
    await until(() => count("started") === 2);
    // Slices of an hour run now on both devices; each of these is heard all the same.
    for (let n = 2; n < 6; n += 1) {
      pool.command(n % 2 === 0 ? "a" : "b", { kind: "assign", job: job(n), from: null });
      await until(() => count("started") === n + 1);
    }
    pool.command("a", { kind: "stop", held: { attempt: "1/0#1", token: 1 }, save: false });
    await until(() => count("ended") === 1);
    expect(messages.filter(([, m]) => m.kind === "ended")).toMatchObject([["a", { outcome: { kind: "stopped" } }]]);
    expect(
      messages.filter(([d, m]) => d === "b" && m.kind === "started").map(([, m]) => "held" in m && m.held.token),
    ).toEqual([2, 4, 6]);
  });

  it("tells of a thread that is stuck inside the engine, and not of one that trains", async () => {
    const { pool, stuck, until } = start(["well", "ill"], { stuckMillis: 150, checkMillis: 20 });
    pool.command("well", { kind: "assign", job: job(0), from: null });
    pool.command("ill", { kind: "assign", job: job(1, "stuck"), from: null });
    await until(() => stuck.length > 0);
    expect(new Set(stuck.map(([device]) => device))).toEqual(new Set(["ill"]));
    expect(stuck[0]?.[1]).toBeGreaterThanOrEqual(150);
  });

  it("delivers a lost device's last messages before it tells that the thread ended, once", async () => {
    const { pool, messages, died, until } = start(["a"]);
    const order: string[] = [];
    pool.command("a", { kind: "assign", job: job(0, "lost"), from: null });
    await until(() => died.length > 0);
    order.push(...messages.map(([, m]) => m.kind));
    expect(order).toEqual(["started", "ended", "lost"]);
    expect(died).toEqual([
      ["a", { code: "ENGINE_DEVICE_LOST", message: "gone", path: null, expected: null, found: null }],
    ]);
  });

  it("tells of a task that throws, as data", async () => {
    const { died, until } = start(["a"], { dataDir: "throw" });
    await until(() => died.length > 0);
    expect(died).toMatchObject([["a", { code: "INTERNAL", message: "thrown in the thread" }]]);
  });

  it("closes when told to, without calling that a death", async () => {
    const { pool, messages, died, until } = start(["a"]);
    pool.command("a", { kind: "assign", job: job(0), from: null });
    await until(() => messages.length > 0);
    await pool.close();
    expect(died).toEqual([]);
  });
});
