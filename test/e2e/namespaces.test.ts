/**
 * A coordinator and two workers as separate processes on separate hosts (network namespaces) share one sweep over mutual
 * TLS, and a stranger on one of them gets nothing.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FEED_PATH } from "../../coordinator/shell/http.js";
import { ROUTES } from "../../coordinator/shell/http-routes.js";
import { Network, namespacesUnavailable } from "./network.js";
import { cliMain, Playground, root, smallSweep, workerMain } from "./program.js";

const unavailable = namespacesUnavailable();
if (unavailable !== null) process.stderr.write(`SKIPPED test/e2e/namespaces.test.ts: ${unavailable}\n`);

describe.skipIf(unavailable !== null)("a coordinator and two workers on three hosts", () => {
  const playground = new Playground();
  let network: Network | null = null;
  beforeAll(() => {
    Playground.requireBuild();
    network = new Network();
  });
  afterAll(async () => {
    await playground.close();
    network?.close();
  });

  it("share one sweep, and every trial is recorded once", async () => {
    if (!network) throw new Error("no network");
    const on = (namespace: string, ...command: string[]) =>
      playground.startCommand("ip", "netns", "exec", namespace, process.execPath, ...command);

    const { hub } = network;
    const hosts = ["left", "right"].map((name) => ({ name, ...(network as Network).addHost() }));
    const names = hosts.flatMap(({ hubAddress }) => ["--host", hubAddress]);
    expect((await playground.run("certs", "init", ...names)).stderr).toBe("");
    const up = on(hub, cliMain, "up", "--listen", "0.0.0.0:7440", "--page", "0.0.0.0:7441", "--json");
    await up.line((line) => line["event"] === "up");
    for (const { name, namespace, hubAddress } of hosts) {
      const identity = join(playground.folder, `${name}.pem`);
      expect((await playground.run("certs", "issue", name, "--out", identity)).code).toBe(0);
      on(
        namespace,
        workerMain,
        "join",
        "--coordinator",
        `${hubAddress}:7440`,
        "--identity",
        identity,
        "--name",
        name,
        "--lanes",
        "2",
        "--threads",
        "1",
      );
    }
    const file = playground.file("shared.yaml", smallSweep({ run_cap: 12, epochs: 3 }));
    const run = on(network.hub, cliMain, "run", file, "--json");
    const { code, stderr } = await run.finished;
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(run.lines.at(-1)).toMatchObject({ event: "summary", completed: 12, failed: 0, lost: 0 });

    const byWorker = await playground.query("SELECT worker, count(*) AS n FROM trials GROUP BY worker ORDER BY worker");
    expect(byWorker.map((row) => row["worker"])).toEqual(["left", "right"]);
    const [reports] = await playground.query(
      "SELECT count(*) AS n, count(DISTINCT trial || '/' || epoch) AS d FROM reports WHERE metric = 'val_accuracy'",
    );
    expect(reports).toEqual({ n: 36, d: 36 });

    // A stranger on the second host, who has everything but what opens the door.
    const [{ namespace, hubAddress }] = hosts as [(typeof hosts)[0]];
    const token = ["--token-file", join(playground.store, "admin.token")];
    const foreign = new Playground();
    expect((await foreign.run("certs", "init")).code).toBe(0);
    expect((await foreign.run("certs", "issue", "thief", "--out", join(foreign.folder, "thief.pem"))).code).toBe(0);
    const tries: readonly (readonly [readonly string[], RegExp])[] = [
      [token, /without TLS anyone on the way could read the token/],
      [[...token, "--insecure-plaintext"], /speaks TLS/],
      [[...token, "--ca", join(playground.store, "certs", "ca.pem")], /asks for a client's certificate/],
      [[...token, "--identity", join(foreign.folder, "thief.pem")], /not signed by the authority/],
    ];
    const address = ["--coordinator", `${hubAddress}:7440`];
    for (const [credentials, words] of tries) {
      for (const verb of [
        ["run", file, "--detach"],
        ["query", "SELECT 1"],
        ["sweep", "cancel", "1"],
      ]) {
        const shut = await playground.startCommand(
          "ip",
          ...["netns", "exec", namespace, "env", "CONVSWEEP_INSECURE_PLAINTEXT=1"],
          ...[process.execPath, cliMain, ...verb, ...address, ...credentials],
        ).finished;
        expect(shut.code, shut.stdout).toBeGreaterThan(0);
        expect(shut.stderr).toMatch(words);
      }
    }
    // It joins as no worker either,
    const join77 = ["join", ...address, "--identity", join(foreign.folder, "thief.pem"), "--name", "thief"];
    const thief = await on(namespace, workerMain, ...join77).finished;
    expect(thief.code).toBe(77);
    expect(thief.stderr).toMatch(/not signed by the authority/);
    // and gets nothing of the page: no route, no socket.
    const asked = ROUTES.map(({ example, policy }) => [policy === "own" ? "POST" : "GET", example] as const);
    const upgrades = [FEED_PATH, `${FEED_PATH}?ticket=x`].map((path) => ["WEBSOCKET", path] as const);
    const all = [...asked, ...upgrades];
    const page = `https://${hubAddress}:7441`;
    const answers = on(namespace, join(root, "test/e2e/stranger.mjs"), page, JSON.stringify(all));
    const { statuses } = (await answers.line(() => true)) as { readonly statuses?: readonly unknown[] };
    expect(all.map(([method, path], n) => [method, path, statuses?.[n]])).toEqual(
      all.map(([method, path]) => [method, path, path === "/healthz" ? 200 : 401]),
    );
    await foreign.close();
    expect(await playground.query("SELECT id FROM workers ORDER BY id")).toEqual([{ id: "left" }, { id: "right" }]);
    expect(await playground.query("SELECT count(*) AS n FROM sweeps")).toEqual([{ n: 1 }]);
  });
});
