/** Small file systems in memory, to be filled up. They need root. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { Playground } from "../e2e/program.js";

const mount = (...args: readonly string[]): boolean => spawnSync("mount", args, { stdio: "ignore" }).status === 0;

/** Why no file system can be mounted here, or `null` if one can. */
export function whyNoMounts(): string | null {
  if (process.getuid?.() !== 0) return "not root";
  const probe = new Playground();
  const works = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", probe.folder);
  if (works) unmount(probe.folder);
  rmSync(probe.folder, { recursive: true, force: true });
  return works ? null : "no tmpfs can be mounted here";
}

export function mountSmall(folder: string, kibibytes: number): void {
  if (!mount("-t", "tmpfs", "-o", `size=${kibibytes}k,mode=700`, "tmpfs", folder)) throw new Error(`mount ${folder}`);
}

export function resize(folder: string, kibibytes: number): void {
  if (!mount("-o", `remount,size=${kibibytes}k`, folder)) throw new Error(`remount ${folder}`);
}

/** Lazily: it is gone from the tree at once, and for good when the last process has let go of it. */
export function unmount(folder: string): void {
  spawnSync("umount", ["-l", folder], { stdio: "ignore" });
}

/** Writes `path` until the file system has only `left` bytes, or nothing, free. */
export function fill(path: string, left = 0): void {
  const file = openSync(path, "w");
  const block = Buffer.alloc(4096);
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(path);
      if (left > 0 && bavail * bsize <= left) return;
      writeSync(file, block);
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOSPC") throw thrown;
  } finally {
    closeSync(file);
  }
}
