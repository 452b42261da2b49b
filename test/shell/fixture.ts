/**
 * A coordinator for tests: real core, real sockets on 127.0.0.1, a store in memory or on disk, a clock that can be moved.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { SweepSpec } from "../../coordinator/core/types.js";
import { type AdminClient, openAdminClient } from "../../coordinator/shell/admin-client.js";
import { type Clock, systemClock } from "../../coordinator/shell/clock.js";
import {
  type CoordinatorOptions,
  type CoordinatorParts,
  type RunningCoordinator,
  startWith,
} from "../../coordinator/shell/compose.js";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { silentLog } from "../../coordinator/shell/log.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { ConvsweepError, type Millis, millis } from "../../proto/contract.js";

export const SPEC: SweepSpec = {
  name: "a sweep",
  description: "",
  space: [
    { name: "learning_rate", distribution: { kind: "log_uniform", min: 1e-5, max: 0.1, q: null, integer: false } },
  ],
  sampler: { name: "random", options: {} },
  scheduler: { name: "none", options: {} },
  objective: { name: "val_accuracy", goal: "maximize", target: null },
  seed: 7,
  runCap: 4,
  maxParallel: null,
  maxWallMillis: null,
  maxAttempts: 3,
  recipe: { version: 1, network: { name: "lenet" }, dataset: { name: "mnist" }, epochs: 3, batch_size: 100 },
  recipeDigest: "0".repeat(64),
  epochs: 3,
  structural: [],
  source: "name: a sweep\n",
};

export interface ManualClock extends Clock {
  /** Moves time, firing what falls due on the way, in order. */
  advance(by: number): void;
}

export function manualClock(start = 1_000_000): ManualClock {
  let now = millis(start);
  const timers = new Set<{ at: Millis; action: () => void }>();
  return {
    now: () => now,
    schedule(at, action) {
      const timer = { at, action };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance(by) {
      const end = now + by;
      for (;;) {
        const due = [...timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        timers.delete(due);
        now = millis(Math.max(now, due.at));
        due.action();
      }
      now = millis(end);
    },
  };
}

export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "convsweep-shell-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export interface Started {
  readonly coordinator: RunningCoordinator;
  readonly storeDir: string;
  readonly admin: AdminClient;
}

type Overrides = Partial<CoordinatorParts> & { readonly options?: Partial<CoordinatorOptions> };

/** `compile` takes the JSON of a SweepSpec for the file, so that a test says exactly what it submits. */
export async function start(overrides: Overrides = {}): Promise<Started> {
  const { options, ...parts } = overrides;
  const storeDir = options?.storeDir ?? scratch();
  const coordinator = await startWith(
    {
      grpc: { host: "127.0.0.1", port: 0 },
      http: { host: "127.0.0.1", port: 0 },
      insecurePlaintext: false,
      ...options,
      storeDir,
    },
    {
      openStore: () => openMemoryStore(),
      openCompiler: () => ({
        async compile(text) {
          if (!text.startsWith("{")) {
            throw new ConvsweepError("BAD_INPUT", "sweep.yaml:1:1: no sweep", {
              path: "sweep.yaml:1:1",
              expected: "{",
              found: text,
            });
          }
          return { spec: { ...SPEC, ...(JSON.parse(text) as Partial<SweepSpec>) }, warnings: ["a warning"] };
        },
        close: async () => {},
      }),
      runQuery: async () => ({ columns: ["one"], rows: [[1]], truncated: false }),
      clock: systemClock(),
      version: "1.2.3",
      dashboardDir: join(storeDir, "no-page"),
      log: silentLog,
      abort: () => {
        throw new Error("the coordinator under test ended itself");
      },
      ...parts,
    },
  );
  onTestFinished(() => coordinator.close());
  const admin = openAdminClient({ address: coordinator.grpcAddress, tokenFile: tokenFile(storeDir, "admin") });
  onTestFinished(() => admin.close());
  return { coordinator, storeDir, admin };
}

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<ConvsweepError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ConvsweepError) return error;
    throw error;
  }
  throw new Error("expected a rejection");
}
