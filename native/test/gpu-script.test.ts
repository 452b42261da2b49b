/** bench/gpu.sh where there is no GPU, and, with stand-ins for the programs that it calls, what it prints and writes. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const script = fileURLToPath(new URL("../bench/gpu.sh", import.meta.url));
let dir = "";

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "gpu-script-"));
  mkdirSync(join(dir, "bin"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function program(name: string, text: string): void {
  const file = join(dir, "bin", name);
  writeFileSync(file, `#!/usr/bin/env bash\n${text}\n`);
  chmodSync(file, 0o755);
}

/** A machine with a GPU, on which one of two cases passes. */
function machine(tests: string): void {
  program("nvidia-smi", 'echo "A \\"fast\\" GPU, 9.0, 580.1"');
  program("nvcc", 'echo "Cuda compilation tools, release 13.0, V13.0.88"');
  program("compute-sanitizer", 'while [ "$1" != "$BUILD/native_tests" ]; do shift; done; "$@"');
  program("cmake", `echo "$@" >>"$BUILD/asked"; cp "${join(dir, "tests")}" "$BUILD/native_tests"`);
  writeFileSync(join(dir, "tests"), `#!/usr/bin/env bash\n${tests}\n`, { mode: 0o755 });
}

function run() {
  const build = join(dir, "build");
  const { status, stdout, stderr } = spawnSync("bash", [script, build], {
    encoding: "utf8",
    env: { PATH: `${join(dir, "bin")}:/usr/bin:/bin`, BUILD: build },
  });
  return { status, stdout, stderr, build };
}

const LIST = 'if [ "$1" = --list-test-cases ]; then echo "gpu: layers, all"; echo "gpu: networks"; fi';

it("says that there is no GPU, and ends with 2", () => {
  program("nvidia-smi", "exit 9");
  expect(run()).toMatchObject({ status: 2, stderr: expect.stringContaining("no GPU here"), stdout: "" });
});

it("builds for the GPU that is there, runs its cases and the sanitizers, and writes what came of it", () => {
  machine(LIST);
  const { status, stdout, build } = run();
  expect(status).toBe(0);
  expect(readFileSync(join(build, "asked"), "utf8")).toContain("-DCONVSWEEP_CUDA_ARCHITECTURES=90");
  const written = JSON.parse(readFileSync(join(build, "gpu.json"), "utf8")) as {
    readonly results: readonly { readonly what: string; readonly status: string }[];
  };
  expect(written).toMatchObject({ gpu: 'A "fast" GPU', compute_capability: "9.0", driver: "580.1", cuda: "13.0" });
  const whats = ["build", "gpu: layers, all", "gpu: networks", "memcheck", "racecheck"];
  expect(written.results.map(({ what, status }) => [what, status])).toEqual(whats.map((what) => [what, "passed"]));
  for (const what of whats) expect(stdout).toContain(what);
});

it.each([
  ["fails", "exit 3", "failed"],
  ["was skipped", "echo SKIPPED: no device", "skipped"],
])("ends with 1 when a case %s", (_, does, word) => {
  machine(`${LIST}\ncase "$*" in *networks*) ${does};; esac`);
  const { status, stdout } = run();
  expect(status).toBe(1);
  expect(stdout).toMatch(new RegExp(`gpu: networks +${word}`));
  expect(stdout).toMatch(/gpu: layers, all +passed/);
});
