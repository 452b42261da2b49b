/**
 * The coordinator as people run it: compose.ts with the real parts.
 */
import { PROGRAM_VERSION } from "../../proto/contract.js";
import { runQuery } from "../store/query.js";
import { openSqliteStoreBeside } from "../store/sqlite.js";
import { systemClock } from "./clock.js";
import { openCompilePool } from "./compile-pool.js";
import { type CoordinatorOptions, type RunningCoordinator, startWith } from "./compose.js";
import { checkFloors } from "./floors.js";
import { silentLog } from "./log.js";
import { defaultDashboardDir } from "./static-files.js";

export type { CoordinatorOptions, RunningCoordinator } from "./compose.js";

export async function startCoordinator(options: CoordinatorOptions): Promise<RunningCoordinator> {
  checkFloors();
  return await startWith(options, {
    openStore: (dir, acceptRollback) => openSqliteStoreBeside(dir, { create: true, acceptRollback, ballast: true }),
    openCompiler: openCompilePool,
    runQuery,
    clock: systemClock(),
    version: PROGRAM_VERSION,
    dashboardDir: defaultDashboardDir(),
    log: options.log ?? silentLog,
    // `exit` would wait for the thread that waits for the disk.
    abort: () => process.kill(process.pid, "SIGKILL"),
  });
}
