/**
 * Backups by themselves: one an hour while something was recorded, the newest 24 kept.
 *
 * Guarantees: a failed backup changes nothing but a line in the log; none begins while another runs, or when the disk has
 * no room for twice its size. Not here: how a copy is made (store/backup.ts).
 */
import { statfsSync, statSync } from "node:fs";
import { millis, toConvsweepError } from "../../proto/contract.js";
import { newBackupPath, pruneBackups } from "../store/backups.js";
import type { Store } from "../store/store.js";
import type { Clock } from "./clock.js";
import type { Log } from "./log.js";

export const BACKUP_MILLIS = 3_600_000;
const KEPT = 24;

export interface BackupTimer {
  /** Waits for one that is under way. */
  close(): Promise<void>;
}

export function startBackups(dir: string, store: Store, clock: Clock, log: Log): BackupTimer {
  let copied = store.position().commit;
  let running: Promise<void> = Promise.resolve();
  let cancel: () => void = () => {};
  let closed = false;

  async function backUp(): Promise<void> {
    const { commit } = store.position();
    if (commit === copied) return;
    const { bavail, bsize } = statfsSync(dir);
    const { size } = statSync(store.info().path);
    if (bavail * bsize < 2 * size) {
      log("warn", "backup-trouble", "no room on the disk for a backup", { bytes: size, free: bavail * bsize });
      return;
    }
    await store.backup(newBackupPath(dir, new Date(clock.now())));
    copied = commit;
    pruneBackups(dir, KEPT);
  }

  function arm(): void {
    cancel = clock.schedule(millis(clock.now() + BACKUP_MILLIS), () => {
      running = backUp()
        .catch((thrown: unknown) => log("warn", "backup-trouble", `no backup: ${toConvsweepError(thrown).message}`))
        .finally(() => {
          if (!closed) arm();
        });
    });
  }

  arm();
  return {
    async close() {
      closed = true;
      cancel();
      await running;
    },
  };
}
