/**
 * All tests, in one command: build, house checks, the engine's C++ tests, then vitest. The last line counts them all:
 * `N passed, N failed, N skipped`. Exit code 1 if anything failed.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runChecks } from "./check.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const total = { passed: 0, failed: 0, skipped: 0 };

function section(title) {
  process.stdout.write(`\n== ${title}\n`);
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
}

section("build");
if (run(process.execPath, ["tools/build.mjs", "--tests"]).status !== 0) {
  process.stdout.write("0 passed, 1 failed, 0 skipped\n");
  process.exit(1);
}

section("house");
const checks = runChecks();
total.passed += checks.passed;
total.failed += checks.failed;

section("engine (C++)");
const native = run(process.execPath, ["native/build.mjs", "--test"], {
  stdio: ["ignore", "pipe", "inherit"],
  encoding: "utf8",
});
process.stdout.write(native.stdout);
const cases = /test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed\s*\|\s*(\d+) skipped/g;
let suites = 0;
for (const match of native.stdout.matchAll(cases)) {
  suites += 1;
  total.passed += Number(match[2]);
  total.failed += Number(match[3]);
  total.skipped += Number(match[4]);
}
if (native.status !== 0 || suites === 0) total.failed += 1;

section("vitest");
const folder = mkdtempSync(join(tmpdir(), "convsweep-test-"));
try {
  const file = join(folder, "vitest.json");
  const status = run(join(root, "node_modules/.bin/vitest"), [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile=${file}`,
  ]).status;
  const report = JSON.parse(readFileSync(file, "utf8"));
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests + (status !== 0 && report.numFailedTests === 0 ? 1 : 0);
  total.skipped += report.numPendingTests + report.numTodoTests;
} catch (error) {
  process.stderr.write(`vitest left no report: ${error.message}\n`);
  total.failed += 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed > 0 ? 1 : 0;
