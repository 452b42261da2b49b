import { mkdirSync, writeFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import type { CurvesAnswer, FeedMessage } from "../../proto/feed.js";
import { type BrowserSession, logIn } from "./browser-session.js";
import { manualClock, SPEC, type Started, scratch, start } from "./fixture.js";
import { ScriptedWorker } from "./scripted-worker.js";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(
  address: string | null,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<Answer> {
  const [host, port] = (address ?? "").split(":");
  return new Promise((resolve, reject) => {
    const call = request({ host, port, path, method, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => void parts.push(part));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts).toString() }),
      );
    });
    call.on("error", reject);
    call.end();
  });
}

const pathOf = (url: string): string => new URL(url).pathname + new URL(url).search;

async function login({ coordinator }: Started): Promise<{ cookie: string }> {
  const answer = await ask(coordinator.httpAddress, pathOf(coordinator.dashboardUrl));
  return { cookie: (answer.headers["set-cookie"]?.[0] ?? "").split(";")[0] ?? "" };
}

function page(): string {
  const dashboardDir = join(scratch(), "page");
  mkdirSync(join(dashboardDir, "assets"), { recursive: true });
  writeFileSync(join(dashboardDir, "index.html"), "<!doctype html><title>page</title>");
  writeFileSync(join(dashboardDir, "assets", "index-BxY3k2Qa.js"), `/*${"x".repeat(4_000)}*/`);
  writeFileSync(join(dashboardDir, "secret.env"), "no");
  return dashboardDir;
}

describe("the page's server", () => {
  it("trades a login link for a session once, within five minutes", async () => {
    const clock = manualClock();
    const { coordinator } = await start({ clock, dashboardDir: page() });
    const link = pathOf(coordinator.dashboardUrl);
    expect((await ask(coordinator.httpAddress, link, {}, "HEAD")).status).toBe(401);
    const first = await ask(coordinator.httpAddress, link);
    expect([first.status, first.headers.location]).toEqual([303, "/"]);
    const port = (coordinator.httpAddress ?? "").split(":")[1];
    expect(first.headers["set-cookie"]).toEqual([
      expect.stringMatching(
        new RegExp(`^convsweep-${port}=[\\w-]{43}; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200$`),
      ),
    ]);
    expect((await ask(coordinator.httpAddress, link)).status).toBe(401);
    const cookie = (first.headers["set-cookie"]?.[0] ?? "").split(";")[0] ?? "";
    // Who is in already may open an old link.
    expect((await ask(coordinator.httpAddress, link, { cookie })).status).toBe(303);

    const old = pathOf(coordinator.dashboardUrl);
    clock.advance(5 * 60_000);
    expect((await ask(coordinator.httpAddress, old)).status).toBe(401);
    expect((await ask(coordinator.httpAddress, "/", { cookie })).status).toBe(200);
    clock.advance(12 * 3_600_000);
    expect((await ask(coordinator.httpAddress, "/", { cookie })).status).toBe(401);
  });

  // Without IPv6 there is nothing to try.
  it.skipIf(
    !Object.values(networkInterfaces())
      .flat()
      .some((card) => card?.address === "::1"),
  )("C10: is on [::1] as well, with the same doors, and closes both", async () => {
    const started = await start({ dashboardDir: page() });
    const { httpAddress } = started.coordinator;
    const port = (httpAddress ?? "").split(":")[1] ?? "";
    const session = await login(started);
    const over6 = (headers: Record<string, string>): Promise<number> =>
      new Promise((resolve, reject) => {
        const call = request({ host: "::1", port, path: "/", headers, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        call.on("error", reject).end();
      });
    expect(await over6(session)).toBe(200);
    expect(await over6({})).toBe(401);
    expect(await over6({ ...session, host: `evil.example:${port}` })).toBe(421);
    await started.coordinator.close();
    await expect(over6(session)).rejects.toThrow(/ECONNREFUSED/);
  });

  it("shows nothing of anything without a session", async () => {
    const { coordinator } = await start({ dashboardDir: page() });
    for (const path of [
      "/",
      "/index.html",
      "/assets/index-BxY3k2Qa.js",
      "/api/curves?sweep=1",
      "/api/trials/1/0",
      "/feed",
      "/nothing",
      "/login",
      "/login?otp=",
      `/login?otp=${"A".repeat(43)}`,
    ]) {
      expect([path, (await ask(coordinator.httpAddress, path)).status]).toEqual([path, 401]);
      const forged = await ask(coordinator.httpAddress, path, { cookie: `convsweep-1=x; convsweep-${"A".repeat(43)}` });
      expect([path, forged.status]).toEqual([path, 401]);
    }
    expect((await ask(coordinator.httpAddress, "/healthz")).body).toBe("ok\n");
  });

  it("answers only under its own names, only to GET, with the security headers", async () => {
    const started = await start({ dashboardDir: page(), options: { hostNames: ["gpu.example"] } });
    const { httpAddress } = started.coordinator;
    const port = (httpAddress ?? "").split(":")[1] ?? "";
    const session = await login(started);
    for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1", `192.168.1.7:${port}`]) {
      for (const path of ["/", "/healthz", pathOf(started.coordinator.dashboardUrl)]) {
        expect((await ask(httpAddress, path, { ...session, host })).status).toBe(421);
      }
    }
    for (const host of [`localhost:${port}`, `[::1]:${port}`, `gpu.example:${port}`, `LOCALHOST:${port}`]) {
      expect((await ask(httpAddress, "/", { ...session, host })).status).toBe(200);
    }
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const answer = await ask(httpAddress, "/", session, method);
      expect(answer.status).toBe(405);
      expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
    const { headers } = await ask(httpAddress, "/", session);
    expect(headers["content-security-policy"]).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
    });
  });

  it("serves the page from memory, hashed files for ever, and nothing beside them", async () => {
    const started = await start({ dashboardDir: page() });
    const { httpAddress } = started.coordinator;
    const session = await login(started);
    const index = await ask(httpAddress, "/", session);
    expect([index.status, index.headers["cache-control"], index.body]).toEqual([
      200,
      "no-cache",
      "<!doctype html><title>page</title>",
    ]);
    const etag = index.headers.etag ?? "";
    expect((await ask(httpAddress, "/", { ...session, "if-none-match": etag })).status).toBe(304);
    const script = await ask(httpAddress, "/assets/index-BxY3k2Qa.js", { ...session, "accept-encoding": "gzip, br" });
    expect(script.headers).toMatchObject({
      "content-encoding": "gzip",
      "content-type": "text/javascript; charset=utf-8",
      "cache-control": "private, max-age=31536000, immutable",
    });
    for (const path of [
      "/secret.env",
      "/../coordinator.json",
      "/%2e%2e/admin.token",
      "//etc/passwd",
      "/assets/",
      "/assets/../index.html",
    ]) {
      expect([path, (await ask(httpAddress, path, session)).status]).toEqual([path, 404]);
    }
  });

  it("says that the page is not built", async () => {
    const started = await start();
    const answer = await ask(started.coordinator.httpAddress, "/", await login(started));
    expect([answer.status, answer.body]).toEqual([503, "The page is not built: run `npm run build`.\n"]);
  });

  it("answers curves of the best trials and details of one", async () => {
    const store = openMemoryStore();
    const started = await start({ openStore: () => store });
    const { coordinator, storeDir } = started;
    const session = await login(started);
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await coordinator.submitSweep({ ...SPEC, runCap: 4 });
    const accuracies = [0.2, 0.9, 0.6];
    let next = [await worker.next("assign"), await worker.next("assign")];
    for (const accuracy of accuracies) {
      const [held, ...rest] = next;
      if (!held) throw new Error("nothing to train");
      worker.started(held);
      worker.report(held, 1, accuracy / 2);
      worker.report(held, 2, accuracy);
      await worker.durable(worker.completed(held));
      next = rest;
      if (next.length < 2 && held.attempt !== "1/2#1") next.push(await worker.next("assign"));
    }
    const best = await ask(coordinator.httpAddress, "/api/curves?sweep=1&limit=2", session);
    const curves = JSON.parse(best.body) as CurvesAnswer;
    expect(curves.curves.map((curve) => curve.trial)).toEqual(["1/1", "1/2"]);
    expect(curves.curves[0]?.reports).toEqual([
      { trial: "1/1", epoch: 1, metrics: { val_accuracy: 0.45 } },
      { trial: "1/1", epoch: 2, metrics: { val_accuracy: 0.9 } },
    ]);
    expect(best.headers["cache-control"]).toBe("no-store");

    const details = JSON.parse((await ask(coordinator.httpAddress, "/api/trials/1/1", session)).body) as Record<
      string,
      never[]
    >;
    expect(details["trial"]).toMatchObject({ id: "1/1", state: "completed", best: 0.9 });
    expect(details["reports"]).toHaveLength(2);
    expect(details["attempts"]).toMatchObject([{ n: 1, state: "finished" }]);
    expect(details["events"]?.length).toBeGreaterThan(0);

    for (const [path, code] of [
      ["/api/curves", 400],
      ["/api/curves?sweep=x", 400],
      ["/api/curves?sweep=1&limit=0", 400],
      ["/api/curves?sweep=1&limit=501", 400],
      ["/api/curves?sweep=9", 404],
      ["/api/trials/1/99", 404],
      ["/api/trials/01/1", 404],
      ["/api/trials/1", 404],
    ] as const) {
      expect([path, (await ask(coordinator.httpAddress, path, session)).status]).toEqual([path, code]);
    }
  });
});

describe("the curve of a trial that another worker takes up", () => {
  it("is what the lost attempt reported up to the checkpoint, then the new attempt's, and nothing beyond", async () => {
    const started = await start({ openStore: openMemoryStore });
    const { coordinator, storeDir } = started;
    const session = await login(started);
    await coordinator.submitSweep({ ...SPEC, runCap: 1, maxParallel: 1 });
    const get = async (path: string) => JSON.parse((await ask(coordinator.httpAddress, path, session)).body) as unknown;
    const curve = async (): Promise<unknown[]> => {
      const { curves } = (await get("/api/curves?sweep=1")) as CurvesAnswer;
      const { reports } = (await get("/api/trials/1/0")) as CurvesAnswer["curves"][0];
      // Curves are of the best and the running trials.
      for (const one of curves) expect(one.reports).toEqual(reports);
      return reports.map(({ epoch, metrics }) => [epoch, metrics["val_accuracy"]]);
    };
    const first = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await first.link();
    const lost = await first.next("assign");
    first.started(lost);
    first.report(lost, 1, 0.1);
    first.report(lost, 2, 0.2);
    const digest = "cd".repeat(32);
    const { attempt, token } = lost;
    first.send({ $case: "checkpointSaved", value: { attempt, token, epoch: 2, digest, bytes: 9 } });
    await first.durable(first.report(lost, 3, 0.3));
    // biome-ignore format: two columns
    expect(await curve()).toEqual([[1, 0.1], [2, 0.2], [3, 0.3]]);
    const outcome = { $case: "released", value: { reason: "its device broke", died: false } } as const;
    await first.durable(first.send({ $case: "ended", value: { attempt, token, outcome } }));
    expect(await curve()).toEqual([]);

    const second = ScriptedWorker.of(storeDir, coordinator.grpcAddress, {
      worker: "worker-2",
      incarnation: "incarnation-2",
    });
    await second.link();
    const taken = await second.next("assign");
    expect([taken.attempt, taken.checkpoints]).toEqual(["1/0#2", [{ epoch: 2, digest, bytes: 9 }]]);
    await second.durable(second.started(taken, 2));
    // biome-ignore format: two columns
    expect(await curve()).toEqual([[1, 0.1], [2, 0.2]]);
    await second.durable(second.report(taken, 3, 0.35));
    // biome-ignore format: two columns
    expect(await curve()).toEqual([[1, 0.1], [2, 0.2], [3, 0.35]]);
  });
});

class Page {
  readonly messages: FeedMessage[] = [];
  readonly socket: WebSocket;
  code: number | null = null;
  #wake: () => void = () => {};

  private constructor(url: string, headers: Readonly<Record<string, string>>, hello: object | null) {
    this.socket = new WebSocket(url, { headers, perMessageDeflate: false });
    onTestFinished(() => this.socket.terminate());
    this.socket.on("message", (data) => {
      this.messages.push(JSON.parse(String(data)) as FeedMessage);
      this.#wake();
    });
    this.socket.on("close", (code) => {
      this.code = code;
      this.#wake();
    });
    this.socket.on("error", () => {});
    this.socket.on("open", () => hello && this.socket.send(JSON.stringify(hello)));
  }

  static async open(browser: BrowserSession, hello: object | null = { kind: "hello", resume: null }): Promise<Page> {
    return new Page(await browser.feed(), browser.headers, hello);
  }

  async until(met: () => boolean): Promise<void> {
    while (!met()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

describe("the page's feed", () => {
  it("gives a snapshot and deltas, and resumes with what was missed", async () => {
    const started = await start();
    const { coordinator } = started;
    const browser = await logIn(started.coordinator);
    const first = await Page.open(browser);
    await first.until(() => first.messages.length > 0);
    await coordinator.submitSweep({ ...SPEC, name: "one" });
    await first.until(() => first.messages.length > 1);
    first.socket.close();
    await first.until(() => first.code !== null);
    const [snapshot, delta] = first.messages;
    if (snapshot?.kind !== "snapshot" || delta?.kind !== "delta") throw new Error("expected a snapshot, then a delta");
    expect(delta.seq).toBe(snapshot.seq + 1);

    await coordinator.submitSweep({ ...SPEC, name: "two" });
    const again = await Page.open(browser, {
      kind: "hello",
      resume: { feed: snapshot.feed, seq: delta.seq },
    });
    await again.until(() => again.messages.length > 0);
    expect(again.messages[0]).toMatchObject({ kind: "delta", seq: delta.seq + 1 });

    const other = await Page.open(browser, { kind: "hello", resume: { feed: "before", seq: 1 } });
    await other.until(() => other.messages.length > 0);
    expect(other.messages[0]).toMatchObject({ kind: "snapshot", sweeps: [{ name: "one" }, { name: "two" }] });
  });

  it("is refused without a session, from another origin, under another name, at another path", async () => {
    const { coordinator } = await start();
    const address = coordinator.httpAddress;
    const browser = await logIn(coordinator);
    const { cookie, origin } = browser.headers;
    const feed = (await browser.feed()).replace(`ws://${address}`, "");
    const refused = (path: string, headers: Record<string, string>): Promise<number> =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://${address}${path}`, { headers });
        socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
        socket.on("open", () => resolve(101));
        socket.on("error", () => {});
        onTestFinished(() => socket.terminate());
      });
    expect(await refused(feed, { origin })).toBe(401);
    expect(await refused(feed, { cookie })).toBe(403);
    expect(await refused(feed, { cookie, origin: "http://evil.example" })).toBe(403);
    expect(await refused(feed, { cookie, origin: "null" })).toBe(403);
    expect(await refused(feed, { cookie, host: "evil.example", origin: "http://evil.example" })).toBe(421);
    expect(await refused(feed.replace("/feed", "/api"), { cookie, origin })).toBe(404);
    // None of that has used the ticket up.
    expect(await refused(feed, { cookie, origin })).toBe(101);
  });

  it("closes on anything but one hello", async () => {
    const started = await start();
    const browser = await logIn(started.coordinator);
    for (const hello of [
      { kind: "cancel" },
      { kind: "hello" },
      { kind: "hello", resume: { feed: "x", seq: -1 } },
      [],
    ]) {
      const page = await Page.open(browser, hello);
      await page.until(() => page.code !== null);
      expect(page.code).toBe(1008);
      expect(page.messages).toEqual([]);
    }
    const twice = await Page.open(browser);
    await twice.until(() => twice.messages.length > 0);
    twice.socket.send(JSON.stringify({ kind: "hello", resume: null }));
    await twice.until(() => twice.code !== null);
    expect(twice.code).toBe(1008);
  });

  it("lets a session have eight sockets", async () => {
    const started = await start();
    const browser = await logIn(started.coordinator);
    for (let n = 0; n < 8; n += 1) {
      const one = await Page.open(browser);
      await one.until(() => one.messages.length > 0);
    }
    const ninth = await Page.open(browser);
    await ninth.until(() => ninth.code !== null);
    expect(ninth.code).toBe(1006);
  });

  it("pings every 20 s and ends a socket that answers no more", async () => {
    const clock = manualClock();
    const started = await start({ clock });
    const browser = await logIn(started.coordinator);
    const page = await Page.open(browser);
    await page.until(() => page.messages.length > 0);
    clock.advance(20_000);
    await new Promise((resolve) => page.socket.once("ping", resolve));
    expect(page.code).toBeNull();
    // Stops reading: pings are taken by nobody.
    page.socket.pause();
    clock.advance(20_000);
    clock.advance(20_000);
    clock.advance(20_000);
    page.socket.resume();
    await page.until(() => page.code !== null);
    expect(page.code).toBe(1006);
  });

  it("does not let a stuck reader hold anything up", async () => {
    const started = await start();
    const { coordinator } = started;
    const browser = await logIn(started.coordinator);
    const stuck = await Page.open(browser);
    await stuck.until(() => stuck.messages.length > 0);
    stuck.socket.pause();
    const lively = await Page.open(browser);
    await lively.until(() => lively.messages.length > 0);
    const source = "x".repeat(200_000);
    for (let n = 1; n <= 40; n += 1) {
      await coordinator.submitSweep({ ...SPEC, name: `${n}`.padEnd(100_000, "-"), source });
      const newest = n;
      await lively.until(() => sweepsOf(lively.messages).has(newest));
    }
    stuck.socket.resume();
    await stuck.until(() => sweepsOf(stuck.messages).size === 40);
    let before = -1;
    for (const message of stuck.messages) {
      if (message.kind === "delta") expect(message.seq).toBe(before + 1);
      before = message.seq;
    }
  });

  it("ends when the coordinator closes", async () => {
    const started = await start();
    const page = await Page.open(await logIn(started.coordinator));
    await page.until(() => page.messages.length > 0);
    await started.coordinator.close();
    await page.until(() => page.code !== null);
  });
});

function sweepsOf(messages: readonly FeedMessage[]): Set<number> {
  const ids = new Set<number>();
  for (const message of messages) {
    const rows =
      message.kind === "snapshot"
        ? message.sweeps
        : message.kind === "delta"
          ? message.changes.flatMap((change) => (change.kind === "sweep" ? [change.row] : []))
          : [];
    for (const row of rows) ids.add(row.id);
  }
  return ids;
}

describe("the ports", () => {
  it("live through bytes that are no request", async () => {
    const started = await start();
    for (const address of [started.coordinator.httpAddress, started.coordinator.grpcAddress]) {
      const [host, port] = (address ?? "").split(":");
      const socket = connect(Number(port), host).resume();
      socket.on("error", () => {});
      socket.write(Buffer.from(Array.from({ length: 4_000 }, (_, i) => (i * 7_919) % 256)));
      await new Promise((resolve) => socket.once("close", resolve));
    }
    expect((await started.admin.getStatus()).version).toBe("1.2.3");
    expect((await ask(started.coordinator.httpAddress, "/healthz")).status).toBe(200);
  });
});
