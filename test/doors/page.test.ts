/** F2, F4, F7, F9, F10 and F12 of the fault plan: what a peer may do to the page's port, over real sockets. */
import { chmodSync } from "node:fs";
import { connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { csvCell } from "../../coordinator/cli/format.js";
import { checkFloors, loadedVersions } from "../../coordinator/shell/floors.js";
import { logIn } from "../shell/browser-session.js";
import { rejection, type Started, scratch, start } from "../shell/fixture.js";

const addressOf = ({ coordinator }: Started): string => coordinator.httpAddress ?? "";

/** Sends bytes as they are; answers the first line of what comes back, "" if the connection is closed without one. */
function send(started: Started, text: string): Promise<string> {
  const [host, port] = addressOf(started).split(":");
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(Number(port), host, () => socket.write(text, "latin1"));
    onTestFinished(() => void socket.destroy());
    socket.setEncoding("latin1").on("data", (part: string) => {
      answer += part;
      if (answer.includes("\r\n\r\n")) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer.split("\r\n")[0] ?? ""));
  });
}

describe("the page's port", () => {
  it("F2: knows itself under its own names only, said once and plainly", async () => {
    const started = await start();
    const host = addressOf(started);
    const port = host.split(":")[1];
    const cases: readonly (readonly [string, RegExp])[] = [
      ["GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", / 421 /],
      ["GET /healthz HTTP/1.1\r\n\r\n", / 400 /],
      ["GET /healthz HTTP/1.0\r\n\r\n", / 421 /],
      [`GET /healthz HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\n\r\n`, / 4(?:00|21) /],
      [`GET /healthz HTTP/1.1\r\nHost: user@${host}\r\n\r\n`, / 421 /],
      [`GET /healthz HTTP/1.1\r\nHost: 127.0.0.1.evil.example:${port}\r\n\r\n`, / 421 /],
      [`GET http://evil.example/healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`, / 421 /],
      [`GET http://${host}/healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`, / 421 /],
      [
        "POST /login HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        / 421 /,
      ],
      [`GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`, / 200 /],
    ];
    for (const [text, wanted] of cases) expect(await send(started, text), text).toMatch(wanted);
  });

  it("F9: what sends its headers a byte at a time is cut off, as many as one address may have; others are served", async () => {
    const started = await start();
    const host = addressOf(started);
    const [name, port] = host.split(":");
    const slow = Array.from({ length: 60 }, () => connect(Number(port), name));
    const drops = slow.map((socket) => {
      onTestFinished(() => void socket.destroy());
      const text = `GET /healthz HTTP/1.1\r\nHost: ${host}\r\nX-Slow: ${"a".repeat(1_000)}`;
      let at = 0;
      socket.on("error", () => {});
      const timer = setInterval(() => {
        socket.write(text.slice(at, at + 1));
        at += 1;
      }, 100);
      return new Promise<void>((resolve) => {
        socket.once("close", () => {
          clearInterval(timer);
          resolve();
        });
      });
    });
    expect(await send(started, `GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toMatch(/ 200 /);
    // 10 s for the headers, looked at every two.
    await Promise.all(drops);
    expect(await send(started, `GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toMatch(/ 200 /);
  }, 60_000);

  it("F4: has no way to the file system", async () => {
    const started = await start();
    const { cookie } = (await logIn(started.coordinator)).headers;
    for (const path of [
      "/../admin.token",
      "/%2e%2e%2fadmin.token",
      "/%252e%252e/admin.token",
      "/..%5cadmin.token",
      "/assets/....//admin.token",
      "/admin.token%00.js",
      "/%c0%ae%c0%ae/admin.token",
      "//etc/passwd",
      "/artifacts/../../admin.token",
      "/artifacts/1%2f..",
      "/artifacts/-1",
      "/__proto__",
      "/constructor",
    ]) {
      const text = `GET ${path} HTTP/1.1\r\nHost: ${addressOf(started)}\r\nCookie: ${cookie}\r\n\r\n`;
      expect(await send(started, text), path).toMatch(/ 404 /);
    }
  });

  it("F10, F12: takes no body, no long header, no other method", async () => {
    const started = await start();
    const head = `HTTP/1.1\r\nHost: ${addressOf(started)}\r\n`;
    const many = Array.from({ length: 2_000 }, (_, n) => `x${n}: y\r\n`).join("");
    const cases: readonly (readonly [string, RegExp])[] = [
      [`GET /healthz ${head}X: ${"y".repeat(64 << 10)}\r\n\r\n`, / 431 /],
      [`GET /healthz ${head}${many}\r\n`, / (?:200|431) /],
      [`GET /healthz ${head}__proto__: x\r\nconstructor: y\r\n\r\n`, / 200 /],
      [`GET /healthz ${head}Content-Length: 5\r\n\r\nhello`, / 400 /],
      [`GET /healthz ${head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, / 400 /],
      [`POST /api/curves ${head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`, / 405 /],
      [`DELETE / ${head}\r\n`, / 405 /],
      [`TRACE / ${head}\r\n`, / 4\d\d /],
      ["no request at all\r\n\r\n", / 400 /],
    ];
    for (const [text, wanted] of cases) expect(await send(started, text), text.slice(0, 80)).toMatch(wanted);
    expect(await send(started, `GET /healthz ${head}\r\n`)).toMatch(/ 200 /);
  });

  it("F7: closes a socket that is too long, in too many pieces, not text, or pings without end", async () => {
    const started = await start();
    const browser = await logIn(started.coordinator);
    const { headers } = browser;
    const closed = async (act: (socket: WebSocket) => void): Promise<number> => {
      const url = await browser.feed();
      return new Promise((resolve) => {
        const socket = new WebSocket(url, { headers, perMessageDeflate: false });
        onTestFinished(() => socket.terminate());
        socket.on("error", () => {});
        socket.on("open", () => act(socket));
        socket.on("close", (code) => resolve(code));
      });
    };
    expect(await closed((socket) => socket.send("x".repeat((64 << 10) + 1)))).toBe(1009);
    expect(await closed((socket) => socket.send(Buffer.from([0xff, 0xfe, 0xfd]), { binary: false }))).toBe(1007);
    const pieces = await closed((socket) => {
      for (let n = 0; n < 100; n += 1) socket.send("x", { fin: false });
    });
    expect([1002, 1008, 1009, 1006]).toContain(pieces);
    const pings = await closed((socket) => {
      for (let n = 0; n < 100; n += 1) socket.ping();
    });
    expect(pings).toBe(1006);
    expect(await closed((socket) => socket.send("{}"))).toBe(1008);
  });
});

describe("what stands around the doors", () => {
  it("F6: a text that a spreadsheet would run is quoted; numbers are not", () => {
    expect(["=1+1", "+cmd", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1"].map(csvCell)).toEqual([
      "'=1+1",
      "'+cmd",
      "'-2+3+cmd|' /C calc'!A0",
      "'@SUM(A1)",
      "'\t=1",
    ]);
    expect([-1.5, "-1.5e-7", "-inf", "val_loss"].map(csvCell)).toEqual(["-1.5", "-1.5e-7", "-inf", "val_loss"]);
  });

  it("a store that others can write is refused", async () => {
    const storeDir = scratch();
    chmodSync(storeDir, 0o777);
    expect(await rejection(start({ options: { storeDir } }))).toMatchObject({
      code: "FORBIDDEN",
      message: expect.stringContaining("chmod 700"),
    });
  });

  it("what is loaded is new enough, and what is too old is named", () => {
    checkFloors();
    expect(() => checkFloors({ ...loadedVersions(), ws: "8.21.0" })).toThrow(/ws 8\.21\.0 is not safe/);
    expect(() => checkFloors({ ...loadedVersions(), sqlite: "3.51.2" })).toThrow(/sqlite 3\.51\.2/);
    expect(() => checkFloors({ ...loadedVersions(), "@grpc/grpc-js": "1.14.3" })).toThrow(/grpc-js 1\.14\.3/);
  });
});
