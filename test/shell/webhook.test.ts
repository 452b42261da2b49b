/** The webhook against a real HTTP server that answers, refuses, hangs, fails and redirects. */
import { createHmac } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { emptyState } from "../../coordinator/core/state.js";
import type { EventRecord } from "../../coordinator/core/types.js";
import { signature } from "../../coordinator/shell/webhook/delivery.js";
import { Notices, noticeId } from "../../coordinator/shell/webhook/notices.js";
import { dueDetail, owedOf } from "../../coordinator/shell/webhook/owed.js";
import { type WebhookSettings, webhookSecret, webhookUrl } from "../../coordinator/shell/webhook/webhook.js";
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import type { Store } from "../../coordinator/store/store.js";
import { millis, sweepId, trialId } from "../../proto/contract.js";
import { manualClock, rejection, SPEC, type Started, scratch, start } from "./fixture.js";
import { ScriptedWorker } from "./scripted-worker.js";

interface Post {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: {
    readonly id: string;
    readonly event: string;
    readonly detail: string;
    readonly trials: number;
    readonly sweep: {
      readonly id: number;
      readonly cause: string;
      readonly trials: Record<string, number>;
      readonly best: unknown;
    };
    readonly trial: unknown;
  };
}

/** Answers with what `script` gives, one a request, the last for all that follow. */
async function receiver(...script: (number | "hang" | { readonly to: string })[]) {
  const posts: Post[] = [];
  const watchers = new Set<() => void>();
  const server: Server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    request.on("end", () => {
      posts.push({ headers: request.headers, text, body: JSON.parse(text || "null") as Post["body"] });
      const step = script[Math.min(posts.length - 1, script.length - 1)] ?? 200;
      if (typeof step === "number") response.writeHead(step).end("thanks");
      else if (step !== "hang") response.writeHead(307, { location: step.to }).end();
      for (const wake of watchers) wake();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/very-secret-path`);
  const count = async (least: number): Promise<void> => {
    while (posts.length < least) await new Promise<void>((resolve) => void watchers.add(resolve));
  };
  return { url, posts, count };
}

/** A coordinator with that webhook, its events as they are recorded, and one worker. */
async function begin(webhook: WebhookSettings, store: Store = openMemoryStore()) {
  const events: EventRecord[] = [];
  const watchers = new Set<() => void>();
  const watched: Store = {
    info: () => store.info(),
    position: () => store.position(),
    openingNotes: () => store.openingNotes(),
    makeRoom: () => store.makeRoom(),
    tryWriting: () => store.tryWriting(),
    load: () => store.load(),
    reports: (id) => store.reports(id),
    attemptReports: (id) => store.attemptReports(id),
    attempts: (id) => store.attempts(id),
    artifacts: (id) => store.artifacts(id),
    artifact: (id) => store.artifact(id),
    events: (filter) => store.events(filter),
    eventsOf: (...asked) => store.eventsOf(...asked),
    backup: (path) => store.backup(path),
    close: () => store.close(),
    commit(batch) {
      store.commit(batch);
      for (const mutation of batch) if (mutation.kind === "addEvent") events.push(mutation.event);
      for (const wake of watchers) wake();
    },
  };
  const started = await start({ openStore: () => watched, options: { webhook } });
  const event = async (kind: string, nth = 1): Promise<EventRecord> => {
    for (;;) {
      const found = events.filter((one) => one.kind === kind)[nth - 1];
      if (found) return found;
      await new Promise<void>((resolve) => void watchers.add(resolve));
    }
  };
  return { ...started, events, event };
}

async function oneTrial(started: Started): Promise<void> {
  const worker = ScriptedWorker.of(started.storeDir, started.coordinator.grpcAddress);
  await worker.link();
  await started.coordinator.submitSweep({ ...SPEC, runCap: 1 });
  const held = await worker.next("assign");
  worker.started(held);
  worker.report(held, 1, 0.5);
  worker.report(held, 3, 0.875);
  await worker.durable(worker.completed(held));
}

const FAST = { backOffMillis: [1, 1, 1, 1], timeoutMillis: 200 };

describe("the webhook", () => {
  it("tells how a sweep ended, signed, and puts the delivery on record", async () => {
    const { url, posts, count } = await receiver(200);
    const secret = "0123456789abcdef0123";
    const begun = await begin({ url, secret });
    await oneTrial(begun);
    await count(1);
    const [post] = posts;
    expect(post?.body).toMatchObject({
      version: 1,
      event: "sweep-completed",
      detail: "run_cap: 1 completed",
      sweep: {
        id: 1,
        name: "a sweep",
        state: "completed",
        cause: "run_cap",
        trials: { completed: 1, failed: 0 },
        metric: "val_accuracy",
        best: { trial: "1/0", value: 0.875, parameters: { learning_rate: expect.any(Number) } },
      },
      trial: null,
    });
    const given = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(post?.headers["x-convsweep-signature"]));
    expect(given?.[2]).toBe(createHmac("sha256", secret).update(`${given?.[1]}.${post?.text}`).digest("hex"));
    expect(post?.headers).toMatchObject({
      "content-type": "application/json",
      "x-convsweep-event": "sweep-completed",
      "x-convsweep-delivery": post?.body.id,
    });
    const delivered = await begun.event("webhook-delivered");
    expect(delivered.sweep).toBe(1);
    expect(delivered.detail).toBe(
      `sweep-completed of sweep 1 to ${url.origin}: answered 200, try 1 [${post?.body.id}]`,
    );
    expect((await begun.event("webhook-configured")).detail).toBe(`${url.origin}, signed`);
    for (const { detail } of begun.events) {
      expect(detail).not.toContain("very-secret-path");
      expect(detail).not.toContain(secret);
    }
  });

  it("tries again after 500 and 429, not after 404", async () => {
    const { url, posts, count } = await receiver(500, 429, 204, 404);
    const begun = await begin({ url, secret: null, delivery: FAST });
    await oneTrial(begun);
    await count(3);
    expect((await begun.event("webhook-delivered")).detail).toContain("answered 204, try 3");
    expect(new Set(posts.map(({ body }) => body.id)).size).toBe(1);
    expect(posts[0]?.headers["x-convsweep-signature"]).toBeUndefined();
    await begun.coordinator.submitSweep(SPEC);
    await begun.admin.controlSweep(2, "cancel");
    expect((await begun.event("webhook-failed")).detail).toContain("sweep-cancelled of sweep 2");
    expect((await begun.event("webhook-failed")).detail).toContain("answered 404, try 1");
    expect(posts).toHaveLength(4);
  });

  it("gives up after five tries of a receiver that always fails", async () => {
    const { url, posts } = await receiver(503);
    const begun = await begin({ url, secret: null, delivery: FAST });
    await oneTrial(begun);
    expect((await begun.event("webhook-failed")).detail).toContain("answered 503, try 5");
    expect(posts).toHaveLength(5);
  });

  it("does not follow a redirect to another host", async () => {
    const other = await receiver(200);
    const { url, posts } = await receiver({ to: other.url.href });
    const begun = await begin({ url, secret: null, delivery: FAST });
    await oneTrial(begun);
    expect((await begun.event("webhook-failed")).detail).toContain("answered 307; redirects are not followed, try 1");
    expect([posts.length, other.posts.length]).toEqual([1, 0]);
  });

  it("says that nobody listens", async () => {
    // A port that was just free.
    const closed = createServer();
    await new Promise<void>((resolve) => void closed.listen(0, "127.0.0.1", resolve));
    const dead = new URL(`http://127.0.0.1:${(closed.address() as AddressInfo).port}/`);
    await new Promise<void>((resolve) => void closed.close(() => resolve()));
    const begun = await begin({ url: dead, secret: null, delivery: FAST });
    await oneTrial(begun);
    expect((await begun.event("webhook-failed")).detail).toContain("the connection failed (ECONNREFUSED), try 5");
  });

  it("holds nothing up while a receiver hangs, and is tried again", async () => {
    const { url, posts, count } = await receiver("hang", "hang", 200);
    const begun = await begin({ url, secret: null, delivery: FAST });
    await oneTrial(begun);
    await count(1);
    // The receiver hangs; the coordinator answers.
    await begun.coordinator.submitSweep({ ...SPEC, runCap: 1 });
    await begun.admin.controlSweep(2, "cancel");
    expect((await begun.event("webhook-delivered")).detail).toContain("answered 200, try 3");
    await begun.event("webhook-delivered", 2);
    expect(posts.map(({ body }) => [body.event, body.sweep.id])).toEqual([
      ["sweep-completed", 1],
      ["sweep-completed", 1],
      ["sweep-completed", 1],
      ["sweep-cancelled", 2],
    ]);
  });

  it("ends with the coordinator, and the next one tells what this one could not", async () => {
    const storeDir = scratch();
    const hanging = await receiver("hang");
    const first = await begin({ url: hanging.url, secret: null }, openSqliteStore(storeDir, { create: true }));
    await oneTrial(first);
    await hanging.count(1);
    await first.coordinator.close();
    const good = await receiver(200);
    const second = await begin({ url: good.url, secret: null }, openSqliteStore(storeDir, { create: false }));
    await second.event("webhook-delivered");
    expect(good.posts.map(({ body }) => body)).toMatchObject([
      { event: "sweep-completed", id: hanging.posts[0]?.body.id },
    ]);
    await second.coordinator.close();
    // Once is enough.
    const third = await begin({ url: good.url, secret: null }, openSqliteStore(storeDir, { create: false }));
    await third.coordinator.submitSweep(SPEC);
    await third.admin.controlSweep(2, "cancel");
    await third.event("webhook-delivered");
    expect(good.posts.map(({ body }) => body.event)).toEqual(["sweep-completed", "sweep-cancelled"]);
  });

  it("tells of trials again too, with the same id, as many as it was to tell of, and once", async () => {
    const storeDir = scratch();
    const hanging = await receiver("hang");
    const first = await begin({ url: hanging.url, secret: null }, openSqliteStore(storeDir, { create: true }));
    const worker = ScriptedWorker.of(first.storeDir, first.coordinator.grpcAddress);
    await worker.link();
    await first.coordinator.submitSweep({ ...SPEC, runCap: 3 });
    for (let n = 0; n < 3; n += 1) {
      const { attempt, token } = await worker.next("assign");
      const outcome = { $case: "diverged", value: { epoch: 1, step: 1, what: "loss" } } as const;
      await worker.durable(worker.send({ $case: "ended", value: { attempt, token, outcome } }));
    }
    await hanging.count(1);
    await first.event("webhook-due", 2);
    await first.coordinator.close();
    const good = await receiver(200);
    const second = await begin({ url: good.url, secret: null }, openSqliteStore(storeDir, { create: false }));
    await second.event("webhook-delivered", 3);
    // The first failure and the end of the sweep were due; the other two failures were being gathered.
    const due = first.events.filter(({ kind }) => kind === "webhook-due").map(({ detail }) => detail.slice(-17, -1));
    expect(good.posts.map(({ body }) => [body.event, body.trials])).toEqual([
      ["trial-failed", 1],
      ["sweep-failed", 0],
      ["trial-failed", 1],
    ]);
    expect(good.posts.slice(0, 2).map(({ body }) => body.id)).toEqual(due);
    expect(good.posts[0]?.body.id).toBe(hanging.posts[0]?.body.id);
    await second.coordinator.close();
    const third = await begin({ url: good.url, secret: null }, openSqliteStore(storeDir, { create: false }));
    await third.event("webhook-delivered");
    // The last one, whose minute was not over.
    expect(good.posts).toHaveLength(4);
    expect(new Set(good.posts.map(({ body }) => body.id)).size).toBe(4);
  });

  it("drops what a receiver could not take in time, and says so", async () => {
    const { url } = await receiver("hang");
    const begun = await begin({ url, secret: null, delivery: { ...FAST, timeoutMillis: 60_000 } });
    for (let sweep = 1; sweep <= 102; sweep += 1) {
      await begun.coordinator.submitSweep(SPEC);
      await begun.admin.controlSweep(sweep, "cancel");
    }
    expect((await begun.event("webhook-dropped")).detail).toMatch(
      /^sweep-cancelled of sweep 101 to .*: 100 others wait/,
    );
    await begun.event("webhook-dropped", 2);
  });
});

describe("troubles of trials", () => {
  const trouble = (sweep: number, number: number, at: number, kind = "trial-failed"): EventRecord => ({
    at: millis(at),
    kind,
    sweep: sweepId(sweep),
    trial: trialId(sweepId(sweep), number),
    attempt: null,
    worker: null,
    detail: "diverged",
  });

  it("are told at once for the first, then gathered for a minute, a sweep at a time", () => {
    const clock = manualClock();
    const told: unknown[] = [];
    const notices = new Notices(emptyState(), clock, ({ body }) => void told.push(body));
    for (let number = 0; number < 40; number += 1) notices.note(trouble(1, number, number));
    notices.note(trouble(2, 0, 0, "trial-lost"));
    expect(told).toMatchObject([
      { event: "trial-failed", trial: { id: "1/0" }, trials: 1 },
      { event: "trial-lost", trial: { id: "2/0" }, trials: 1 },
    ]);
    clock.advance(60_000);
    expect(told.slice(2)).toMatchObject([{ event: "trial-failed", trial: { id: "1/39" }, trials: 39 }]);
    clock.advance(600_000);
    expect(told).toHaveLength(3);
    notices.note(trouble(1, 40, 5));
    expect(told).toHaveLength(4);
    notices.note(trouble(1, 41, 6));
    notices.close();
    clock.advance(60_000);
    expect(told).toHaveLength(4);
  });

  const spoke = (kind: string, detail: string): EventRecord => ({ ...trouble(1, 0, 0), kind, trial: null, detail });
  const configured = spoke("webhook-configured", "https://example.org, signed");
  const end = (sweep: number, at: number): EventRecord => ({
    ...trouble(sweep, 0, at),
    kind: "sweep-failed",
    trial: null,
  });
  const due = (event: EventRecord, trials: number) => spoke("webhook-due", dueDetail("x", trials, noticeId(event)));
  const ended = (event: EventRecord, how: string) => spoke(`webhook-${how}`, `x: answered [${noticeId(event)}]`);
  const [a, b, c, d] = [trouble(1, 0, 1), trouble(1, 1, 2), trouble(1, 2, 3), trouble(2, 0, 4)];

  it.each<[string, EventRecord[], ReturnType<typeof owedOf>]>([
    ["without a webhook nothing", [a, end(1, 9)], { again: [], news: [] }],
    ["what came before the first webhook is nobody's business", [a, configured, b], { again: [], news: [b] }],
    ["due and not ended: again", [configured, a, due(a, 1)], { again: [{ event: a, trials: 1 }], news: [] }],
    [
      "delivered, failed, dropped: no more",
      [configured, a, due(a, 1), ended(a, "delivered"), d, due(d, 1), ended(d, "failed")],
      { again: [], news: [] },
    ],
    [
      "gathered and not due: news",
      [configured, a, due(a, 1), ended(a, "delivered"), b, c],
      { again: [], news: [b, c] },
    ],
    [
      "gathered and due: again, as many",
      [configured, a, due(a, 1), ended(a, "dropped"), b, c, due(c, 2)],
      { again: [{ event: c, trials: 2 }], news: [] },
    ],
    ["a sweep at a time", [configured, a, d, due(d, 1), ended(d, "delivered")], { again: [], news: [a] }],
    [
      "ends of sweeps, in any order",
      [configured, end(1, 5), end(2, 6), due(end(2, 6), 0), a],
      { again: [{ event: end(2, 6), trials: 0 }], news: [end(1, 5), a] },
    ],
    [
      "of a record without webhook-due: by the outcome",
      [configured, a, b, ended(b, "delivered"), c],
      { again: [], news: [c] },
    ],
    ["whose beginning is out of sight", [a, due(a, 1), b], { again: [{ event: a, trials: 1 }], news: [b] }],
  ])("owed after a restart: %s", (_, events, owed) => {
    expect(owedOf(events)).toEqual(owed);
  });

  it("other events are nobody's business", () => {
    const told: unknown[] = [];
    const notices = new Notices(emptyState(), manualClock(), (notice) => void told.push(notice));
    for (const kind of ["trial-completed", "trial-stopped", "attempt-lost", "worker-away", "webhook-failed"])
      notices.note(trouble(1, 0, 0, kind));
    expect(told).toEqual([]);
  });

  it("have ids that differ by trial and time and stay over a restart", () => {
    const ids = [trouble(1, 0, 0), trouble(1, 1, 0), trouble(1, 0, 1), trouble(1, 0, 0, "trial-lost")].map(noticeId);
    expect(new Set(ids).size).toBe(4);
    expect(noticeId(trouble(1, 0, 0))).toBe(ids[0]);
  });
});

describe("the webhook's settings", () => {
  it("signs as documented", () => {
    const digest = createHmac("sha256", "k".repeat(16)).update("12.{}").digest("hex");
    expect(signature("k".repeat(16), 12, "{}")).toBe(`t=12,v1=${digest}`);
  });

  it.each([
    ["nonsense", "expected an address such as https://example.org/hooks/convsweep"],
    ["ftp://example.org/", "expected https://, found ftp://"],
    ["file:///etc/passwd", "expected https://, found file://"],
    ["https://user:word@example.org/", "no name and password in the address"],
    ["http://example.org/", "http:// only to this machine"],
    ["http://127.0.0.1.example.org/", "http:// only to this machine"],
  ])("refuses the address %s", async (text, why) => {
    const error = await rejection(Promise.resolve().then(() => webhookUrl(text)));
    expect(error).toMatchObject({ code: "BAD_INPUT", path: "--webhook" });
    expect(error.message).toContain(why);
  });

  it.each(["https://example.org/x?y=1", "http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost/"])(
    "takes the address %s",
    (text) => {
      expect(webhookUrl(text).href).toBe(text);
    },
  );

  it("reads a key from a file of its owner alone", async () => {
    const file = join(scratch(), "key");
    const tried = (): Promise<unknown> => Promise.resolve().then(() => webhookSecret(file));
    expect((await rejection(tried())).message).toContain("cannot read");
    writeFileSync(file, "0123456789abcdef\n", { mode: 0o600 });
    expect(await tried()).toBe("0123456789abcdef");
    chmodSync(file, 0o644);
    expect((await rejection(tried())).message).toContain("can be read by others");
    chmodSync(file, 0o600);
    writeFileSync(file, "short\n");
    expect((await rejection(tried())).message).toContain("holds no key");
  });
});
