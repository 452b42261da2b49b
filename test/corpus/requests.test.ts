/**
 * Wrong requests to the page's port: HTTP as bytes (`http`), with the status and the body they are answered with, and what
 * is said on the socket of the feed (`feed`), with the code and the reason it is closed with.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type AdminClient, openAdminClient } from "../../coordinator/shell/admin-client.js";
import { type RunningCoordinator, startCoordinator } from "../../coordinator/shell/coordinator.js";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { smallSweep } from "../e2e/program.js";
import { type BrowserSession, logIn } from "../shell/browser-session.js";
import { expectMessage, manifest, plain } from "./manifest.js";

interface Row {
  readonly why: string;
  readonly http?: string;
  readonly version?: string;
  /** Default the page's own; `null` for none. */
  readonly host?: string | null;
  readonly headers?: readonly unknown[];
  readonly body?: string;
  /** `false`: not logged in. */
  readonly session?: false;
  readonly feed?: unknown;
  readonly binary?: true;
  readonly twice?: true;
  /** HTTP status, or the code of a WebSocket's close; 0 for a connection that is closed without an answer. */
  readonly code: number;
  readonly message: string;
}

const rows = manifest<Row>("requests");
const storeDir = mkdtempSync(join(tmpdir(), "convsweep-requests-"));
let coordinator: RunningCoordinator;
let admin: AdminClient;
let address = "";
let browser: BrowserSession;

beforeAll(async () => {
  const here = { host: "127.0.0.1", port: 0 };
  coordinator = await startCoordinator({ storeDir, grpc: here, http: here, insecurePlaintext: false });
  admin = openAdminClient({ address: coordinator.grpcAddress, tokenFile: tokenFile(storeDir, "admin") });
  await admin.submitSweep("one.yaml", smallSweep());
  address = coordinator.httpAddress ?? "";
  browser = await logIn(coordinator);
});

afterAll(async () => {
  admin.close();
  await coordinator.close();
  rmSync(storeDir, { recursive: true, force: true });
});

interface Answer {
  readonly code: number;
  readonly message: string;
}

const secret = (role: "admin" | "worker"): string => readFileSync(tokenFile(storeDir, role), "utf8").trim();

function asked(row: Row): Promise<Answer> {
  const { host = address, headers = [], session = true, body = "", version = "HTTP/1.1" } = row;
  const lines = [
    `${row.http} ${version}`,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...(session ? [`Cookie: ${browser.headers.cookie}`] : []),
    "Connection: close",
    ...headers.map((header) => String(plain(header))),
  ];
  const text = `${lines.join("\r\n")}\r\n\r\n${body}`
    .replaceAll("ADMIN", secret("admin"))
    .replaceAll("WORKER", secret("worker"))
    .replaceAll("CSRF", browser.csrf)
    .replaceAll("ORIGIN", browser.headers.origin);
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(Number(address.split(":")[1]), "127.0.0.1", () => socket.write(text, "latin1"));
    socket.setEncoding("utf8").on("data", (part: string) => {
      answer += part;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      const code = Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(answer)?.[1] ?? 0);
      resolve({ code, message: answer.slice(answer.indexOf("\r\n\r\n") + 4).trim() });
    });
  });
}

async function fed(row: Row): Promise<Answer> {
  const url = await browser.feed();
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { headers: browser.headers, perMessageDeflate: false });
    const text = String(plain(row.feed));
    socket.on("error", () => undefined);
    socket.on("open", () => {
      socket.send(row.binary ? Buffer.from(text) : text);
      if (row.twice) socket.send(text);
    });
    socket.on("close", (code, reason) => resolve({ code, message: String(reason) }));
  });
}

describe("wrong requests", () => {
  it.each(rows.map((row) => [`${row.http ? "HTTP" : "feed"}: ${row.why}`, row] as const))("%s", async (_name, row) => {
    const { code, message } = row.http ? await asked(row) : await fed(row);
    expect(code).toBe(row.code);
    expectMessage(message.replaceAll(storeDir, "DIR"), row.message);
  });

  it("leave the page as it was", async () => {
    const answer = await fetch(`http://${address}/api/curves?sweep=1`, { headers: browser.headers });
    expect(await answer.json()).toMatchObject({ sweep: 1, curves: [] });
  });
});
