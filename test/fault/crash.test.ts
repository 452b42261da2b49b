/** A fault of the program's own that nobody catches: it is said with its place, exit code 70, and the next start goes on. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Playground, type Running, smallSweep, workerMain } from "../e2e/program.js";

const playground = new Playground();
beforeAll(() => Playground.requireBuild());
afterAll(() => playground.close());

/** Preloaded into the real programs: at one signal a callback throws, at another a promise that nobody waits for fails. */
const PLANTED = `
  process.on("SIGUSR2", () => { throw new Error("a planted fault"); });
  process.on("SIGHUP", () => { void Promise.reject(new Error("a planted promise")); });
`;
const preload = `--import=data:text/javascript,${encodeURIComponent(PLANTED)}`;

const startUp = async (...flags: string[]): Promise<{ up: Running; grpc: string }> => {
  const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json", ...flags);
  return { up, grpc: String((await up.line((line) => line["event"] === "up"))["grpc"]) };
};

it("of the coordinator and of a worker", async () => {
  playground.variables["NODE_OPTIONS"] = preload;
  const { up, grpc } = await startUp("--log-level", "info");
  const file = playground.file("s.yaml", smallSweep({ run_cap: 2 }));
  expect((await playground.run("run", file, "--detach")).code).toBe(0);
  const worker = playground.startCommand(
    ...([process.execPath, workerMain, "join", "--coordinator", grpc] as const),
    ...["--token-file", join(playground.store, "worker.token"), "--name", "w"],
  );
  await playground.until("SELECT state FROM sweeps", ([sweep]) => sweep?.["state"] === "completed");

  const dead = await worker.kill("SIGUSR2");
  expect(dead.code).toBe(70);
  const last = dead.stderr.trimEnd().split("\n").at(-1) ?? "";
  expect(JSON.parse(last)).toMatchObject({ level: "error", event: "crashed", msg: "a planted fault" });
  expect(last).toContain("    at ");

  const { code, stderr } = await up.kill("SIGHUP");
  expect(code).toBe(70);
  expect(JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({
    event: "crashed",
    msg: "a planted promise",
    stack: expect.stringContaining("    at "),
  });

  // In words where there is no structured log. What was on record is.
  const { up: again } = await startUp();
  expect(await playground.query("SELECT state, count(*) AS n FROM trials GROUP BY state")).toEqual([
    { state: "completed", n: 2 },
  ]);
  const spoken = await again.kill("SIGUSR2");
  expect(spoken.code).toBe(70);
  expect(spoken.stderr).toMatch(/^convsweep: Error: a planted fault\n {4}at /m);
});
