/** Generates the protocol's TypeScript anew into a temporary folder and compares it with what is checked in. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const fresh = mkdtempSync(join(tmpdir(), "convsweep-gen-"));
try {
  const result = spawnSync(join(root, "node_modules/.bin/buf"), ["generate", "--output", fresh], {
    cwd: join(root, "proto"),
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`buf generate failed: ${result.stderr}`);
  const folder = "gen/convsweep/v1";
  const stale = readdirSync(join(fresh, folder)).filter(
    (name) =>
      readFileSync(join(fresh, folder, name), "utf8") !== readFileSync(join(root, "proto", folder, name), "utf8"),
  );
  if (stale.length > 0) throw new Error(`stale: ${stale.join(", ")}; run \`npm run gen\``);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
