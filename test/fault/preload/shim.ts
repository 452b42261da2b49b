/** Builds shim.c, and the variables that preload it into a program. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const source = fileURLToPath(new URL("shim.c", import.meta.url));

/** Builds the library into `folder`; answers its path. */
export function buildShim(folder: string): string {
  const library = join(folder, "shim.so");
  const args = ["-x", "c", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl"];
  const { status, stderr } = spawnSync("g++", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`g++ ${args.join(" ")}: ${stderr}`);
  return library;
}

/** A wall clock that can be moved under running programs. */
export class MovableClock {
  readonly variables: Readonly<Record<string, string>>;
  readonly #file: number;

  constructor(path: string, library: string) {
    this.#file = openSync(path, "w", 0o600);
    this.variables = { LD_PRELOAD: library, SHIM_CLOCK_FILE: path };
    this.move(0, 0);
  }

  /** Adds `seconds`, and `drift` seconds more for each that has passed since the program began. */
  move(seconds: number, drift: number): void {
    writeSync(this.#file, new Uint8Array(new Float64Array([seconds, drift]).buffer), 0, 16, 0);
  }

  close(): void {
    closeSync(this.#file);
  }
}
