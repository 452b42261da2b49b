/**
 * Builds the engine: native/build/engine.node, and with `--test` also builds and runs the C++ tests.
 *
 * Guarantees: incremental (nothing to do takes a fraction of a second); only one build at a time a tree; the
 * addon appears whole or not at all. Needs a C++20 compiler, cmake >= 3.25 and make or ninja; no network.
 *
 *   node native/build.mjs [--test [doctest arguments]] [--bench] [--emulated] [--clean] [--quiet]
 *
 * --emulated   also build/engine-emulated.node, for tests: with two emulated devices
 *
 * CONVSWEEP_CUDA=auto|on|off   compile CUDA in when nvcc is there (auto), always, never
 * CONVSWEEP_SANITIZE=LIST      with --test: a build of its own with -fsanitize=LIST, e.g. address,undefined (the CUDA kernels on
 *                              their emulator run under sanitizers without it too)
 * CONVSWEEP_JOBS=N             compile N files at once; as many as there are cores by default
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const require = createRequire(import.meta.url);
const args = process.argv.slice(2);
const testAt = args.indexOf("--test");
const testing = testAt >= 0;
const flags = new Set(testing ? args.slice(0, testAt) : args);
const quiet = flags.has("--quiet");
const sanitize = testing ? (process.env.CONVSWEEP_SANITIZE ?? "") : "";
const cuda = process.env.CONVSWEEP_CUDA ?? "auto";
const output = join(here, "build");
const tree = join(output, sanitize ? `cmake-${sanitize.replaceAll(",", "-")}` : "cmake");

function say(line) {
  if (!quiet) process.stdout.write(`${line}\n`);
}

function fail(message) {
  process.stderr.write(`engine: ${message}\n`);
  process.exit(1);
}

function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), stat.mtimeMs);
}

/** Waits for another build of this tree; a lock whose process is gone is taken over. Answers how to let go of it. */
function lock() {
  const file = `${tree}.lock`;
  mkdirSync(output, { recursive: true });
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const owner = Number(existsSync(file) ? readFileSync(file, "utf8") : 0);
      if (owner > 0 && !alive(owner)) rmSync(file, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
  let held = true;
  const release = () => {
    if (held) rmSync(file, { force: true });
    held = false;
  };
  process.on("exit", release);
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
  return release;
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Runs a build step and shows its progress on one line; its output only when it fails. */
function run(what, command, commandArgs) {
  return new Promise((resolve) => {
    const child = spawn(command, commandArgs, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    const live = !quiet && process.stdout.isTTY === true;
    const read = (chunk) => {
      text += chunk;
      const steps = live ? String(chunk).match(/\[\s*(\d+%|\d+\/\d+)\]/g) : null;
      if (steps) process.stdout.write(`\rengine: ${what} ${steps.at(-1).slice(1, -1).trim()}   `);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", (error) =>
      fail(`cannot run ${command}: ${error.message}; install a C++20 compiler, cmake and make`),
    );
    child.on("close", (code) => {
      if (live) process.stdout.write("\r\u001b[K");
      if (code !== 0) {
        process.stderr.write(text);
        fail(`${what} failed; the compiler's words stand above`);
      }
      resolve(text);
    });
  });
}

async function configure() {
  const definitions = {
    CMAKE_BUILD_TYPE: sanitize ? "RelWithDebInfo" : "Release",
    CONVSWEEP_ADDON: sanitize ? "OFF" : "ON",
    CONVSWEEP_TESTS: "ON",
    CONVSWEEP_BENCH: sanitize ? "OFF" : "ON",
    CONVSWEEP_CUDA: sanitize ? "off" : cuda,
    CONVSWEEP_SANITIZE: sanitize,
    CONVSWEEP_NODE_HEADERS: require("node-api-headers").include_dir,
    CONVSWEEP_NODE_ADDON_API: require("node-addon-api").include_dir,
  };
  const wanted = JSON.stringify(definitions);
  const stamp = join(tree, "configured.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  const ninja = spawnSync("ninja", ["--version"], { stdio: "ignore" }).status === 0;
  const generator = existsSync(join(tree, "CMakeCache.txt")) || !ninja ? [] : ["-G", "Ninja"];
  const text = await run("configuring", "cmake", [
    "-S",
    here,
    "-B",
    tree,
    ...generator,
    ...Object.entries(definitions).map(([key, value]) => `-D${key}=${value}`),
  ]);
  if (!sanitize) say(`engine: ${/convsweep: (CUDA .*)/.exec(text)?.[1] ?? "configured"}`);
  writeFileSync(stamp, wanted);
}

async function build(target) {
  const jobs = process.env.CONVSWEEP_JOBS ?? String(availableParallelism());
  await run(`building ${target}`, "cmake", ["--build", tree, "--target", target, "--parallel", jobs]);
}

async function main() {
  if (!["auto", "on", "off"].includes(cuda)) fail(`CONVSWEEP_CUDA: expected auto, on or off, found ${cuda}`);
  if (flags.has("--clean")) rmSync(output, { recursive: true, force: true });
  const done = join(output, ".built");
  const inputs = Math.max(...["src", "include", "CMakeLists.txt", "build.mjs"].map((name) => newest(join(here, name))));
  const same = existsSync(done) && readFileSync(done, "utf8") === cuda && existsSync(join(output, "engine.node"));
  if (!testing && !flags.has("--bench") && !flags.has("--emulated") && same && statSync(done).mtimeMs > inputs) return;
  const started = Date.now();
  const release = lock();
  await configure();
  if (!sanitize) {
    const before = newest(join(output, "engine.node"));
    await build("engine");
    writeFileSync(done, cuda);
    const changed = newest(join(output, "engine.node")) !== before;
    if (changed) say(`engine: built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  }
  if (flags.has("--bench")) await build("all");
  if (flags.has("--emulated")) await build("engine_emulated");
  if (!testing) return;
  // The CUDA kernels' cases also run under sanitizers, in a program of their own; a sanitized build is that already.
  const programs = sanitize ? ["native_tests"] : ["native_tests", "kernel_tests_sanitized"];
  for (const program of programs) await build(program);
  // For the end-to-end tests that follow.
  if (!sanitize) await build("engine_emulated");
  release();
  for (const program of programs) {
    const tests = spawnSync(join(tree, program), args.slice(testAt + 1), { stdio: "inherit", cwd: here });
    process.exitCode ||= tests.status ?? 1;
  }
}

await main();
