/** Bundles the simulator into one file (a second) and runs it: `node test/sim/run.mjs --schedules 100000 --jobs 2`. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("../..", import.meta.url));
const outDir = join(root, "dist/sim");

await build({
  root,
  configFile: false,
  logLevel: "error",
  build: {
    ssr: join(root, "test/sim/main.ts"),
    outDir,
    target: "node20",
    rollupOptions: { output: { entryFileNames: "main.mjs" } },
  },
});
const { status } = spawnSync(process.execPath, [join(outDir, "main.mjs"), ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exitCode = status ?? 1;
