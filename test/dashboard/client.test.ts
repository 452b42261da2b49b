/** The feed client against a scripted world: hello, resume, gaps, pauses, states. No real clock, no real socket. */
import { describe, expect, it } from "vitest";
import {
  type Connection,
  FeedClient,
  type FeedSocket,
  GONE_AFTER,
  readMessage,
} from "../../dashboard/src/feed/client.js";
import type { Model } from "../../dashboard/src/feed/reducer.js";
import { TIMES } from "../../proto/contract.js";
import type { FeedMessage, ReportRow } from "../../proto/feed.js";
import { sweepRow, trialRow } from "./rows.js";

class FakeSocket implements FeedSocket {
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  readonly sent: unknown[] = [];
  closed = false;
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.closed = true;
  }
  say(message: FeedMessage): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

function world() {
  const sockets: FakeSocket[] = [];
  const connections: Connection[] = [];
  const models: Model[] = [];
  const reports: (readonly ReportRow[] | null)[] = [];
  const timers: { run: () => void; millis: number }[] = [];
  const frames: (() => void)[] = [];
  let now = 0;
  let asked = 0;
  const tickets: string[] = [];
  let answer: "ticket" | "signed-out" | "silent" = "ticket";
  const client = new FeedClient(
    {
      ticket: async () => (answer === "ticket" ? { ticket: `ticket ${asked++}` } : answer),
      open: (ticket) => {
        const socket = new FakeSocket();
        sockets.push(socket);
        tickets.push(ticket);
        return socket;
      },
      now: () => now,
      random: () => 0.5,
      later: (run, millis) => {
        const timer = { run, millis };
        timers.push(timer);
        return () => timers.splice(timers.indexOf(timer), 1);
      },
      frame: (run) => frames.push(run),
    },
    {
      onModel: (model) => models.push(model),
      onReports: (list) => reports.push(list),
      onConnection: (connection) => connections.push(connection),
    },
  );
  return {
    client,
    connections,
    models,
    reports,
    timers,
    socket: () => sockets.at(-1) ?? new FakeSocket(),
    sockets,
    tickets,
    /** Lets the answer to a question for a ticket arrive. */
    answered: () => new Promise<void>((resolve) => setImmediate(resolve)),
    answer: (value: typeof answer) => {
      answer = value;
    },
    /** Lets the pause end. */
    wait: async () => {
      const timer = timers.shift();
      now += timer?.millis ?? 0;
      timer?.run();
      await new Promise<void>((resolve) => setImmediate(resolve));
      return timer?.millis;
    },
    frame: () => {
      for (const run of frames.splice(0)) run();
    },
  };
}

const SNAPSHOT: FeedMessage = {
  kind: "snapshot",
  feed: "f",
  seq: 4,
  version: "1",
  rest: 0,
  sweeps: [sweepRow(1)],
  trials: [],
  workers: [],
};

describe("FeedClient", () => {
  it("says hello, is live from the snapshot on, and publishes once a frame", async () => {
    const w = world();
    w.client.start();
    await w.answered();
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: null, parts: true }]);
    expect(w.connections).toEqual([]);
    w.socket().say(SNAPSHOT);
    const report: ReportRow = { trial: "1/0", epoch: 1, metrics: { a: 1 } };
    w.socket().say({ kind: "delta", seq: 5, changes: [{ kind: "report", row: report }] });
    w.socket().say({ kind: "delta", seq: 6, changes: [] });
    expect(w.connections).toEqual(["live"]);
    expect(w.models).toEqual([]);
    w.frame();
    expect(w.models.map((model) => model.seq)).toEqual([6]);
    expect(w.reports).toEqual([null, [report]]);
  });

  it("shows a snapshot's first part at once, the rest when all is there, and asks anew for one that was cut off", async () => {
    const w = world();
    w.client.start();
    await w.answered();
    w.socket().onopen?.();
    const rows = [0, 1, 2].map((number) => trialRow(1, number, { best: number / 10, bestEpoch: 1 }));
    w.socket().say({ ...SNAPSHOT, rest: 2, trials: rows.slice(2) });
    w.frame();
    w.socket().say({ kind: "rows", seq: 4, trials: rows.slice(0, 1) });
    w.frame();
    expect(w.models.map(({ rest, trials }) => [rest, trials.get(1)?.rows.count])).toEqual([[2, 1]]);
    w.socket().onclose?.();
    await w.wait();
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: null, parts: true }]);
    w.socket().say({ ...SNAPSHOT, rest: 2, trials: rows.slice(2) });
    w.socket().say({ kind: "rows", seq: 4, trials: rows.slice(0, 1) });
    w.socket().say({ kind: "rows", seq: 4, trials: rows.slice(1, 2) });
    w.frame();
    expect(w.models.at(-1)?.rest).toBe(0);
    expect([...(w.models.at(-1)?.trials.get(1)?.order ?? [])]).toEqual([2, 1, 0]);
    w.socket().onclose?.();
    await w.wait();
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: { feed: "f", seq: 4 }, parts: true }]);
  });

  it("resumes after a loss, with pauses that double up to the limit", async () => {
    const w = world();
    w.client.start();
    await w.answered();
    w.socket().onopen?.();
    w.socket().say(SNAPSHOT);
    w.socket().onclose?.();
    const pauses: (number | undefined)[] = [];
    for (let i = 0; i < 11; i++) {
      pauses.push(await w.wait());
      w.socket().onclose?.();
    }
    expect(pauses).toEqual([250, 500, 1000, 2000, ...Array<number>(7).fill(4000)]);
    expect(Math.max(...pauses.map(Number))).toBe(TIMES.reconnectMax);
    expect(w.connections).toEqual(["live", "reconnecting", "gone"]);
    expect(pauses.slice(0, 10).reduce<number>((sum, pause) => sum + (pause ?? 0), 0)).toBeLessThan(GONE_AFTER);
    await w.wait();
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: { feed: "f", seq: 4 }, parts: true }]);
    expect(w.connections.at(-1)).toBe("live");
  });

  it("a gap resumes from the last good number; a second gap there asks for a snapshot", async () => {
    const w = world();
    w.client.start();
    await w.answered();
    w.socket().onopen?.();
    w.socket().say(SNAPSHOT);
    w.socket().say({ kind: "delta", seq: 6, changes: [] });
    expect(w.socket().closed).toBe(true);
    await w.wait();
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: { feed: "f", seq: 4 }, parts: true }]);
    w.socket().say({ kind: "delta", seq: 6, changes: [] });
    await w.wait();
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: null, parts: true }]);
    w.socket().say({ ...SNAPSHOT, seq: 9 });
    w.frame();
    expect(w.models.at(-1)?.seq).toBe(9);
    expect(w.connections.at(-1)).toBe("live");
  });

  it("a message that cannot be read asks for a snapshot; an old socket is not heard", async () => {
    const w = world();
    w.client.start();
    await w.answered();
    const first = w.socket();
    first.onopen?.();
    first.say(SNAPSHOT);
    first.onmessage?.({ data: "{" });
    await w.wait();
    first.say({ ...SNAPSHOT, seq: 99 });
    w.socket().onopen?.();
    expect(w.socket().sent).toEqual([{ kind: "hello", resume: null, parts: true }]);
    w.frame();
    expect(w.models.at(-1)?.seq).toBe(4);
  });

  it("asks for a ticket before each connection, and opens one socket with each", async () => {
    const w = world();
    w.client.start();
    w.client.start();
    expect(w.sockets).toHaveLength(0);
    await w.answered();
    w.socket().onclose?.();
    await w.wait();
    expect(w.tickets).toEqual(["ticket 0", "ticket 1"]);
  });

  it("says signed out when the coordinator answers but refuses, and goes on asking", async () => {
    const w = world();
    w.answer("signed-out");
    w.client.start();
    await w.answered();
    expect(w.connections).toEqual(["signed-out"]);
    // Nothing new is known while nobody answers, until that has been so for long.
    w.answer("silent");
    await w.wait();
    expect(w.connections).toEqual(["signed-out"]);
    w.answer("ticket");
    await w.wait();
    w.socket().onopen?.();
    w.socket().say(SNAPSHOT);
    expect(w.connections).toEqual(["signed-out", "live"]);
    expect(w.sockets).toHaveLength(1);
  });

  it("says that nobody answers when that has been so for long, and signed out as soon as somebody does", async () => {
    const w = world();
    w.answer("silent");
    w.client.start();
    await w.answered();
    for (let waited = 0; waited < GONE_AFTER; ) waited += (await w.wait()) ?? 0;
    expect(w.connections).toEqual(["reconnecting", "gone"]);
    w.answer("signed-out");
    await w.wait();
    await w.wait();
    expect(w.connections).toEqual(["reconnecting", "gone", "signed-out"]);
  });

  it("does not wait out the pause when somebody looks again", async () => {
    const w = world();
    w.client.start();
    w.client.hurry();
    await w.answered();
    expect(w.sockets).toHaveLength(1);
    w.socket().onclose?.();
    w.client.hurry();
    await w.answered();
    expect(w.sockets).toHaveLength(2);
    expect(w.timers).toHaveLength(0);
  });
});

describe("readMessage", () => {
  it("takes messages of the feed and nothing else", () => {
    expect(readMessage(JSON.stringify(SNAPSHOT))).toEqual(SNAPSHOT);
    for (const data of [
      "",
      "null",
      "[]",
      '{"kind":"delta"}',
      '{"kind":"delta","seq":1.5,"changes":[]}',
      new Uint8Array(),
    ]) {
      expect(readMessage(data)).toBeNull();
    }
    expect(readMessage('{"kind":"snapshot","feed":"f","seq":1,"sweeps":[],"trials":[]}')).toBeNull();
  });
});
