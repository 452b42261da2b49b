/** Where a module of this folder lies that runs in a process of its own. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** `name` without its ending. Beside this module once built; seen from the sources it is in dist/. */
export function childPath(name: string): string {
  const built = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  return existsSync(built) ? built : fileURLToPath(new URL(`../../dist/coordinator/store/${name}.js`, import.meta.url));
}
