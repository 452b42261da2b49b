/**
 * Everything that the page's server answers, one line a route, each with who may have it.
 *
 * Guarantees: a path that no line names is nobody's; `open` is answered to everybody and tells nothing, `session` needs a
 * browser that has logged in, `read` that or a bearer token of a role that reads, `own` is a POST of a browser that has
 * logged in, sent by the page itself. Tokens in an address or a cookie count for nothing. Nothing here changes a sweep:
 * the two that do more than ask, tickets and signing out, are about the browser's own session. Not here: hosts, headers
 * and limits (http.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ConvsweepError } from "../../proto/contract.js";
import type { SessionAnswer, TicketAnswer } from "../../proto/feed.js";
import { type ApiParts, curves, trialDetails } from "./api.js";
import type { ArtifactFiles } from "./artifacts.js";
import { plainAddress } from "./connections.js";
import type { Credentials, Role } from "./credentials.js";
import type { Failures } from "./failures.js";
import { send, sendArtifact, sendFile, sendJson, sendText } from "./http-answers.js";
import type { Guard } from "./http-guard.js";
import type { Session } from "./logins.js";
import type { Door, Refusal } from "./metrics/meter.js";
import { METRICS_TYPE } from "./metrics/text.js";
import type { StaticFile } from "./static-files.js";

export interface RouteParts extends ApiParts {
  readonly files: ReadonlyMap<string, StaticFile>;
  readonly artifacts: ArtifactFiles;
  readonly credentials: Credentials;
  readonly failures: Failures;
  /** Told of everybody who is turned away. */
  readonly refused: (door: Door, why: Refusal) => void;
  /** Why nothing can be recorded; `null` when all is well. */
  readonly trouble: () => ConvsweepError | null;
  /** Prometheus' text. */
  readonly metrics: () => string;
}

export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly guard: Guard;
  readonly parts: RouteParts;
  readonly path: string;
  readonly query: URLSearchParams;
}

interface RouteName {
  /** A path of this route, for messages and tests. */
  readonly example: string;
  readonly matches: (path: string, parts: RouteParts) => boolean;
}

/** Who may have it. */
type RouteAnswer =
  | { readonly policy: "open" | "read"; readonly answer: (asked: Asked) => void }
  | { readonly policy: "session" | "own"; readonly answer: (asked: Asked, session: Session) => void };

export type Route = RouteName & RouteAnswer;

const READERS: readonly Role[] = ["admin", "submit", "read"];

const TRIAL = /^\/api\/trials\/([0-9]+\/[0-9]+)$/;

const ARTIFACT = /^\/artifacts\/([1-9][0-9]{0,14})$/;

const exactly = (path: string) => ({ example: path, matches: (asked: string) => asked === path });

export const ROUTES: readonly Route[] = [
  { ...exactly("/healthz"), policy: "open", answer: health },
  { ...exactly("/login"), policy: "open", answer: login },
  {
    ...exactly("/api/curves"),
    policy: "read",
    answer: ({ response, parts, query }) => sendJson(response, 200, curves(parts, query)),
  },
  {
    example: "/api/trials/1/0",
    matches: (path) => TRIAL.test(path),
    policy: "read",
    answer: ({ response, parts, path }) => sendJson(response, 200, trialDetails(parts, TRIAL.exec(path)?.[1] ?? "")),
  },
  {
    example: "/artifacts/1",
    matches: (path) => ARTIFACT.test(path),
    policy: "read",
    answer: artifact,
  },
  {
    ...exactly("/metrics"),
    policy: "read",
    answer: ({ response, parts }) => send(response, 200, METRICS_TYPE, Buffer.from(parts.metrics())),
  },
  {
    ...exactly("/api/session"),
    policy: "session",
    answer: ({ response }, { csrf }) => sendJson(response, 200, { csrf } satisfies SessionAnswer),
  },
  { ...exactly("/api/ws-ticket"), policy: "own", answer: ticket },
  { ...exactly("/api/sign-out"), policy: "own", answer: signOut },
  {
    example: "/",
    matches: (path, parts) => path === "/" || parts.files.has(path),
    policy: "session",
    answer: page,
  },
];

const LOGIN_NEEDED =
  "This page needs a login link. The coordinator printed one when it started; " +
  "`convsweep page` on its machine prints a fresh one. Programs send a token, `Authorization: Bearer …`.\n";

const routeOf = (path: string, parts: RouteParts): Route | undefined => ROUTES.find((one) => one.matches(path, parts));

/** How a path is asked for; one that is nobody's like a page. */
export function methodsOf(path: string, parts: RouteParts): readonly string[] {
  return routeOf(path, parts)?.policy === "own" ? ["POST"] : ["GET", "HEAD"];
}

/** Answers a request whose host and method were found good. */
export function route(asked: Asked): void {
  const { request, response, guard, parts, path } = asked;
  const found = routeOf(path, parts);
  if (found?.policy === "open") {
    found.answer(asked);
    return;
  }
  const session = guard.session(request);
  if (found?.policy === "read") {
    const refusal = session === null ? refuseToken(asked) : null;
    if (refusal === null) {
      found.answer(asked);
      return;
    }
    parts.refused(path === "/metrics" ? "metrics" : "http", refusal === 403 ? "forbidden" : "unauthenticated");
    response.setHeader("WWW-Authenticate", "Bearer");
    sendText(response, refusal, refusal === 401 ? LOGIN_NEEDED : REFUSED[refusal]);
  } else if (session === null) {
    parts.refused("http", "unauthenticated");
    sendText(response, 401, LOGIN_NEEDED);
  } else if (found === undefined) sendText(response, 404, "There is nothing here.\n");
  else if (found.policy === "own" && !guard.isOwnRequest(request, session)) {
    parts.refused("http", "origin");
    sendText(response, 403, "Only the page itself may ask for this.\n");
  } else found.answer(asked, session);
}

const REFUSED = { 403: "This token does not read.\n", 429: "Too many refusals: wait a minute.\n" } as const;

/** `null`: the bearer token of the request may read. */
function refuseToken({ request, parts, path }: Asked): 401 | 403 | 429 | null {
  const { authorization } = request.headers;
  // Nothing shown is nothing tried.
  if (authorization === undefined) return 401;
  const caller = parts.credentials.callerOf(authorization, null);
  if (caller !== null && READERS.includes(caller.role)) return null;
  const why = caller === null ? "the token is not one of this coordinator's" : `a ${caller.role} token does not read`;
  const limited = parts.failures.note(plainAddress(request.socket.remoteAddress ?? ""), {
    what: path,
    why,
    ...(caller === null ? {} : { tokenId: caller.id }),
  });
  if (caller !== null) return 403;
  return limited ? 429 : 401;
}

function login({ request, response, guard, parts, query, path }: Asked): void {
  response.setHeader("Cache-Control", "no-store");
  const code = query.get("otp") ?? "";
  // A HEAD is a program looking, not a person opening: it must not use the code up.
  const cookie = request.method === "GET" ? guard.redeem(code) : null;
  if (cookie === null && guard.session(request) === null) {
    parts.refused("login", "unauthenticated");
    const address = plainAddress(request.socket.remoteAddress ?? "");
    const limited = code !== "" && parts.failures.note(address, { what: path, why: "not a login link that counts" });
    if (limited) sendText(response, 429, REFUSED[429]);
    else if (code === "") sendText(response, 401, LOGIN_NEEDED);
    else sendText(response, 401, `That login link was used already or is older than five minutes.\n${LOGIN_NEEDED}`);
    return;
  }
  if (cookie !== null) response.setHeader("Set-Cookie", cookie);
  response.setHeader("Location", "/");
  sendText(response, 303, "");
}

function ticket({ response, guard }: Asked, session: Session): void {
  const made = guard.newTicket(session);
  if (made === null) sendText(response, 401, LOGIN_NEEDED);
  else sendJson(response, 200, { ticket: made } satisfies TicketAnswer);
}

function signOut({ response, guard }: Asked, session: Session): void {
  response.setHeader("Set-Cookie", guard.signOut(session));
  sendText(response, 200, "Signed out.\n");
}

function health({ response, parts }: Asked): void {
  const trouble = parts.trouble();
  if (trouble === null) sendText(response, 200, "ok\n");
  else sendText(response, 503, `${trouble.code.toLowerCase()}\n`);
}

function artifact({ request, response, parts, path }: Asked): void {
  const found = parts.store.artifact(Number(ARTIFACT.exec(path)?.[1]));
  if (found === null) sendText(response, 404, "There is no such artifact.\n");
  else sendArtifact(request, response, found, parts.artifacts);
}

function page({ request, response, parts, path }: Asked): void {
  const file = parts.files.get(path);
  if (file) sendFile(request, response, file);
  else sendText(response, 503, "The page is not built: run `npm run build`.\n");
}
