/**
 * F1 and F3 of the fault plan: what only the page itself may ask for (a ticket for a socket, signing out), and that a
 * socket needs such a ticket and ends with its session.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { SESSION_MILLIS, TICKET_MILLIS } from "../../coordinator/shell/logins.js";
import { type BrowserSession, logIn } from "../shell/browser-session.js";
import { manualClock, start } from "../shell/fixture.js";

/** Status of an upgrade; the socket, if it was opened. */
function open(
  url: string,
  { headers }: BrowserSession,
): Promise<{ readonly status: number; readonly socket: WebSocket }> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { headers, perMessageDeflate: false });
    socket.on("unexpected-response", (_request, response) => resolve({ status: response.statusCode ?? 0, socket }));
    socket.on("open", () => resolve({ status: 101, socket }));
    socket.on("error", () => {});
    onTestFinished(() => socket.terminate());
  });
}

const statusOf = async (url: string, browser: BrowserSession): Promise<number> => (await open(url, browser)).status;

const closing = (socket: WebSocket): Promise<string> =>
  new Promise((resolve) => void socket.once("close", (code, reason) => resolve(`${code} ${reason}`)));

describe("F1: a ticket for the feed", () => {
  it("opens one socket, of the session that asked for it, within thirty seconds", async () => {
    const clock = manualClock();
    const { coordinator } = await start({ clock });
    const browser = await logIn(coordinator);
    const other = await logIn(coordinator);
    const bare = `ws://${coordinator.httpAddress}/feed`;
    for (const url of [bare, `${bare}?ticket=`, `${bare}?ticket=${"A".repeat(43)}`, `${bare}?ticket=${browser.csrf}`])
      expect([url, await statusOf(url, browser)]).toEqual([url, 403]);

    const used = await browser.feed();
    expect(await statusOf(used, browser)).toBe(101);
    expect(await statusOf(used, browser)).toBe(403);

    const foreign = await browser.feed();
    expect(await statusOf(foreign, other)).toBe(403);
    expect(await statusOf(foreign, browser)).toBe(101);

    const [old, fresh] = [await browser.feed(), await browser.feed()];
    clock.advance(TICKET_MILLIS - 1);
    expect(await statusOf(fresh, browser)).toBe(101);
    clock.advance(1);
    expect(await statusOf(old, browser)).toBe(403);
  });

  it("is one of the sixteen newest of its session", async () => {
    const { coordinator } = await start();
    const browser = await logIn(coordinator);
    const other = await logIn(coordinator);
    const kept = await other.feed();
    const tickets: string[] = [];
    for (let n = 0; n < 17; n += 1) tickets.push(await browser.feed());
    expect(await statusOf(tickets[0] ?? "", browser)).toBe(403);
    expect(await statusOf(tickets[1] ?? "", browser)).toBe(101);
    expect(await statusOf(kept, other)).toBe(101);
  });
});

describe("F3: what only the page itself may ask for", () => {
  it("is refused without its session, its Origin, its type or its session's X-CSRF, and then changes nothing", async () => {
    const { coordinator } = await start();
    const origin = `http://${coordinator.httpAddress}`;
    const browser = await logIn(coordinator);
    const other = await logIn(coordinator);
    const right = { ...browser.headers, "content-type": "application/json", "x-csrf": browser.csrf };
    const without = (name: keyof typeof right): Record<string, string> =>
      Object.fromEntries(Object.entries(right).filter(([key]) => key !== name));
    const forged: readonly (readonly [number, Record<string, string>])[] = [
      [401, without("cookie")],
      [403, without("origin")],
      [403, { ...right, origin: "null" }],
      [403, { ...right, origin: "https://evil.example" }],
      [403, { ...right, origin: `${origin}.evil.example` }],
      [403, { ...right, origin: origin.replace(/[0-9]+$/, "1") }],
      [403, without("content-type")],
      [403, { ...right, "content-type": "text/plain" }],
      [403, { ...right, "content-type": "application/x-www-form-urlencoded" }],
      [403, { ...right, "content-type": "multipart/form-data; boundary=x" }],
      [403, without("x-csrf")],
      [403, { ...right, "x-csrf": "" }],
      [403, { ...right, "x-csrf": browser.csrf.slice(0, -1) }],
      [403, { ...right, "x-csrf": other.csrf }],
    ];
    for (const path of ["/api/ws-ticket", "/api/sign-out"]) {
      for (const [status, headers] of forged) {
        const answer = await fetch(origin + path, { method: "POST", headers });
        const text = await answer.text();
        expect([path, headers, answer.status]).toEqual([path, headers, status]);
        expect(text).not.toContain("ticket");
        expect(answer.headers.get("set-cookie")).toBeNull();
        expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
      }
    }
    // A browser asks first whether it may send X-CSRF from elsewhere: it may not.
    const preflight = await fetch(`${origin}/api/ws-ticket`, { method: "OPTIONS", headers: browser.headers });
    expect(preflight.status).toBe(405);
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
    expect(await statusOf(await browser.feed(), browser)).toBe(101);
  });

  it("shows X-CSRF to its own session alone", async () => {
    const { coordinator } = await start();
    const [one, other] = [await logIn(coordinator), await logIn(coordinator)];
    expect(one.csrf).toMatch(/^[\w-]{43}$/);
    expect(one.csrf).not.toBe(other.csrf);
    expect((await fetch(`http://${coordinator.httpAddress}/api/session`)).status).toBe(401);
  });
});

describe("a session", () => {
  it("that signs out opens nothing any more, and its sockets end; others go on", async () => {
    const { coordinator } = await start();
    const [browser, other] = [await logIn(coordinator), await logIn(coordinator)];
    const [mine, theirs] = [await open(await browser.feed(), browser), await open(await other.feed(), other)];
    const kept = await browser.feed();
    const ended = closing(mine.socket);
    const answer = await browser.post("/api/sign-out");
    expect(answer.status).toBe(200);
    const port = (coordinator.httpAddress ?? "").split(":")[1];
    expect(answer.headers.get("set-cookie")).toBe(`convsweep-${port}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0`);
    expect(await ended).toBe("1008 the session is over");
    expect(theirs.socket.readyState).toBe(WebSocket.OPEN);
    for (const path of ["/", "/api/session", "/api/curves?sweep=1"]) {
      const again = await fetch(`http://${coordinator.httpAddress}${path}`, { headers: browser.headers });
      expect([path, again.status]).toEqual([path, 401]);
    }
    expect((await browser.post("/api/ws-ticket")).status).toBe(401);
    expect(await statusOf(kept, browser)).toBe(401);
    expect(await statusOf(await other.feed(), other)).toBe(101);
  });

  it("takes its sockets along when its twelve hours are over", async () => {
    const clock = manualClock();
    const { coordinator } = await start({ clock });
    const browser = await logIn(coordinator);
    clock.advance(SESSION_MILLIS - 10_000);
    const { socket } = await open(await browser.feed(), browser);
    socket.send(JSON.stringify({ kind: "hello", resume: null }));
    await new Promise((resolve) => socket.once("message", resolve));
    const ended = closing(socket);
    clock.advance(9_999);
    expect((await browser.post("/api/ws-ticket")).status).toBe(200);
    expect(socket.readyState).toBe(WebSocket.OPEN);
    clock.advance(1);
    expect(await ended).toBe("1008 the session is over");
    expect((await browser.post("/api/ws-ticket")).status).toBe(401);
  });
});
