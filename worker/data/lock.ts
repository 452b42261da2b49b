/**
 * A lock file, so that two processes do not write one download.
 *
 * Guarantees: at most one live process of this machine holds a lock; the lock of a dead one is taken over.
 *
 * Does not wait, and does not reach over machines (the checksum at the end does).
 */
import { open, readFile, rm } from "node:fs/promises";
import { ConvsweepError } from "../../proto/contract.js";

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    await handle.writeFile(`${process.pid}\n`);
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Runs `work` while holding the lock file `path`. Throws CONFLICT when a live process has it. */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  if (!(await take(path))) {
    const pid = Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
    if (Number.isInteger(pid) && alive(pid)) {
      throw new ConvsweepError("CONFLICT", `process ${pid} is working on it already (${path})`, { path });
    }
    await rm(path, { force: true });
    if (!(await take(path))) throw new ConvsweepError("CONFLICT", `another process took ${path} first`, { path });
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}
