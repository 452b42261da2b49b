/** D1 and D3 to D8 of the fault plan: what a peer may do to the gRPC port, over real sockets. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { manualClock, type Started, start } from "../shell/fixture.js";
import { ScriptedWorker } from "../shell/scripted-worker.js";
import { METHODS, statusOf } from "./rig.js";

const bearer = ({ storeDir }: Started): string => `Bearer ${readFileSync(tokenFile(storeDir, "admin"), "utf8").trim()}`;

function http2({ coordinator }: Started): ClientHttp2Session {
  const session = connectHttp2(`http://${coordinator.grpcAddress}`);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

/** The grpc-status that a raw request ends with; `reset` if the stream or connection was cut, `HTTP n` without one. */
function raw(session: ClientHttp2Session, headers: Record<string, string>, body: Buffer | null): Promise<string> {
  return new Promise((resolve) => {
    const stream = session.request({
      ":method": "POST",
      "content-type": "application/grpc+proto",
      te: "trailers",
      ...headers,
    });
    let answer = "reset";
    const note = (seen: Record<string, unknown>): void => {
      if (seen["grpc-status"] !== undefined) answer = String(seen["grpc-status"]);
      else if (seen[":status"] !== undefined && seen[":status"] !== 200) answer = `HTTP ${String(seen[":status"])}`;
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("error", () => {});
    stream.on("close", () => resolve(answer));
    stream.resume();
    if (body === null) stream.end();
    else stream.end(body);
  });
}

function framed(payload: Buffer, compressed: boolean): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** An HTTP/2 frame as it stands on the wire (RFC 9113, 4.1). */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

async function serves({ admin }: Started): Promise<void> {
  expect((await admin.getStatus()).pid).toBe(process.pid);
}

describe("the gRPC port", () => {
  it("D1: takes random bytes at every method, from strangers and from friends", async () => {
    const started = await start();
    const client = new Client(started.coordinator.grpcAddress, credentials.createInsecure());
    onTestFinished(() => client.close());
    const bytes = (value: Buffer): Buffer => value;
    const before = process.memoryUsage().rss;
    const seen = new Set<number>();
    for (const authorization of [null, bearer(started)]) {
      const metadata = new Metadata();
      if (authorization !== null) metadata.set("authorization", authorization);
      for (const method of METHODS.filter((one) => !one.requestStream && one.path !== AdminServiceService.watch.path)) {
        const calls = Array.from({ length: 100 }, (_, n) => {
          const request = randomBytes(1 + (n % 97));
          return new Promise<number>((resolve) => {
            const options = { deadline: Date.now() + 20_000 };
            if (method.responseStream) {
              const call = client.makeServerStreamRequest(method.path, bytes, bytes, request, metadata, options);
              call.on("error", (error: Error & { code?: number }) => resolve(error.code ?? -1));
              call.on("end", () => resolve(status.OK));
              call.resume();
            } else {
              client.makeUnaryRequest(method.path, bytes, bytes, request, metadata, options, (error) =>
                resolve(error === null ? status.OK : error.code),
              );
            }
          });
        });
        for (const code of await Promise.all(calls)) seen.add(authorization === null ? code + 100 : code);
      }
    }
    // Strangers hear one thing (or that it is enough); friends that it is not a message, or nothing of that name.
    const strangers = [...seen].filter((code) => code >= 100).map((code) => code - 100);
    for (const code of strangers) expect([status.UNAUTHENTICATED, status.RESOURCE_EXHAUSTED]).toContain(code);
    const friends = [...seen].filter((code) => code < 100);
    expect(friends.length).toBeGreaterThan(0);
    for (const code of [status.UNKNOWN, status.DEADLINE_EXCEEDED, status.UNAVAILABLE, -1]) {
      expect(friends).not.toContain(code);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(150 << 20);
    await serves(started);
  });

  it("D1: takes random bytes on a Link", async () => {
    const started = await start();
    const link = METHODS.find(({ path }) => path.endsWith("/Link"));
    if (link === undefined) throw new Error("no Link");
    for (let n = 0; n < 100; n += 1) {
      const code = await statusOf(started.coordinator.grpcAddress, link, bearer(started), null, randomBytes(1 + n));
      // The last: bytes that happen to be a Hello of another protocol.
      expect([status.INTERNAL, status.INVALID_ARGUMENT, status.FAILED_PRECONDITION]).toContain(code);
    }
    await serves(started);
  });

  it("D3: refuses a message above its limit", async () => {
    const started = await start();
    const large = Buffer.alloc((4 << 20) + 1_024);
    const method = AdminServiceService.submitSweep;
    expect(await statusOf(started.coordinator.grpcAddress, method, bearer(started), null, large)).toBe(
      status.RESOURCE_EXHAUSTED,
    );
    await serves(started);
  });

  it("D4: survives a gzip bomb, broken gzip and an unknown encoding", async () => {
    const started = await start();
    const session = http2(started);
    const headers = { ":path": AdminServiceService.submitSweep.path, authorization: bearer(started) };
    const before = process.memoryUsage().rss;
    const bomb = framed(gzipSync(Buffer.alloc(128 << 20)), true);
    expect(await raw(session, { ...headers, "grpc-encoding": "gzip" }, bomb)).toBe(String(status.RESOURCE_EXHAUSTED));
    expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
    const broken = framed(Buffer.from("this is no gzip at all"), true);
    expect(["13", "3"]).toContain(await raw(session, { ...headers, "grpc-encoding": "gzip" }, broken));
    const odd = framed(Buffer.from([1, 2, 3]), true);
    expect(await raw(session, { ...headers, "grpc-encoding": "middle-out" }, odd)).toBe(String(status.UNIMPLEMENTED));
    await serves(started);
  });

  it("D5: answers malformed beginnings with an error", async () => {
    const started = await start();
    const session = http2(started);
    const authorization = bearer(started);
    const good = AdminServiceService.getStatus.path;
    const cases: readonly Record<string, string>[] = [
      { ":path": "/__proto__/constructor", authorization },
      { ":path": "/convsweep.v1.AdminService/toString", authorization },
      { ":path": "/", authorization },
      { ":path": good, authorization, ":method": "GET" },
      { ":path": good, authorization, "content-type": "text/html" },
      { ":path": good, authorization, "grpc-timeout": "soon" },
      { ":path": good },
    ];
    for (const headers of cases) {
      const answer = await raw(session, headers, headers[":method"] === "GET" ? null : framed(Buffer.alloc(0), false));
      expect(answer, JSON.stringify(headers)).toMatch(/^(?!0$)(?:\d+|HTTP [45]\d\d|reset)$/);
    }
    // A frame that promises more than comes, and one of a length that is none.
    for (const body of [Buffer.from([0, 0, 0, 0, 9, 1]), Buffer.from([0, 255, 255, 255, 255]), Buffer.from([7])]) {
      expect(await raw(session, { ":path": good, authorization }, body)).not.toBe("0");
    }
    await serves(started);
  });

  it("D6: serves others through a flood of resets and of pings", async () => {
    const started = await start();
    const flood = http2(started);
    await new Promise((resolve) => flood.once("connect", resolve));
    const slowest = { millis: 0 };
    for (let round = 0; round < 10; round += 1) {
      for (let n = 0; n < 300 && !flood.destroyed; n += 1) {
        const stream = flood.request({ ":method": "POST", ":path": AdminServiceService.getStatus.path });
        stream.on("error", () => {});
        stream.close(8);
        flood.ping(() => {});
      }
      const began = performance.now();
      await serves(started);
      slowest.millis = Math.max(slowest.millis, performance.now() - began);
    }
    expect(slowest.millis).toBeLessThan(2_000);
  });

  it.each([
    // Answered with an acknowledgement each, which nobody reads.
    ["SETTINGS", [frame(4, 0, 0, Buffer.alloc(0))]],
    ["PING", [frame(6, 0, 0, Buffer.alloc(8))]],
    // Headers that never end; the first block opens stream 1.
    ["CONTINUATION", [frame(9, 0, 1, Buffer.alloc(1_000, 0x40))], frame(1, 0, 1, Buffer.from([0x82]))],
    ["empty DATA", [frame(0, 0, 1, Buffer.alloc(0))], frame(1, 4, 1, Buffer.from([0x83]))],
    ["a window of 0", [frame(8, 0, 0, Buffer.from([0, 0, 0, 0]))]],
    ["PRIORITY", [frame(2, 0, 3, Buffer.from([0, 0, 0, 0, 16]))]],
  ] as const)("D6: serves others through a flood of %s frames", async (_name, frames, first = Buffer.alloc(0)) => {
    const started = await start();
    const [host = "", port] = started.coordinator.grpcAddress.split(":");
    const socket = connect(Number(port), host);
    onTestFinished(() => void socket.destroy());
    let open = true;
    socket.on("error", () => {});
    socket.on("close", () => {
      open = false;
    });
    await new Promise((resolve) => socket.once("connect", resolve));
    // Nothing is read: what the server has to say to this stays with it.
    socket.pause();
    socket.write(Buffer.concat([PREFACE, frame(4, 0, 0, Buffer.alloc(0)), first]));
    const before = process.memoryUsage().rss;
    const many = Buffer.concat(Array.from({ length: 2_000 }, () => frames[0]));
    let slowest = 0;
    for (let round = 0; round < 20 && open; round += 1) {
      socket.write(many);
      const began = performance.now();
      await serves(started);
      slowest = Math.max(slowest, performance.now() - began);
    }
    expect(slowest).toBeLessThan(2_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
    await serves(started);
  });

  it("D7: closes who says nothing, and who never makes a call, and takes no more of them than its limit", async () => {
    const clock = manualClock();
    const started = await start({ clock, connectionLimits: { strangersHere: 20 } });
    await serves(started);
    const [host = "", port] = started.coordinator.grpcAddress.split(":");
    const open = (greeting: string | null): { socket: Socket; closed: Promise<void> } => {
      const socket = connect(Number(port), host).resume();
      socket.on("error", () => {});
      onTestFinished(() => void socket.destroy());
      if (greeting !== null) socket.write(greeting, "latin1");
      return { socket, closed: new Promise((resolve) => socket.once("close", () => resolve())) };
    };
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const talkers = Array.from({ length: 5 }, () => open(preface));
    for (const { socket } of talkers) await new Promise((resolve) => socket.once("data", resolve));
    const silent = Array.from({ length: 15 }, () => open(null));
    const more = Array.from({ length: 10 }, () => open(null));
    await Promise.all(more.map(({ closed }) => closed));
    expect(silent.every(({ socket }) => !socket.destroyed)).toBe(true);
    clock.advance(10_000);
    await Promise.all(silent.map(({ closed }) => closed));
    expect(talkers.every(({ socket }) => !socket.destroyed)).toBe(true);
    clock.advance(5_000);
    await Promise.all(talkers.map(({ closed }) => closed));
    await serves(started);
  });

  it("D8: ends a Link on which nothing is said for a lease", async () => {
    const clock = manualClock();
    const { coordinator, storeDir } = await start({ clock });
    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    clock.advance(9_000);
    expect((await worker.end()).code).toBe(status.DEADLINE_EXCEEDED);
  });
});
