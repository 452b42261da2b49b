/** The version of the installed program, from the package.json above this file (in the sources or in the build). */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConvsweepError } from "../proto/contract.js";

function versionIn(folder: string): string | null {
  let text: string;
  try {
    text = readFileSync(join(folder, "package.json"), "utf8");
  } catch {
    return null; // none here: look further up
  }
  const data = JSON.parse(text) as { readonly name?: unknown; readonly version?: unknown };
  return data.name === "convsweep" && typeof data.version === "string" ? data.version : null;
}

export function programVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const version = versionIn(folder);
    if (version !== null) return version;
    if (folder === dirname(folder)) throw new ConvsweepError("INTERNAL", "the program's package.json is missing");
  }
}
