/**
 * What keeps the house in order: format and lint, import directions, dead code, the protocol's lint and generated code.
 * Prints one line a check; exits 1 if one fails. Exports `runChecks` for tools/test.mjs.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules", ".bin", name);

const checks = [
  ["format and lint", bin("biome"), ["ci", "--colors=off", "--error-on-warnings", "."]],
  [
    "import directions",
    bin("depcruise"),
    ["--config", ".dependency-cruiser.cjs", "proto", "coordinator", "worker", "native", "dashboard/src", "test"],
  ],
  ["dead code", bin("knip"), []],
  ["protocol lint", bin("buf"), ["lint", "proto"]],
  ["protocol code is current", process.execPath, ["tools/check-generated.mjs"]],
];

/** Runs every check; returns how many passed and failed. */
export function runChecks() {
  let passed = 0;
  let failed = 0;
  for (const [name, command, args] of checks) {
    const result = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 64 << 20 });
    const ok = result.status === 0;
    if (ok) passed += 1;
    else failed += 1;
    process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name}\n`);
    if (!ok) process.stdout.write(`${result.stdout ?? ""}${result.stderr ?? ""}\n`);
  }
  return { passed, failed };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = runChecks().failed > 0 ? 1 : 0;
