/**
 * coordinator.json in the store directory: where the coordinator that runs on it listens.
 *
 * Guarantees: whole or absent; readable by its owner alone; removed at the end by the process that wrote it. It can be
 * left behind by a coordinator that was killed: readers check that the process lives. Not here: keeping a second
 * coordinator out; the store's lock does that.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface CoordinatorFile {
  readonly pid: number;
  readonly grpc: string;
  readonly http: string | null;
  readonly version: string;
  /** Files that a client of this machine needs; `null` where there is no TLS, or no certificate is asked for. */
  readonly ca: string | null;
  readonly identity: string | null;
}

const fileIn = (storeDir: string): string => join(storeDir, "coordinator.json");

export function writeCoordinatorFile(storeDir: string, content: CoordinatorFile): void {
  const draft = `${fileIn(storeDir)}.${process.pid}.tmp`;
  writeFileSync(draft, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  renameSync(draft, fileIn(storeDir));
}

/** Leaves a file that speaks of another coordinator. */
export function removeCoordinatorFile(storeDir: string, grpc: string): void {
  try {
    const found = JSON.parse(readFileSync(fileIn(storeDir), "utf8")) as Partial<CoordinatorFile>;
    if (found.pid === process.pid && found.grpc === grpc) rmSync(fileIn(storeDir), { force: true });
  } catch (error) {
    // Gone already, not ours to understand, or on a disk that can only be read: it speaks of a process that is no more.
    if (error instanceof SyntaxError) return;
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "EROFS")) return;
    throw error;
  }
}
