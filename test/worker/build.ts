/** Tests that run the built worker need the build; without it they fail rather than hide. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Throws unless every path, relative to the repository's root, is there. */
export function requireBuilt(...paths: readonly string[]): void {
  for (const path of paths) {
    const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
    if (!existsSync(file)) throw new Error(`${path} is not built: run \`npm run build\` first`);
  }
}
