/** The link over real sockets: delivery, loss and return, refusals. */
import { createServer } from "node:net";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { TIMES } from "../../proto/contract.js";
import type { LinkRequest } from "../../proto/gen/convsweep/v1/worker.js";
import { Secret } from "../../proto/secret.js";
import { reconnectDelay } from "../../worker/backoff.js";
import { Link, type LinkEvent, type LinkOptions } from "../../worker/link.js";
import { type LinkServer, refuse, startLinkServer, welcomeMessage } from "./link-server.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(...args: Parameters<typeof startLinkServer>): Promise<LinkServer> {
  const server = await startLinkServer(...args);
  cleanups.push(() => server.close());
  return server;
}

/** A link whose events can be awaited. */
function openLink(address: string, over: Partial<LinkOptions> = {}) {
  const events: LinkEvent[] = [];
  let waiters: (() => void)[] = [];
  const link = new Link({
    address,
    token: new Secret("cvs_worker_secret"),
    random: () => 0,
    onEvent: (event) => {
      events.push(event);
      for (const wake of waiters.splice(0)) wake();
    },
    ...over,
  });
  cleanups.push(() => link.close());
  const count = (kind: LinkEvent["kind"]): number => events.filter((e) => e.kind === kind).length;
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => waiters.push(resolve));
  };
  const last = <K extends LinkEvent["kind"]>(kind: K): Extract<LinkEvent, { kind: K }> => {
    const event = events.findLast((e) => e.kind === kind);
    if (!event) throw new Error(`no ${kind}`);
    return event as Extract<LinkEvent, { kind: K }>;
  };
  waiters = [];
  link.open();
  return { link, events, count, until, last };
}

const heartbeat = (ack: number): LinkRequest => ({
  seq: 0,
  ack,
  body: { $case: "heartbeat", value: { running: [], use: [] } },
});

describe("the link", () => {
  it("shows its token and carries messages both ways in order", async () => {
    const seen: LinkRequest[] = [];
    let authorization: unknown;
    const server = await serve((call, metadata) => {
      authorization = metadata.get("authorization");
      call.on("data", (request: LinkRequest) => {
        seen.push(request);
        call.write({ seq: request.ack, ack: 0, body: { $case: "drain", value: {} }, commit: 0 });
      });
    });
    const { link, events, until, count } = openLink(server.address);
    for (let i = 1; i <= 50; i += 1) link.send(heartbeat(i));
    await until(() => count("received") === 50);
    expect(authorization).toEqual(["Bearer cvs_worker_secret"]);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => heartbeat(i + 1)));
    expect(events.flatMap((e) => (e.kind === "received" ? [e.message.seq] : []))).toEqual(seen.map((m) => m.ack));
  });

  it("comes back by itself after the coordinator is gone, and waits no longer for it", async () => {
    const first = await startLinkServer((call) => call.write(welcomeMessage()));
    const link = openLink(first.address);
    await link.until(() => link.count("received") === 1);
    await first.close();
    await link.until(() => link.count("linkDown") === 1);
    expect(link.last("linkDown").retryMillis).toBe(TIMES.reconnectMin);
    await serve((call) => call.write(welcomeMessage(7)), first.port);
    await link.until(() => link.count("received") === 2);
    expect(link.last("received").message.ack).toBe(7);
  });

  it("opens a new stream when told to, and hears nothing more of the old one", async () => {
    let links = 0;
    const server = await serve((call) => {
      links += 1;
      call.write(welcomeMessage(links));
    });
    const link = openLink(server.address);
    await link.until(() => link.count("received") === 1);
    link.link.relink("a number is missing");
    expect(link.last("linkDown").reason).toBe("a number is missing");
    await link.until(() => link.count("received") === 2);
    expect(links).toBe(2);
  });

  it.each([
    [status.UNAUTHENTICATED, 78, /token/],
    [status.PERMISSION_DENIED, 78, /token/],
    [status.FAILED_PRECONDITION, 78, /why not/],
    [status.INVALID_ARGUMENT, 70, /why not/],
  ])("gives up for good when refused with status %i", async (code, exitCode, reason) => {
    let links = 0;
    const server = await serve((call) => {
      links += 1;
      refuse(call, code, "why not");
    });
    const link = openLink(server.address);
    await link.until(() => link.count("refused") === 1);
    expect(link.last("refused")).toMatchObject({ exitCode, reason: expect.stringMatching(reason) });
    expect(link.last("refused").reason).not.toContain("cvs_worker_secret");
    link.link.open();
    expect(links).toBe(1);
    expect(link.count("linkUp")).toBe(1);
  });

  it("gives up where something else answers", async () => {
    const server = new Server();
    const port = await new Promise<number>((resolve) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, at) => resolve(at));
    });
    cleanups.push(() => server.forceShutdown());
    const link = openLink(`127.0.0.1:${port}`);
    await link.until(() => link.count("refused") === 1);
    expect(link.last("refused").exitCode).toBe(78);
  });

  it("tries again where nobody listens, and where somebody listens and says nothing", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = silent.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const mute = openLink(`127.0.0.1:${port}`, { answerMillis: 50 });
    await mute.until(() => mute.count("linkDown") === 2);
    expect(mute.last("linkDown").reason).toMatch(/no answer/);
    mute.link.close();
    silent.close();
    const nobody = openLink("127.0.0.1:1");
    await nobody.until(() => nobody.count("linkDown") === 2);
    expect(nobody.count("refused")).toBe(0);
  });
});

describe("the wait before the next try", () => {
  it("lies between the least wait and a limit that doubles up to the greatest", () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (failures, random) => {
        const delay = reconnectDelay(failures, random);
        expect(delay).toBeGreaterThanOrEqual(250);
        expect(delay).toBeLessThanOrEqual(Math.min(4_000, 250 * 2 ** failures));
      }),
    );
    expect([0, 1, 2, 5, 6].map((n) => reconnectDelay(n, 1))).toEqual([250, 500, 1_000, 4_000, 4_000]);
  });
});
