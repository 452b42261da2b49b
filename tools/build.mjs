/**
 * Builds everything `npm start` needs: engine, TypeScript, page. Incremental: a second run takes seconds.
 *
 * `--tests` also type-checks the tests; `--quiet` prints only what goes wrong. A failing step ends the build with its
 * output and exit code 1.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const flags = new Set(process.argv.slice(2));
const quiet = flags.has("--quiet");

/** Newest modification under a folder, milliseconds; 0 where there is nothing. */
function newest(path) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), stat.mtimeMs);
}

function step(name, command, args, options = {}) {
  const started = Date.now();
  if (!quiet && options.live) process.stdout.write(`${name}\n`);
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: options.live && !quiet ? "inherit" : "pipe",
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ""}${result.stderr ?? ""}\n`);
    process.stderr.write(`build: ${name} failed${result.error ? `: ${result.error.message}` : ""}\n`);
    process.exit(1);
  }
  if (!quiet) process.stdout.write(`${name}: ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

const bin = (name) => join(root, "node_modules", ".bin", name);

step("engine", process.execPath, ["native/build.mjs"], { live: true });
step("typescript", bin("tsc"), ["-b", ...(flags.has("--tests") ? ["."] : ["coordinator", "worker"])]);

mkdirSync(join(root, "dist/coordinator/store/migrations"), { recursive: true });
cpSync(join(root, "coordinator/store/migrations"), join(root, "dist/coordinator/store/migrations"), {
  recursive: true,
});

const page = join(root, "dist/dashboard");
const inputs = Math.max(
  newest(join(root, "dashboard")),
  newest(join(root, "proto")),
  newest(join(root, "package-lock.json")),
);
if (newest(join(page, "index.html")) < inputs) {
  step("page", bin("vite"), ["build", "--config", "dashboard/vite.config.ts", "--logLevel", "warn"]);
}
