/**
 * Whether a folder lies on a disk of this machine. Over NFS and SMB neither locks nor fsync keep what SQLite needs.
 */
import { statfsSync } from "node:fs";
import { ConvsweepError } from "../../proto/contract.js";

const OF_THE_NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff53_4d42, "CIFS"],
  [0xfe53_4d42, "SMB 2"],
]);

/** `type` as statfs(2) says; `null` for a disk of this machine. */
export function networkFileSystem(type: number): string | null {
  return OF_THE_NETWORK.get(type) ?? null;
}

/** Throws FORBIDDEN for a folder on a network file system, unless CONVSWEEP_NETWORK_DISK says `accept`. */
export function demandLocalDisk(dir: string, typeOf: (dir: string) => number = (at) => statfsSync(at).type): void {
  const kind = networkFileSystem(typeOf(dir));
  if (kind === null || process.env["CONVSWEEP_NETWORK_DISK"] === "accept") return;
  throw new ConvsweepError(
    "FORBIDDEN",
    `${dir} lies on ${kind}: what is written there may be lost although it was said to be safe. Name a folder on a disk ` +
      "of this machine with --store, or accept the risk with CONVSWEEP_NETWORK_DISK=accept",
    { path: dir, expected: "a disk of this machine", found: kind },
  );
}
