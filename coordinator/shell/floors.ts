/**
 * The oldest versions of what we stand on that are not known to lose or leak anything.
 *
 * Guarantees: asked of what is really loaded, not of package.json; an older one stops the start and is named. SQLite before
 * 3.51.3 corrupts a WAL with a reader beside the writer; grpc-js before 1.14.4 can be crashed by strangers
 * (CVE-2026-48068, -48069); ws before 8.21.1 can be made to eat memory (CVE-2026-62389). Not here: newest versions.
 */
import { createRequire } from "node:module";
import Database from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";

const FLOORS = { sqlite: "3.51.3", "@grpc/grpc-js": "1.14.4", ws: "8.21.1", node: "20.19.0" } as const;

export type Versions = Readonly<Record<keyof typeof FLOORS, string>>;

export function loadedVersions(): Versions {
  const db = new Database(":memory:");
  const sqlite = db.prepare<[], string>("SELECT sqlite_version()").pluck().get() ?? "0";
  db.close();
  return { sqlite, "@grpc/grpc-js": versionOf("@grpc/grpc-js"), ws: versionOf("ws"), node: process.versions.node };
}

export function checkFloors(versions: Versions = loadedVersions()): void {
  for (const [name, floor] of Object.entries(FLOORS)) {
    const found = versions[name as keyof Versions];
    if (!isOlder(found, floor)) continue;
    throw new ConvsweepError("UNAVAILABLE", `${name} ${found} is not safe to use: \`npm ci\` installs a newer one`, {
      path: name,
      expected: `${floor} or newer`,
      found,
    });
  }
}

function versionOf(name: string): string {
  const { version } = createRequire(import.meta.url)(`${name}/package.json`) as { readonly version: string };
  return version;
}

function isOlder(version: string, floor: string): boolean {
  const [a, b] = [version, floor].map((text) => text.split(/[.-]/).slice(0, 3).map(Number));
  for (let at = 0; at < 3; at += 1) {
    const difference = (a?.[at] ?? 0) - (b?.[at] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
