/**
 * The browser as the feed client sees it: socket, clock, frames, HTTP. The only file of feed/ that touches globals.
 */
import type { FeedSocket, FeedWorld } from "./client.js";

export function browserWorld(): FeedWorld {
  return {
    open(): FeedSocket {
      const address = new URL("/feed", location.href);
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      return new WebSocket(address) as unknown as FeedSocket;
    },
    async probe() {
      try {
        const answer = await fetch("/api/curves?sweep=0&limit=0", { credentials: "same-origin", cache: "no-store" });
        return answer.status === 401 || answer.status === 403 ? "signed-out" : "ok";
      } catch {
        return "silent";
      }
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

/** JSON of a GET, or an Error with words a person can read. */
export async function getJson(path: string): Promise<unknown> {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store" });
  if (answer.ok) return answer.json();
  const body: unknown = await answer.json().catch(() => null);
  const message = typeof body === "object" && body !== null && "message" in body ? String(body.message) : "";
  throw new Error(message === "" ? `the coordinator answered ${answer.status} to ${path}` : message);
}
