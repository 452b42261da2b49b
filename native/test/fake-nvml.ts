/** Compiles fake_nvml.c to a shared object, with the faults that a test wants. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The one that compiled the engine. */
const compiler = process.env["CXX"] ?? "c++";
const source = fileURLToPath(new URL("./fake_nvml.c", import.meta.url));

/** The device that it knows. */
export const FAKE_BUS = "0000:65:00.0";

/** Compiles into `folder`; one file a set of `defines` (`POWER=3`, `NO_POWER`, ...), which fake_nvml.c explains. */
export function compileFakeNvml(folder: string, defines: readonly string[] = []): string {
  const file = join(folder, `libfake-nvml-${defines.join("-") || "whole"}.so`);
  execFileSync(compiler, [
    "-x",
    "c",
    "-shared",
    "-fPIC",
    "-Wall",
    "-Werror",
    ...defines.map((name) => `-D${name}`),
    source,
    "-o",
    file,
  ]);
  return file;
}
