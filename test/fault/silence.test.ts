/**
 * A4, B2, B3, C1, C2, C3: processes that stand still, and workers whose network fails, for less and for more than a
 * lease. Real processes; the network needs root.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { TIMES } from "../../proto/contract.js";
import { Network, namespacesUnavailable } from "../e2e/network.js";
import { cliMain, Playground, smallSweep, workerMain } from "../e2e/program.js";

const unavailable = namespacesUnavailable();
if (unavailable !== null) process.stderr.write(`SKIPPED in test/fault/silence.test.ts: ${unavailable}\n`);

/** Longer than any of these tests; the sweep is cancelled when enough was seen. */
const endless = (trials: number): string => smallSweep({ network: "digits", epochs: 100_000, run_cap: trials });

let playground = new Playground();
beforeAll(() => Playground.requireBuild());
afterEach(async () => {
  await playground.close();
  playground = new Playground();
});

const joining = (address: string, name: string, lanes: number): string[] => [
  ...[workerMain, "join", "--coordinator", address, "--token-file", join(playground.store, "worker.token")],
  ...["--name", name, "--lanes", String(lanes), "--threads", "1"],
];

const attempts = "SELECT id, trial, n, worker, state, epochs, cause FROM attempts ORDER BY id";
const epochsOf = (worker: string): number =>
  Number(playground.record(`SELECT sum(epochs) AS n FROM attempts WHERE worker = '${worker}'`)[0]?.["n"]);

/** Whatever happened: no report twice, at most one live attempt a trial, nothing recorded of an attempt after its end. */
function expectCleanRecord(): void {
  expect(
    playground.record("SELECT trial, attempt, epoch, metric FROM reports GROUP BY 2, 3, 4 HAVING count(*) > 1"),
  ).toEqual([]);
  expect(
    playground.record(
      "SELECT trial FROM attempts WHERE state IN ('offered', 'running') GROUP BY trial HAVING count(*) > 1",
    ),
  ).toEqual([]);
  expect(
    playground.record("SELECT r.attempt FROM reports r JOIN attempts a ON a.id = r.attempt WHERE r.at > a.ended_at"),
  ).toEqual([]);
}

describe("a process that stands still", () => {
  it("B2, B3: keeps its trial for less than a lease; for longer another has it, and the old token changes nothing", async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const address = String((await up.line((line) => line["event"] === "up"))["grpc"]);
    const first = playground.startCommand(process.execPath, ...joining(address, "first", 1));
    expect((await playground.run("run", playground.file("s.yaml", endless(1)), "--detach")).code).toBe(0);
    await playground.until(attempts, ([one]) => Number(one?.["epochs"]) > 1);

    // B3: three seconds.
    first.child.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const still = epochsOf("first");
    first.child.kill("SIGCONT");
    await playground.until(attempts, ([one]) => Number(one?.["epochs"]) > still + 2);
    expect(playground.record(attempts)).toHaveLength(1);

    // B2: until another trains it.
    playground.startCommand(process.execPath, ...joining(address, "second", 1));
    first.child.kill("SIGSTOP");
    await playground.until(attempts, (rows) => Number(rows[1]?.["epochs"]) > 1);
    const lost = playground.record(attempts)[0];
    expect(lost).toMatchObject({ id: "1/0#1", worker: "first", state: "lost" });
    first.child.kill("SIGCONT");
    await playground.until("SELECT 1 FROM events WHERE kind = 'worker-connected' AND worker = 'first'", (rows) => {
      return rows.length > 1 && /dropped/.test(first.errors);
    });
    const seen = epochsOf("second");
    await playground.until(attempts, () => epochsOf("second") > seen);
    expect(playground.record(attempts)[0]).toEqual(lost);
    expect(playground.record(attempts)).toHaveLength(2);
    expect((await playground.run("sweep", "cancel", "1")).code).toBe(0);
    await playground.until("SELECT state FROM sweeps", ([sweep]) => sweep?.["state"] === "cancelled");
    expectCleanRecord();
  });
});

describe("a worker alone that stands still", () => {
  it("B2b: for longer than a lease: nobody else could have its trial, so the attempt goes on", async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const address = String((await up.line((line) => line["event"] === "up"))["grpc"]);
    const worker = playground.startCommand(process.execPath, ...joining(address, "alone", 1));
    expect((await playground.run("run", playground.file("s.yaml", endless(1)), "--detach")).code).toBe(0);
    await playground.until(attempts, ([one]) => Number(one?.["epochs"]) > 1);
    worker.child.kill("SIGSTOP");
    await playground.until("SELECT 1 FROM events WHERE kind = 'lease-lapsed'", (rows) => rows.length === 1);
    const still = epochsOf("alone");
    worker.child.kill("SIGCONT");
    await playground.until(attempts, () => epochsOf("alone") > still + 2);
    expect(playground.record(attempts)).toMatchObject([{ id: "1/0#1", state: "running" }]);
    expect(playground.record("SELECT kind FROM events WHERE kind = 'lease-renewed'")).toHaveLength(1);
    expect((await playground.run("sweep", "cancel", "1")).code).toBe(0);
    await playground.until("SELECT state FROM sweeps", ([sweep]) => sweep?.["state"] === "cancelled");
    expectCleanRecord();
  });
});

describe("a coordinator that stands still", () => {
  it("A4: for longer than a lease: no lease has run out when it goes on", async () => {
    const up = playground.start("up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const address = String((await up.line((line) => line["event"] === "up"))["grpc"]);
    playground.startCommand(process.execPath, ...joining(address, "steady", 2));
    expect((await playground.run("run", playground.file("s.yaml", endless(2)), "--detach")).code).toBe(0);
    await playground.until(attempts, (rows) => rows.length === 2 && rows.every(({ epochs }) => Number(epochs) > 0));
    up.child.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, TIMES.lease + 1_000));
    const before = epochsOf("steady");
    up.child.kill("SIGCONT");
    // What was trained meanwhile comes, and a while later everything is as it was.
    await playground.until(attempts, () => epochsOf("steady") > before + 2);
    expect(playground.record(attempts).map(({ state }) => state)).toEqual(["running", "running"]);
    expect(playground.record("SELECT kind FROM events WHERE kind = 'attempt-lost'")).toEqual([]);
    expect((await playground.run("sweep", "cancel", "1")).code).toBe(0);
    await playground.until("SELECT state FROM sweeps", ([sweep]) => sweep?.["state"] === "cancelled");
    expectCleanRecord();
  });
});

describe.skipIf(unavailable !== null)("a network that fails", () => {
  let network: Network | null = null;
  afterEach(() => network?.close());

  it("C1, C2, C3: for less than a lease, for longer, and in one direction alone", async () => {
    network = new Network();
    const { hub } = network;
    const hosts = ["brief", "long", "deaf", "mute", "spare"].map((name) => ({
      name,
      ...(network as Network).addHost(),
    }));
    const names = hosts.flatMap(({ hubAddress }) => ["--host", hubAddress]);
    expect((await playground.run("certs", "init", ...names)).code).toBe(0);
    const onHub = (...args: string[]) =>
      playground.startCommand("ip", "netns", "exec", hub, process.execPath, cliMain, ...args);
    const up = onHub("up", "--listen", "0.0.0.0:7440", "--json");
    await up.line((line) => line["event"] === "up");
    const start = async ({ name, namespace, hubAddress }: (typeof hosts)[number], lanes: number) => {
      const identity = join(playground.folder, `${name}.pem`);
      expect((await playground.run("certs", "issue", name, "--out", identity)).code).toBe(0);
      return playground.startCommand(
        "ip",
        ...["netns", "exec", namespace, process.execPath, workerMain, "join", "--coordinator", `${hubAddress}:7440`],
        ...["--identity", identity, "--name", name, "--lanes", String(lanes), "--threads", "1"],
      );
    };
    const [brief, long, deaf, mute, spare] = hosts as [
      (typeof hosts)[0],
      (typeof hosts)[0],
      (typeof hosts)[0],
      (typeof hosts)[0],
      (typeof hosts)[0],
    ];
    const running = await Promise.all([brief, long, deaf, mute].map((host) => start(host, 1)));
    expect((await onHub("run", playground.file("s.yaml", endless(4)), "--detach").finished).code).toBe(0);
    await playground.until(attempts, (rows) => rows.length === 4 && rows.every(({ epochs }) => Number(epochs) > 0));
    await start(spare, 4);
    await playground.until("SELECT id FROM workers", (rows) => rows.length === 5);

    const ip = (...args: string[]): void => {
      const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
    };
    const down = ({ namespace, link }: { readonly namespace: string; readonly link: string }, state: string): void =>
      ip("-n", namespace, "link", "set", link, state);
    down(brief, "down");
    down(long, "down");
    ip("-n", hub, "route", "add", "blackhole", deaf.address);
    ip("-n", mute.namespace, "route", "add", "blackhole", mute.hubAddress);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const silent = epochsOf("brief");
    down(brief, "up");

    const of = (worker: string) => playground.record(`SELECT state, cause FROM attempts WHERE worker = '${worker}'`);
    const givenAway = (worker: string) =>
      playground.until(
        `SELECT b.id FROM attempts a JOIN attempts b ON b.trial = a.trial AND b.n = a.n + 1
         WHERE a.worker = '${worker}' AND a.n = 1 AND b.worker = 'spare' AND b.epochs > 1`,
        (rows) => rows.length > 0,
      );
    // C2 and C3: given away, whichever direction fails; trained elsewhere meanwhile.
    for (const { name } of [long, mute]) {
      await givenAway(name);
      expect(of(name)).toMatchObject([{ state: "lost" }]);
    }
    // What it says may get through for a while; what it hears does not, so it notices by itself.
    await playground.until("SELECT 1", () => /no link to the coordinator/.test(running[2]?.errors ?? ""));
    // C1: the same attempt, and what was trained meanwhile.
    await playground.until(attempts, () => epochsOf("brief") > silent + 2);
    expect(of("brief")).toMatchObject([{ state: "running" }]);

    down(long, "up");
    ip("-n", hub, "route", "del", "blackhole", deaf.address);
    ip("-n", mute.namespace, "route", "del", "blackhole", mute.hubAddress);
    for (const [index, { name }] of [brief, long, deaf, mute].entries()) {
      if (of(name)[0]?.["state"] !== "lost") continue;
      await playground.until("SELECT 1", () => /"dropped"/.test(running[index]?.errors ?? ""));
    }
    await playground.until("SELECT id FROM workers WHERE state = 'connected'", (rows) => rows.length === 5);
    // Every trial is trained by one worker, and goes on.
    const before = playground.record("SELECT trial, max(epochs) AS n FROM attempts GROUP BY trial");
    await playground.until(
      "SELECT trial, max(epochs) AS n FROM attempts WHERE state = 'running' GROUP BY trial",
      (rows) =>
        rows.length === 4 &&
        rows.every(({ trial, n }) => Number(n) !== Number(before.find((one) => one["trial"] === trial)?.["n"])),
    );
    expectCleanRecord();
  });
});
