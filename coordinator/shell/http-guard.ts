/**
 * What every HTTP answer carries and every request must have.
 *
 * Guarantees: a request whose Host is not an expected one is refused before it is routed (a page elsewhere that makes a
 * browser resolve its own name to this machine gets nothing); a request that does more than ask comes from the page itself
 * (its Origin, its session's X-CSRF, a type that no form can send); every answer has the security headers; no answer
 * allows another origin anything. Not here: sessions' lifetime (logins.ts), routes (http-routes.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Logins, SESSION_MILLIS, type Session, showsCsrf } from "./logins.js";

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " +
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
    "object-src 'none'; require-trusted-types-for 'script'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
};

export function secure(response: ServerResponse, tls: boolean): void {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  if (tls) response.setHeader("Strict-Transport-Security", "max-age=31536000");
}

export class Guard {
  readonly #hosts: ReadonlySet<string>;
  readonly #cookie: string;
  readonly #logins: Logins;
  readonly #tls: boolean;

  /** `address` is where the server listens; `names` are further host names it is known under. */
  constructor(address: string, names: readonly string[], logins: Logins, tls: boolean) {
    const port = address.slice(address.lastIndexOf(":") + 1);
    this.#tls = tls;
    const hosts = [address, ...["127.0.0.1", "localhost", "[::1]", ...names].map((name) => `${name}:${port}`)];
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
    // Cookies do not know ports: two coordinators on one machine must not log each other out. `__Host-`: browsers take it
    // over TLS only, and from this very host.
    this.#cookie = `${tls ? "__Host-" : ""}convsweep-${port}`;
    this.#logins = logins;
  }

  /** Exactly one Host, an expected one, and no other server named in the request's first line. */
  knowsHost(request: IncomingMessage): boolean {
    const { rawHeaders, url = "" } = request;
    let hosts = 0;
    for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === "host") hosts += 1;
    return hosts === 1 && url.startsWith("/") && this.#hosts.has((request.headers.host ?? "").toLowerCase());
  }

  /** Present, and the page's own: browsers open WebSockets to anywhere, and send forms. */
  hasOwnOrigin(request: IncomingMessage): boolean {
    const origin = request.headers.origin?.toLowerCase();
    return (
      origin !== undefined && origin === `http${this.#tls ? "s" : ""}://${(request.headers.host ?? "").toLowerCase()}`
    );
  }

  /** What the page itself sends with a POST, and no page from elsewhere can. */
  isOwnRequest(request: IncomingMessage, session: Session): boolean {
    const { headers } = request;
    const shown = headers["x-csrf"];
    return (
      this.hasOwnOrigin(request) &&
      headers["content-type"] === "application/json" &&
      typeof shown === "string" &&
      showsCsrf(session, shown)
    );
  }

  /** The session that the cookie opens; `null` for none. */
  session(request: IncomingMessage): Session | null {
    for (const pair of (request.headers.cookie ?? "").split(";")) {
      const at = pair.indexOf("=");
      if (at < 0 || pair.slice(0, at).trim() !== this.#cookie) continue;
      return this.#logins.session(pair.slice(at + 1).trim());
    }
    return null;
  }

  newTicket(session: Session): string | null {
    return this.#logins.newTicket(session.name);
  }

  useTicket(session: Session, ticket: string): boolean {
    return this.#logins.useTicket(session.name, ticket);
  }

  /** Ends a session; answers the Set-Cookie text that makes the browser forget it. */
  signOut(session: Session): string {
    this.#logins.end(session.name);
    return this.#setCookie("", 0);
  }

  /** The Set-Cookie text of a new session, or `null` if the code is not good. */
  redeem(code: string): string | null {
    const secret = this.#logins.redeem(code);
    return secret === null ? null : this.#setCookie(secret, SESSION_MILLIS / 1000);
  }

  #setCookie(value: string, seconds: number): string {
    const only = this.#tls ? "; Secure" : "";
    return `${this.#cookie}=${value}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${seconds}${only}`;
  }
}
