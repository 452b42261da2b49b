/**
 * C9, C10: a coordinator whose name gets another address, and machines that speak IPv6 alone. Real processes in network
 * namespaces; needs root.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Network, namespacesUnavailable } from "../e2e/network.js";
import { cliMain, Playground, smallSweep, workerMain } from "../e2e/program.js";

const unavailable = namespacesUnavailable();
if (unavailable !== null) process.stderr.write(`SKIPPED in test/fault/addresses.test.ts: ${unavailable}\n`);

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

describe.skipIf(unavailable !== null)("addresses", () => {
  let playground = new Playground();
  let network = null as unknown as Network;
  let names: string | null = null;
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    await playground.close();
    network.close();
    if (names !== null) rmSync(names, { recursive: true });
    names = null;
    playground = new Playground();
  });

  const within = (namespace: string, ...command: string[]) =>
    playground.startCommand("ip", "netns", "exec", namespace, process.execPath, ...command);
  const ended = "SELECT state FROM sweeps WHERE state <> 'running'";

  it("C10: where there is IPv6 alone a sweep runs over it", async () => {
    network = new Network();
    ip("-n", network.hub, "addr", "del", "127.0.0.1/8", "dev", "lo");
    const up = within(
      network.hub,
      cliMain,
      "up",
      "--listen",
      "[::1]:0",
      "--page",
      "[::1]:0",
      "--workers",
      "1",
      "--json",
    );
    const ready = await up.line((line) => line["event"] === "up");
    expect(ready["grpc"]).toMatch(/^\[::1\]:\d+$/);
    expect(ready["page"]).toMatch(/^http:\/\/\[::1\]:\d+\//);
    const token = ["--token-file", join(playground.store, "worker.token")];
    within(network.hub, workerMain, "join", "--coordinator", String(ready["grpc"]), ...token, "--name", "by-hand");
    const run = within(network.hub, cliMain, "run", playground.file("s.yaml", smallSweep({ run_cap: 6 })), "--json");
    expect((await run.ended()).code).toBe(0);
    expect(playground.record("SELECT state, count(*) AS n FROM trials GROUP BY 1")).toEqual([
      { state: "completed", n: 6 },
    ]);
    await playground.until("SELECT count(*) AS n FROM workers", ([row]) => row?.["n"] === 2);
  });

  it("C9: when the coordinator's name gets another address workers go there, and its certificate is still asked for", async () => {
    network = new Network();
    const { namespace, hubAddress, hubLink } = network.addHost();
    const moved = hubAddress.replace(/1$/, "9");
    names = join("/etc/netns", namespace);
    mkdirSync(names, { recursive: true });
    // Written in place: `ip netns exec` mounts this very file over /etc/hosts.
    const resolve = (address: string): void =>
      writeFileSync(join(names ?? "", "hosts"), `${address} coordinator.test\n`);
    resolve(hubAddress);
    expect((await playground.run("certs", "init", "--host", "coordinator.test")).code).toBe(0);
    const identity = join(playground.folder, "far.pem");
    expect((await playground.run("certs", "issue", "far", "--out", identity)).code).toBe(0);
    const up = within(network.hub, cliMain, "up", "--listen", "0.0.0.0:7440", "--json");
    await up.line((line) => line["event"] === "up");
    const worker = within(
      ...([namespace, workerMain, "join", "--coordinator", "coordinator.test:7440", "--identity", identity] as const),
      ...["--name", "far", "--lanes", "1", "--threads", "1"],
    );
    const sweep = playground.file("s.yaml", smallSweep({ network: "digits", epochs: 100_000, run_cap: 1 }));
    expect((await within(network.hub, cliMain, "run", sweep, "--detach").ended()).code).toBe(0);
    const epochs = "SELECT sum(epochs) AS n FROM attempts";
    await playground.until(epochs, ([row]) => Number(row?.["n"]) > 1);

    ip("-n", network.hub, "addr", "del", `${hubAddress}/24`, "dev", hubLink);
    ip("-n", network.hub, "addr", "add", `${moved}/24`, "dev", hubLink);
    resolve(moved);
    await playground.until("SELECT 1", () => /no link to the coordinator/.test(worker.errors));
    const [before] = playground.record(epochs);
    await playground.until(epochs, ([row]) => Number(row?.["n"]) > Number(before?.["n"]) + 2);
    expect(worker.child.exitCode).toBeNull();
    expect((await within(network.hub, cliMain, "sweep", "cancel", "1").ended()).code).toBe(0);
    await playground.until(ended, (rows) => rows.length === 1);
  });
});
