/**
 * The feed over WebSocket at /feed.
 *
 * Guarantees: the socket is read-only; what a client says is one FeedHello, checked, within ten seconds, anything else
 * closes the socket. At most 8 sockets a session and 128 in all; they end with their session. A ping every 20 s; two
 * unanswered ones end the socket. Not here: who may connect (http.ts checks host, origin, session and ticket before the
 * upgrade), what is sent (feed-hub.ts).
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { millis } from "../../proto/contract.js";
import type { FeedHello } from "../../proto/feed.js";
import type { Clock } from "./clock.js";
import type { FeedHub, FeedSink } from "./feed-hub.js";
import type { Logins, Session } from "./logins.js";

const SOCKETS_A_SESSION = 8;
const SOCKETS_AT_MOST = 128;
const PING_MILLIS = 20_000;
const HELLO_MILLIS = 10_000;
/** Pings and pongs of a client. */
const FRAMES_A_SECOND = 20;

/** Characters. */
const FEED_NAME_AT_MOST = 64;

const CLOSE = { policy: 1008, goingAway: 1001, tryLater: 1013 } as const;
const SESSION_OVER = "the session is over";

export interface FeedSockets {
  /** `false`: too many sockets; the caller refuses the upgrade. */
  accept(session: string): boolean;
  /** Takes over an upgrade whose sender has been checked. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, session: Session): void;
  close(): void;
}

export function feedSockets(hub: FeedHub, logins: Logins, clock: Clock): FeedSockets {
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: 64 << 10,
    perMessageDeflate: false,
    clientTracking: false,
    // Newer than the types; what a hello takes, and no more.
    ...{ maxFragments: 16, maxBufferedChunks: 256 },
  });
  const open = new Map<WebSocket, string>();
  logins.onEnd((session) => {
    for (const [client, own] of open) if (own === session) client.close(CLOSE.policy, SESSION_OVER);
  });
  return {
    accept(session) {
      let own = 0;
      for (const one of open.values()) if (one === session) own += 1;
      return own < SOCKETS_A_SESSION && open.size < SOCKETS_AT_MOST;
    },
    upgrade(request, socket, head, session) {
      server.handleUpgrade(request, socket, head, (client) => {
        open.set(client, session.name);
        const cancelEnd = clock.schedule(session.until, () => client.close(CLOSE.policy, SESSION_OVER));
        client.once("close", () => {
          open.delete(client);
          cancelEnd();
        });
        serve(client, hub, clock);
      });
    },
    close() {
      for (const client of open.keys()) client.terminate();
      server.close();
    },
  };
}

function serve(socket: WebSocket, hub: FeedHub, clock: Clock): void {
  let leave: (() => void) | null = null;
  let unanswered = 0;
  const cancelHello = clock.schedule(millis(clock.now() + HELLO_MILLIS), () => {
    if (leave === null) socket.close(CLOSE.policy, "no hello came");
  });
  const beat = (): void => {
    if (unanswered >= 2) {
      socket.terminate();
      return;
    }
    unanswered += 1;
    socket.ping();
    cancelBeat = clock.schedule(millis(clock.now() + PING_MILLIS), beat);
  };
  let cancelBeat = clock.schedule(millis(clock.now() + PING_MILLIS), beat);
  let frames = 0;
  let secondBegan = clock.now();
  const tooMany = (): boolean => {
    if (clock.now() - secondBegan >= 1_000) {
      secondBegan = clock.now();
      frames = 0;
    }
    frames += 1;
    return frames > FRAMES_A_SECOND;
  };
  socket.on("ping", () => {
    if (tooMany()) socket.terminate();
  });
  socket.on("pong", () => {
    if (tooMany()) socket.terminate();
    unanswered = 0;
  });
  socket.on("message", (data, isBinary) => {
    const hello = isBinary || leave !== null ? null : parseHello(String(data));
    if (hello === null) {
      socket.close(CLOSE.policy, "expected one hello");
      return;
    }
    cancelHello();
    leave = hub.open(sinkOf(socket), { resume: hello.resume, sweep: null, parts: hello.parts ?? false });
  });
  socket.on("error", () => socket.terminate());
  socket.once("close", () => {
    cancelHello();
    cancelBeat();
    leave?.();
  });
}

function sinkOf(socket: WebSocket): FeedSink {
  return {
    backlog: () => socket.bufferedAmount,
    send(text, flushed) {
      socket.send(text, (error) => {
        if (!error) flushed();
      });
    },
    close(reason) {
      if (reason === "slow") {
        socket.close(CLOSE.tryLater, "reads too slowly");
        // It does not read, so it will not answer the close either.
        socket.terminate();
      } else socket.close(CLOSE.goingAway, "the coordinator is closing");
    },
  };
}

/** `null` for anything but a FeedHello with nothing beside it. */
export function parseHello(text: string): FeedHello | null {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return null;
  }
  if (!holdsOnly(given, ["kind", "resume", "parts"]) || given["kind"] !== "hello") return null;
  const { resume, parts } = given;
  if (parts !== undefined && typeof parts !== "boolean") return null;
  if (resume === null) return { kind: "hello", resume, parts };
  if (!holdsOnly(resume, ["feed", "seq"])) return null;
  const { feed, seq } = resume;
  if (typeof feed !== "string" || feed.length > FEED_NAME_AT_MOST) return null;
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 0) return null;
  return { kind: "hello", resume: { feed, seq }, parts };
}

function holdsOnly(value: unknown, names: readonly string[]): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).every((name) => names.includes(name))
  );
}
