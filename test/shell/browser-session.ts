/**
 * A browser of a test: follows a login link, keeps the cookie, and asks for tickets as the page does.
 */
import type { RunningCoordinator } from "../../coordinator/shell/compose.js";
import type { SessionAnswer, TicketAnswer } from "../../proto/feed.js";

export interface BrowserSession {
  /** What a browser sends along to this page. */
  readonly headers: { readonly cookie: string; readonly origin: string };
  readonly csrf: string;
  /** POST of the page itself. */
  post(path: string): Promise<Response>;
  /** Where one socket can be opened. */
  feed(): Promise<string>;
}

export async function logIn({ dashboardUrl }: Pick<RunningCoordinator, "dashboardUrl">): Promise<BrowserSession> {
  const { origin } = new URL(dashboardUrl);
  const answer = await fetch(dashboardUrl, { redirect: "manual" });
  const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  const headers = { cookie, origin };
  const { csrf } = (await (await fetch(`${origin}/api/session`, { headers })).json()) as SessionAnswer;
  const post = (path: string): Promise<Response> =>
    fetch(origin + path, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "x-csrf": csrf },
    });
  return {
    headers,
    csrf,
    post,
    async feed() {
      const { ticket } = (await (await post("/api/ws-ticket")).json()) as TicketAnswer;
      return `${origin.replace("http", "ws")}/feed?ticket=${ticket}`;
    },
  };
}
