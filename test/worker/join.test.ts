/**
 * The worker program with the real engine against a coordinator of a few lines: joins, trains, loses the link, comes
 * back, gives back. Needs the build (dist/worker and the engine).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findNetwork } from "../../native/networks/index.js";
import { recipeFor } from "../../native/networks/recipe-for.js";
import type { Recipe } from "../../native/recipe.js";
import type { Assign, Ended, Hello, LinkRequest, LinkResponse, Report } from "../../proto/gen/convsweep/v1/worker.js";
import { LOG_EVENTS } from "../../worker/log-events.js";
import { requireBuilt } from "./build.js";
import { type LinkCall, type LinkServer, refuse, startLinkServer, welcomeMessage } from "./link-server.js";
import { unpacked } from "./unpacked.js";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const main = path("../../dist/worker/main.js");

const TRAIN = 400;
const TEST = 50;

/** A small set in MNIST's format: the class is where the bright bar stands. */
function writeDigits(folder: string): void {
  const idx = (dims: readonly number[], bytes: Uint8Array): Buffer => {
    const header = Buffer.alloc(4 + 4 * dims.length);
    header.writeUInt32BE(0x0800 + dims.length, 0);
    for (const [i, d] of dims.entries()) header.writeUInt32BE(d, 4 + 4 * i);
    return Buffer.concat([header, bytes]);
  };
  const files = { train: TRAIN, t10k: TEST };
  mkdirSync(folder, { recursive: true });
  for (const [name, count] of Object.entries(files)) {
    const labels = Uint8Array.from({ length: count }, (_, i) => (i * 7) % 10);
    const images = Uint8Array.from({ length: count * 784 }, (_, p) => {
      const image = Math.floor(p / 784);
      const column = p % 28;
      return Math.floor(column / 2.8) === labels[image] ? 200 + ((p * 31) % 50) : (p * 17) % 60;
    });
    writeFileSync(join(folder, `${name}-images-idx3-ubyte`), idx([count, 28, 28], images));
    writeFileSync(join(folder, `${name}-labels-idx1-ubyte`), idx([count], labels));
  }
}

function recipe(epochs: number): Recipe {
  const network = findNetwork("logit");
  if (!network) throw new Error("no logit");
  const dataset = {
    name: "mnist",
    shape: [1, 28, 28],
    classes: 10,
    validation: 100,
    train_images: TRAIN,
    test_images: TEST,
    seed: null,
  } as const;
  return recipeFor(network, dataset, { epochs, batch_size: 20, test_at_end: true });
}

const assign = (n: number, over: Partial<Assign> & { readonly epochs?: number } = {}): Assign => {
  const { epochs = 3, ...rest } = over;
  return {
    attempt: `1/${n}#1`,
    token: n + 1,
    device: "cpu",
    recipe: JSON.stringify(recipe(epochs)),
    cohortKey: `k${epochs}`,
    seed: "00000000000000aa",
    parameters: JSON.stringify({ learning_rate: 0.02 }),
    alone: false,
    checkpoints: [],
    ...rest,
  };
};

/** Numbers, acknowledges and remembers. Every message is durable as soon as it is heard. */
class SmallCoordinator {
  readonly heard: LinkRequest[] = [];
  readonly hellos: Hello[] = [];
  authorization = "";
  received = 0;
  /** Not acknowledged while true. */
  deaf = false;
  private call: LinkCall | null = null;
  private sent = 0;
  private waiters: (() => void)[] = [];
  server: LinkServer | null = null;

  async start(port = 0): Promise<this> {
    this.server = await startLinkServer((call, metadata) => {
      this.authorization = String(metadata.get("authorization")[0]);
      this.call = call;
      this.sent = 0;
      call.on("data", (request: LinkRequest) => this.hear(call, request));
    }, port);
    return this;
  }

  private hear(call: LinkCall, request: LinkRequest): void {
    if (request.body?.$case === "hello") {
      this.hellos.push(request.body.value);
      const welcome = welcomeMessage(this.received);
      if (welcome.body?.$case === "welcome") welcome.body.value.keep = request.body.value.running;
      call.write(welcome);
    } else if (request.seq > this.received) {
      for (const one of unpacked(request)) {
        expect(one.seq).toBe(this.received + 1);
        this.received = one.seq;
        this.heard.push(one);
      }
      if (!this.deaf) call.write({ seq: 0, ack: this.received, body: undefined, commit: 0 });
    }
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  say(body: NonNullable<LinkResponse["body"]>): void {
    this.sent += 1;
    this.call?.write({ seq: this.sent, ack: this.deaf ? 0 : this.received, body, commit: 0 });
  }

  assign(value: Assign): void {
    this.say({ $case: "assign", value });
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  reports(n: number): Report[] {
    return this.heard.flatMap(({ body }) =>
      body?.$case === "report" && body.value.token === n + 1 ? [body.value] : [],
    );
  }

  ended(n: number): Ended["outcome"] {
    return this.heard.flatMap(({ body }) =>
      body?.$case === "ended" && body.value.token === n + 1 ? [body.value.outcome] : [],
    )[0];
  }

  async endOf(n: number): Promise<NonNullable<Ended["outcome"]>> {
    await this.until(() => this.ended(n) !== undefined);
    return this.ended(n) as NonNullable<Ended["outcome"]>;
  }
}

const metrics = (report: Report): Record<string, number> =>
  Object.fromEntries(report.metrics.flatMap((m) => (m.value?.$case === "number" ? [[m.name, m.value.value]] : [])));

let spools = 0;

describe("a worker process", () => {
  let folder = "";
  let child: ChildProcess | null = null;
  let coordinator: SmallCoordinator | null = null;

  beforeAll(() => {
    requireBuilt("dist/worker/main.js", "native/build/engine.node");
    folder = mkdtempSync(join(tmpdir(), "convsweep-join-"));
    writeDigits(join(folder, "data", "mnist"));
    writeFileSync(join(folder, "token"), "cvs_worker_secret\n", { mode: 0o600 });
  });
  afterEach(async () => {
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child?.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    }
    await coordinator?.server?.close();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function join_(
    address: string,
    ...more: string[]
  ): { readonly exit: Promise<number | null>; readonly log: () => string } {
    let log = "";
    const options = [
      "--token-file",
      join(folder, "token"),
      "--name",
      "w",
      "--data",
      join(folder, "data"),
      "--spool",
      // Each of its own: what one test leaves must not be said by the next.
      join(folder, `spool-${spools}`),
      "--lanes",
      "2",
    ];
    spools += 1;
    child = spawn(process.execPath, [main, "join", "--coordinator", address, ...options, ...more], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.on("data", (text: Buffer) => {
      log += text.toString();
    });
    return { exit: new Promise((resolve) => child?.once("close", (code) => resolve(code))), log: () => log };
  }

  async function joined(...more: string[]) {
    coordinator = await new SmallCoordinator().start();
    const c = coordinator;
    const worker = join_(c.server?.address ?? "", ...more);
    await c.until(() => c.hellos.length > 0);
    return { c, worker };
  }

  it("trains what it is given, alone or among others to the same bytes, and learns", async () => {
    const { c, worker } = await joined();
    expect(c.authorization).toBe("Bearer cvs_worker_secret");
    expect(c.hellos[0]).toMatchObject({ protocolMajor: 1, worker: "w", pid: child?.pid, running: [] });
    expect(c.hellos[0]?.devices).toMatchObject([{ id: "cpu", backend: "cpu", lanes: 2 }]);
    c.assign(assign(0));
    c.assign(assign(1, { seed: "00000000000000bb", parameters: JSON.stringify({ learning_rate: 0.005 }) }));
    const first = await c.endOf(0);
    await c.endOf(1);
    c.assign(assign(2, { alone: true }));
    const again = await c.endOf(2);
    expect(first).toEqual(again);
    expect(first).toMatchObject({
      $case: "completed",
      value: { weightsHash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    expect(c.ended(1)).not.toEqual(first);
    const started = c.heard.flatMap(({ body }) => (body?.$case === "started" ? [body.value] : []));
    expect(started.map((s) => s.fingerprint)).toEqual(
      Array.from({ length: 3 }, () => c.hellos[0]?.devices[0]?.fingerprint),
    );
    for (const n of [0, 1, 2])
      expect(c.reports(n).map((r) => [r.epoch, r.step])).toEqual([1, 2, 3].map((e) => [e, (e * 300) / 20]));
    const same = c.reports(0).map((r, i) => [metrics(r), metrics(c.reports(2)[i] as Report)] as const);
    for (const [a, b] of same) expect({ ...a, images_per_second: 0 }).toEqual({ ...b, images_per_second: 0 });
    const last = metrics(c.reports(0)[2] as Report);
    expect(last).toMatchObject({ learning_rate: expect.closeTo(0.02, 6) });
    // The bars are separable: a linear layer learns them within three epochs.
    expect(last["val_accuracy"]).toBeGreaterThan(0.9);
    expect(last["test_accuracy"]).toBeGreaterThan(0.9);
    expect(worker.log()).not.toContain("cvs_worker_secret");
    const lines = worker
      .log()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, string>);
    for (const line of lines) {
      expect(line).toMatchObject({ worker: "w", time: expect.stringMatching(/^\d{4}-.*Z$/), msg: expect.any(String) });
      expect(Object.keys(LOG_EVENTS)).toContain(line["event"]);
      expect(["info", "warn", "error"]).toContain(line["level"]);
    }
    const seen = ["worker-up", "link-up", "attempt-started", "attempt-ended"];
    expect(lines.map((line) => line["event"])).toEqual(expect.arrayContaining(seen));
  });

  it("trains on while the coordinator is gone, and then tells everything once and in order", async () => {
    const { c } = await joined();
    c.deaf = true;
    c.assign(assign(0, { epochs: 400 }));
    await c.until(() => c.reports(0).length > 3);
    const port = c.server?.port ?? 0;
    await c.server?.close();
    const before = c.reports(0).length;
    c.deaf = false;
    await c.start(port);
    await c.until(() => c.hellos.length === 2);
    expect(c.hellos[1]?.running).toEqual([{ attempt: "1/0#1", token: 1 }]);
    expect(c.hellos[1]?.incarnation).toBe(c.hellos[0]?.incarnation);
    expect((await c.endOf(0)).$case).toBe("completed");
    expect(before).toBeLessThan(400);
    expect(c.reports(0).map((r) => r.epoch)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
  });

  it("stops one attempt when asked, and gives the rest back at SIGTERM", async () => {
    const { c, worker } = await joined();
    c.assign(assign(0, { epochs: 1_000_000 }));
    c.assign(assign(1, { epochs: 1_000_000 }));
    await c.until(() => c.reports(0).length > 0 && c.reports(1).length > 0);
    c.say({ $case: "stop", value: { attempt: "1/0#1", token: 1, save: false } });
    expect(await c.endOf(0)).toMatchObject({
      $case: "stopped",
      value: { weightsHash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    child?.kill("SIGTERM");
    expect(await worker.exit).toBe(0);
    expect(c.ended(1)?.$case).toBe("released");
    // Drains before it gives back, so that nothing new is offered in between.
    expect(c.heard.slice(-2).map(({ body }) => body?.$case)).toEqual(["draining", "ended"]);
  });

  it("says why a trial cannot be trained here, and goes on with the next", async () => {
    const { c } = await joined();
    const bad = {
      ...recipe(1),
      network: { name: null, layers: [{ op: "linear", units: 0, bias: true, init: "he_normal" }] },
    };
    c.assign(assign(0, { recipe: JSON.stringify(bad), cohortKey: "bad" }));
    expect(await c.endOf(0)).toMatchObject({
      $case: "failed",
      value: { code: "ENGINE_BAD_RECIPE", path: expect.stringContaining("network.layers[0]") },
    });
    const elsewhere = { ...recipe(1), dataset: { ...recipe(1).dataset, name: "fashion-mnist" } };
    c.assign(assign(1, { recipe: JSON.stringify(elsewhere), cohortKey: "elsewhere" }));
    const reason = expect.stringContaining("fashion-mnist") as string;
    expect(await c.endOf(1)).toEqual({ $case: "released", value: { reason, died: false } });
    c.assign(assign(2, { parameters: JSON.stringify({ learning_rate: 1e6, l2: 1e6 }) }));
    expect((await c.endOf(2)).$case).toBe("diverged");
    c.assign(assign(3));
    expect((await c.endOf(3)).$case).toBe("completed");
  });

  it("ends with code 78 and one clear line when its token is refused", async () => {
    const server = await startLinkServer((call) => refuse(call, status.UNAUTHENTICATED, "unknown token"));
    const worker = join_(server.address);
    expect(await worker.exit).toBe(78);
    expect(worker.log()).toMatch(/refused the token \(unknown token\); check --token-file/);
    await server.close();
  });

  it("ends with code 2 for what it cannot use", async () => {
    expect(await join_("nowhere").exit).toBe(2);
    const worker = join_("127.0.0.1:1", "--devices", "npu:9");
    expect(await worker.exit).toBe(2);
    expect(worker.log()).toMatch(/--devices: this machine has no device npu:9; expected cpu/);
  });
});
