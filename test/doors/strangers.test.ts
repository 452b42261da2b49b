/**
 * E1 to E4 and E12 of the fault plan: every method, route and socket that there is refuses a stranger and every role that
 * its policy does not name. What is walked comes from the protocol and the table of routes, so that a new one is in.
 */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { openAdminClient } from "../../coordinator/shell/admin-client.js";
import { POLICY } from "../../coordinator/shell/authorize.js";
import { digest, newToken, ROLES, type Role, tokenFile, writeSecretFile } from "../../coordinator/shell/credentials.js";
import { FEED_PATH } from "../../coordinator/shell/http.js";
import { ROUTES } from "../../coordinator/shell/http-routes.js";
import { AuthStore } from "../../coordinator/store/auth.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { manualClock, rejection, type Started, start } from "../shell/fixture.js";
import { type AnyMethod, METHODS, statusOf } from "./rig.js";

const SHUT = [status.UNAUTHENTICATED, status.RESOURCE_EXHAUSTED];

function tokens(
  storeDir: string,
  expiresAt: number | null = null,
): Readonly<Record<Role, { id: string; bearer: string }>> {
  const store = new AuthStore(storeDir);
  const made = ROLES.map((role) => {
    const { id, token } = newToken(role);
    store.addToken({
      id,
      role,
      digest: digest(token.expose()),
      note: "",
      certificate: null,
      createdAt: 0,
      expiresAt,
    });
    return [role, { id, bearer: `Bearer ${token.expose()}` }] as const;
  });
  store.close();
  return Object.fromEntries(made) as Record<Role, { id: string; bearer: string }>;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function ask(
  address: string | null,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<Answer> {
  const [host, port] = (address ?? "").split(":");
  return new Promise((resolve, reject) => {
    const call = request({ host, port, path, method, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (part: string) => (body += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    call.on("error", reject);
    call.end();
  });
}

function upgrade(started: Started, path: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${started.coordinator.httpAddress}${path}`, { headers });
    socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
    socket.on("open", () => resolve(101));
    socket.on("error", () => {});
    onTestFinished(() => socket.terminate());
  });
}

describe("E1: a stranger", () => {
  it("finds a policy at every method, and none of them open", async () => {
    expect([...POLICY.keys()].sort()).toEqual(METHODS.map(({ path }) => path).sort());
    expect(METHODS.length).toBeGreaterThanOrEqual(11);
    for (const roles of POLICY.values()) expect(roles.length).toBeGreaterThan(0);
    const { coordinator, admin } = await start();
    for (const method of METHODS) {
      expect(SHUT, method.path).toContain(await statusOf(coordinator.grpcAddress, method, null));
    }
    const stranger: AnyMethod = {
      ...AdminServiceService.getStatus,
      path: "/convsweep.v1.AdminService/Nothing" as never,
    };
    expect(await statusOf(coordinator.grpcAddress, stranger, null)).toBe(status.UNIMPLEMENTED);
    // Whoever has a token is not held up by that.
    expect((await admin.submitSweep("f", "{}")).sweep).toBe(1);
  });

  it("gets nothing of any route, and no feed", async () => {
    const started = await start();
    const { httpAddress } = started.coordinator;
    expect(ROUTES.length).toBeGreaterThanOrEqual(6);
    for (const { example, policy } of ROUTES) {
      const answer = await ask(httpAddress, example, {}, policy === "own" ? "POST" : "GET");
      if (example === "/healthz") expect([answer.status, answer.body]).toEqual([200, "ok\n"]);
      else expect([example, answer.status]).toEqual([example, 401]);
      expect(answer.headers["set-cookie"]).toBeUndefined();
      expect(["open", "session", "read", "own"]).toContain(policy);
    }
    expect(ROUTES.filter(({ policy }) => policy === "open").map(({ example }) => example)).toEqual([
      "/healthz",
      "/login",
    ]);
    for (const path of [FEED_PATH, `${FEED_PATH}?ticket=${"A".repeat(43)}`, "/", "/api/curves"]) {
      expect(await upgrade(started, path, { origin: `http://${httpAddress}` })).toBe(401);
    }
  });
});

describe("E2: a role", () => {
  it("opens what its line names and nothing else, over gRPC", async () => {
    const { coordinator, storeDir } = await start();
    const made = tokens(storeDir);
    for (const method of METHODS) {
      for (const role of ROLES) {
        const code = await statusOf(coordinator.grpcAddress, method, made[role].bearer);
        const opens = POLICY.get(method.path)?.includes(role) === true;
        if (opens) expect([...SHUT, status.PERMISSION_DENIED], `${role} ${method.path}`).not.toContain(code);
        else expect([role, method.path, code]).toEqual([role, method.path, status.PERMISSION_DENIED]);
      }
    }
  });

  it("is held to its policy in words that leave no way around", () => {
    const may = (role: Role): string[] =>
      [...POLICY].filter(([, roles]) => roles.includes(role)).map(([path]) => path.split("/")[2] ?? "");
    expect(may("worker").sort()).toEqual(["DownloadCheckpoint", "Link", "UploadArtifact", "UploadCheckpoint"]);
    expect(may("read").sort()).toEqual(["GetStatus", "Query", "Watch"]);
    expect(may("submit")).not.toContain("Link");
    expect(may("submit")).not.toContain("Backup");
    expect(may("admin")).toHaveLength(METHODS.length);
  });

  it("that reads may ask over HTTP; a worker's may not, and says so in the log", async () => {
    const said: string[] = [];
    const { coordinator, storeDir } = await start({
      log: (_level, event, message, fields) => void said.push(`${event} ${message} ${JSON.stringify(fields)}`),
    });
    const made = tokens(storeDir);
    for (const { example } of ROUTES.filter(({ policy }) => policy === "read")) {
      for (const role of ["admin", "submit", "read"] as const) {
        const { status: code } = await ask(coordinator.httpAddress, example, { authorization: made[role].bearer });
        expect([401, 403], `${role} ${example}`).not.toContain(code);
      }
      const refused = await ask(coordinator.httpAddress, example, { authorization: made.worker.bearer });
      expect(refused.status).toBe(403);
    }
    // The page itself, and what it asks for itself, is for browsers that logged in.
    for (const { example, policy } of ROUTES.filter(({ policy: whose }) => whose === "session" || whose === "own")) {
      const method = policy === "own" ? "POST" : "GET";
      const answer = await ask(coordinator.httpAddress, example, { authorization: made.admin.bearer }, method);
      expect([example, answer.status]).toEqual([example, 401]);
    }
    const lines = said.filter((line) => line.startsWith("access-refused"));
    expect(lines[0]).toContain(made.worker.id);
    expect(lines.join()).not.toContain(made.worker.bearer.slice("Bearer ".length));
  });
});

describe("E3: a token", () => {
  it("that is wrong, cut, long, not ASCII, twice, or in the wrong place opens nothing", async () => {
    const { coordinator, storeDir } = await start();
    const right = readFileSync(tokenFile(storeDir, "admin"), "utf8").trim();
    const wrong = [
      "",
      "Bearer",
      "Bearer ",
      `Bearer ${right}x`,
      `Bearer ${right.slice(0, -1)}`,
      `Bearer ${right.toUpperCase()}`,
      `Bearer  ${right}`,
      `Bearer ${right} ${right}`,
      `Bearer ${right},Bearer ${right}`,
      `Basic ${right}`,
      right,
      `Bearer ${"A".repeat(8_000)}`,
      `Bearer ${right.replace("_", "%5f")}`,
    ];
    for (const authorization of wrong) {
      const code = await statusOf(coordinator.grpcAddress, AdminServiceService.getStatus, authorization);
      expect(SHUT, authorization.slice(0, 20)).toContain(code);
      const answer = await ask(coordinator.httpAddress, "/metrics", { authorization });
      expect([401, 429]).toContain(answer.status);
    }
    for (const path of [`/metrics?token=${right}`, `/metrics?authorization=Bearer%20${right}`, `/login?otp=${right}`]) {
      expect([401, 429]).toContain((await ask(coordinator.httpAddress, path)).status);
    }
    const port = (coordinator.httpAddress ?? "").split(":")[1];
    const cookie = `convsweep-${port}=${right}; authorization=Bearer ${right}`;
    expect((await ask(coordinator.httpAddress, "/metrics", { cookie })).status).toBe(401);
    // A megabyte of it never becomes a request.
    const huge = await ask(coordinator.httpAddress, "/metrics", {
      authorization: `Bearer ${"A".repeat(1 << 20)}`,
    }).catch((error: Error) => ({ status: error.message }));
    expect(String(huge.status)).toMatch(/431|reset|EPIPE|hang up/i);
    expect(await statusOf(coordinator.grpcAddress, AdminServiceService.getStatus, `Bearer ${right}`)).toBe(status.OK);
  });
});

describe("E4: a token that ceases to count", () => {
  it("opens nothing more, and what it had open ends within a second", async () => {
    for (const how of ["revoked", "expired"] as const) {
      const clock = manualClock(1_000_000);
      const { coordinator, storeDir } = await start({ clock });
      const { id, token } = newToken("read");
      const file = `${storeDir}/reader`;
      writeSecretFile(file, `${token.expose()}\n`);
      const store = new AuthStore(storeDir);
      onTestFinished(() => store.close());
      const record = { id, role: "read", digest: digest(token.expose()), note: "", certificate: null, createdAt: 0 };
      store.addToken({ ...record, expiresAt: how === "expired" ? clock.now() + 60_000 : null });
      const client = openAdminClient({ address: coordinator.grpcAddress, tokenFile: file });
      onTestFinished(() => client.close());
      let seen: () => void = () => {};
      const first = new Promise<void>((resolve) => (seen = resolve));
      const watching = client.watch(() => seen(), new AbortController().signal);
      const ended = rejection(watching);
      await first;
      if (how === "revoked") store.revokeToken(id, 1);
      clock.advance(how === "revoked" ? 1_000 : 60_000);
      expect(await ended).toMatchObject({
        code: "UNAUTHENTICATED",
        message: expect.stringContaining("revoked or expired"),
      });
      expect(await rejection(client.getStatus())).toMatchObject({ code: "UNAUTHENTICATED" });
    }
  });

  it("is made anew for the store itself at the next start", async () => {
    const first = await start();
    const { storeDir } = first;
    const before = readFileSync(tokenFile(storeDir, "admin"), "utf8").trim();
    const store = new AuthStore(storeDir);
    const own = store.tokens().find(({ role }) => role === "admin");
    store.revokeToken(own?.id ?? "", 1);
    store.close();
    await first.coordinator.close();
    const second = await start({ options: { storeDir } });
    expect(readFileSync(tokenFile(storeDir, "admin"), "utf8").trim()).not.toBe(before);
    expect((await second.admin.getStatus()).pid).toBe(process.pid);
    expect(await statusOf(second.coordinator.grpcAddress, AdminServiceService.getStatus, `Bearer ${before}`)).toBe(
      status.UNAUTHENTICATED,
    );
  });
});

describe("E12: a flood of wrong tokens and logins", () => {
  it("is answered five times a minute; right ones are let in all the while", async () => {
    const clock = manualClock(1_000_000);
    const said: string[] = [];
    const { coordinator, storeDir, admin } = await start({
      clock,
      log: (_level, event) => void said.push(event),
    });
    const link = new URL(coordinator.dashboardUrl);
    const codes: number[] = [];
    for (let n = 0; n < 60; n += 1) {
      codes.push((await ask(coordinator.httpAddress, `/login?otp=${"A".repeat(40)}${n}`)).status);
    }
    expect(codes).toEqual([...Array(5).fill(401), ...Array(55).fill(429)]);
    const wrong = `Bearer cvs_admin_${"A".repeat(43)}`;
    expect(await statusOf(coordinator.grpcAddress, AdminServiceService.getStatus, wrong)).toBe(
      status.RESOURCE_EXHAUSTED,
    );
    expect((await ask(coordinator.httpAddress, link.pathname + link.search)).status).toBe(303);
    expect((await admin.getStatus()).pid).toBe(process.pid);
    const { bearer } = tokens(storeDir).read;
    expect((await ask(coordinator.httpAddress, "/metrics", { authorization: bearer })).status).toBe(200);
    // Five, and that there are more.
    expect(said.filter((event) => event === "access-refused")).toHaveLength(6);
    clock.advance(60_000);
    expect((await ask(coordinator.httpAddress, "/login?otp=again")).status).toBe(401);
  });
});
