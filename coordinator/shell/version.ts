/**
 * The version of the installed program, read from its package.json, found upwards from this file (source or build).
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConvsweepError } from "../../proto/contract.js";

function versionIn(file: string): string | null {
  try {
    const data: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof data !== "object" || data === null || !("name" in data) || data.name !== "convsweep") return null;
    return "version" in data && typeof data.version === "string" ? data.version : null;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

export function programVersion(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const version = versionIn(join(folder, "package.json"));
    if (version !== null) return version;
    const parent = dirname(folder);
    if (parent === folder) throw new ConvsweepError("INTERNAL", "the program's package.json is missing");
    folder = parent;
  }
}
