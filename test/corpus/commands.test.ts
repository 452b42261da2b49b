/** Wrong command lines: one message on standard error, the right exit code, nothing on standard output. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { cliMain, smallSweep } from "../e2e/program.js";
import { commandLine, type Said } from "./command-line.js";
import { expectMessage, manifest } from "./manifest.js";

interface Row {
  readonly args: readonly string[];
  readonly exit: number;
  readonly message: string;
  /** What it had to say before it saw that something is wrong. */
  readonly stdout?: string;
  /** Against a store that a coordinator has used; else against none. */
  readonly store?: "used";
  /** Needs a process of its own. */
  readonly spawn?: true;
}

const rows = manifest<Row>("commands");
const folder = mkdtempSync(join(tmpdir(), "convsweep-commands-"));
const before = { cwd: process.cwd(), env: { ...process.env } };

beforeAll(() => {
  process.chdir(folder);
  Object.assign(process.env, {
    HOME: folder,
    XDG_DATA_HOME: folder,
    CONVSWEEP_DATA: join(folder, "empty"),
    NO_COLOR: "1",
  });
  mkdirSync("empty");
  writeFileSync("good.yaml", smallSweep());
  writeFileSync("mnist.yaml", smallSweep({ dataset: "mnist" }));
  writeFileSync("large.yaml", `# ${"x".repeat(1 << 20)}`);
  writeFileSync("brackets.yaml", "[".repeat(20_000));
  writeFileSync("spaces.yaml", " ".repeat(200_000));
  writeFileSync("empty.token", "", { mode: 0o600 });
  writeFileSync("good.token", `cvs_worker_${"A".repeat(43)}\n`, { mode: 0o600 });
  openSqliteStore(join(folder, "used"), { create: true }).close();
});

afterAll(() => {
  process.chdir(before.cwd);
  process.env = before.env;
  rmSync(folder, { recursive: true, force: true });
});

function spawned(args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cliMain, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name].setEncoding("utf8").on("data", (text: string) => {
        said[name] += text;
      });
    child.once("close", (code) => resolve({ exit: code ?? -1, ...said }));
  });
}

function check({ exit, message, stdout = "" }: Row, said: Said): void {
  const text = said.stderr
    .replace(/^convsweep: /, "")
    .trimEnd()
    .replaceAll(folder, "DIR");
  expectMessage(text, message);
  expect(said.exit).toBe(exit);
  expectMessage(said.stdout, stdout);
}

const named = (row: Row): [string, Row] => [row.args.join(" ") || "nothing", row];

describe("wrong command lines", () => {
  it.each(rows.filter((row) => !row.spawn).map(named))("%s", async (_name, row) => {
    process.env["CONVSWEEP_STORE"] = join(folder, row.store ?? "none");
    check(row, await commandLine(row.args));
  });

  it.concurrent.each(rows.filter((row) => row.spawn).map(named))("%s, as a process", async (_name, row) => {
    process.env["CONVSWEEP_STORE"] = join(folder, "none");
    check(row, await spawned(row.args));
  });

  it("say the same as one JSON object with --json", async () => {
    const said = await commandLine(["trial", "show", "x", "--json"]);
    expect(said.exit).toBe(2);
    expect(JSON.parse(said.stderr)).toMatchObject({
      error: { code: "BAD_INPUT", expected: "SWEEP/NUMBER", found: "x" },
    });
  });
});
