/** E13: files of secrets and stores of another user of the machine. Real processes of other users; needs root. */
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cliMain, Playground, workerMain } from "../e2e/program.js";

const playground = new Playground();
afterAll(() => playground.close());

/** Who starts the programs, and whose files they find; neither needs an account. */
const ME = 65_534;
const OTHER = 65_533;

const asMe = (main: string, ...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    ...(process.getuid?.() === 0 ? { uid: ME, gid: ME } : {}),
    env: { PATH: process.env["PATH"], HOME: playground.folder, NO_COLOR: "1" },
    encoding: "utf8",
  });

function unavailable(): string | null {
  if (process.getuid?.() !== 0) return "not root";
  chmodSync(playground.folder, 0o755);
  const { status, stderr } = asMe(cliMain, "--version");
  return status === 0 ? null : `another user cannot start the program: ${stderr.trim().split("\n")[0]}`;
}

const why = unavailable();
if (why !== null) process.stderr.write(`SKIP test/fault/other-user.test.ts: ${why}\n`);

describe.skipIf(why !== null)("E13: another user's", () => {
  it("token is not used, whatever its mode", () => {
    const file = playground.file("worker.token", `cvs_worker_${"A".repeat(43)}\n`);
    chownSync(file, OTHER, OTHER);
    chmodSync(file, 0o604);
    const joining = ["join", "--coordinator", "127.0.0.1:1", "--token-file", file];
    const foreign = asMe(workerMain, ...joining);
    expect(foreign.stderr).toMatch(/worker\.token belongs to another user/);
    expect(foreign.status).not.toBe(0);
    // One's own, that others can read.
    chownSync(file, ME, ME);
    expect(asMe(workerMain, ...joining).stderr).toMatch(/others can read .*worker\.token; .* `chmod 600 /);
  });

  it("store is not opened, and nothing is written into it", () => {
    const store = join(playground.folder, "theirs");
    mkdirSync(store);
    chownSync(store, OTHER, OTHER);
    chmodSync(store, 0o755);
    const { status, stderr } = asMe(
      cliMain,
      "up",
      "--store",
      store,
      "--listen",
      "127.0.0.1:0",
      "--page",
      "127.0.0.1:0",
    );
    expect(stderr).toMatch(/the store .*theirs belongs to another user/);
    expect(status).toBe(2);
  });
});
