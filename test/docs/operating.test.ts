/**
 * docs/operating.md does what it says: its `sh` examples run in order, in one shell, in an empty home, with ports that are
 * free. Nothing else of the page is taken: `text` examples are for reading.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cliMain, Playground, root } from "../e2e/program.js";

const home = mkdtempSync(join(tmpdir(), "convsweep-docs-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

function examples(page: string): readonly string[] {
  return [...readFileSync(join(root, page), "utf8").matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(
    ([, text]) => text ?? "",
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  return port;
}

/** Runs a script in a group of its own, which ends with it; answers what it wrote and its exit code. */
function bash(script: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const bin = join(home, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "convsweep"), `#!/bin/sh\nexec ${process.execPath} ${cliMain} "$@"\n`);
  chmodSync(join(bin, "convsweep"), 0o755);
  const env = { PATH: `${bin}:${process.env["PATH"]}`, HOME: home, NO_COLOR: "1", LANG: "C.UTF-8" };
  const child = spawn("bash", ["-euo", "pipefail", "-c", script], { cwd: home, env, detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const endGroup = (): void => {
    try {
      process.kill(-(child.pid ?? 0), "SIGKILL");
    } catch {
      // All of it has ended.
    }
  };
  const limit = setTimeout(endGroup, 200_000);
  return new Promise((resolve) => {
    child.once("exit", (code) => {
      clearTimeout(limit);
      endGroup();
      resolve({ code, output });
    });
  });
}

describe("docs/operating.md", () => {
  it("runs from start to move", async () => {
    Playground.requireBuild();
    const blocks = examples("docs/operating.md");
    expect(blocks.length).toBeGreaterThanOrEqual(8);
    const ports = [await freePort(), await freePort()] as const;
    // Job control, so that `kill %1` works as at a terminal; a line before each block says how far it came.
    const script = [
      "set -m",
      ...blocks.map((text, index) => `echo "== example ${index + 1}"\n${text}`),
      'echo "== end"',
    ]
      .join("\n")
      .replaceAll("7440", String(ports[0]))
      .replaceAll("7441", String(ports[1]));
    const { code, output } = await bash(script);
    expect(output, output).toContain("== end");
    expect(code).toBe(0);
    // What the page promises, seen in what was printed.
    expect(output).toMatch(/convsweep_reports_total 4\n/);
    expect(output).toMatch(/"event":"coordinator-up"/);
    expect(output).toMatch(/gpu1 +connected/);
    // The restored store and the moved one hold the first sweep; the moved one trained another.
    const end = output.slice(output.indexOf(`== example ${blocks.length}`));
    expect(end.match(/\bcompleted\b/g)?.length).toBeGreaterThanOrEqual(2);
  });
});
