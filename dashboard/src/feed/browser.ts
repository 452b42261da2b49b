/**
 * The browser as the feed client sees it: socket, clock, frames, HTTP. The only file of feed/ that touches globals.
 */
import type { SessionAnswer, TicketAnswer } from "../../../proto/feed.js";
import type { FeedSocket, FeedWorld } from "./client.js";

/** An answer that takes longer is none: the next try asks again. */
const ANSWER_MILLIS = 10_000;

export function browserWorld(): FeedWorld {
  return {
    async ticket() {
      try {
        const answer = await postOwn("/api/ws-ticket");
        if (answer.ok) return (await answer.json()) as TicketAnswer;
        return answer.status === 401 || answer.status === 403 ? "signed-out" : "silent";
      } catch {
        return "silent";
      }
    },
    open(ticket): FeedSocket {
      const address = new URL("/feed", location.href);
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      address.searchParams.set("ticket", ticket);
      return new WebSocket(address) as unknown as FeedSocket;
    },
    now: () => performance.now(),
    random: () => Math.random(),
    later(run, millis) {
      const timer = setTimeout(run, millis);
      return () => clearTimeout(timer);
    },
    frame(run) {
      // A hidden page gets no frames; it still follows, so that it is right when somebody looks.
      if (document.hidden) setTimeout(run, 250);
      else requestAnimationFrame(run);
    },
  };
}

/** A POST that shows it comes from this page; what was refused on the way there is the answer. */
export async function postOwn(path: string): Promise<Response> {
  const session = await ask("/api/session");
  if (!session.ok) return session;
  const { csrf } = (await session.json()) as SessionAnswer;
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json", "X-CSRF": csrf } });
}

function ask(path: string, how: RequestInit = {}): Promise<Response> {
  const signal = AbortSignal.timeout(ANSWER_MILLIS);
  return fetch(path, { ...how, credentials: "same-origin", cache: "no-store", signal });
}

/** JSON of a GET, or an Error with words a person can read. */
export async function getJson(path: string): Promise<unknown> {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store" });
  if (answer.ok) return answer.json();
  const body: unknown = await answer.json().catch(() => null);
  const message = typeof body === "object" && body !== null && "message" in body ? String(body.message) : "";
  throw new Error(message === "" ? `the coordinator answered ${answer.status} to ${path}` : message);
}
