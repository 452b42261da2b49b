/** E7 to E11 of the fault plan: TLS, certificates of both sides, renewal, revocation. */

import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { openAdminClient } from "../../coordinator/shell/admin-client.js";
import { issueClient, issueServer, makeAuthority } from "../../coordinator/shell/authority.js";
import { initCertificates, renewServer, revokeCertificate } from "../../coordinator/shell/certs.js";
import { certFiles } from "../../coordinator/shell/certs-folder.js";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";
import { Secret } from "../../proto/secret.js";
import { type ClientTls, probe, readClientTls, splitAddress } from "../../proto/tls.js";
import { Link, type LinkEvent } from "../../worker/link.js";
import { manualClock, rejection, start } from "../shell/fixture.js";
import { HELLO } from "../shell/scripted-worker.js";
import { caOnly, certified, statusOf, tlsOf } from "./rig.js";

const DAY = 86_400_000;

/** A worker's link until it gives up; answers why and with which exit code. */
function givesUp(address: string, tls: ClientTls | null): Promise<Extract<LinkEvent, { kind: "refused" }>> {
  return new Promise((resolve) => {
    const link = new Link({
      address,
      token: tls?.token ?? new Secret("cvs_worker_nothing"),
      tls: () => tls,
      random: () => 0,
      onEvent: (event) => {
        if (event.kind === "refused") resolve(event);
      },
    });
    onTestFinished(() => link.close());
    link.open();
  });
}

describe("mutual TLS", () => {
  it("lets a worker in with its identity alone, and the programs of this machine", async () => {
    const { storeDir, identity } = await certified();
    const { coordinator } = await start({ options: { storeDir, security: "mtls" } });
    expect(coordinator.secured).toEqual({ grpc: "mtls", http: "tls" });
    const worker = tlsOf(await identity("gpu1"));
    const bearer = `Bearer ${worker.token?.expose()}`;
    // Accepted: what it says then is no Hello.
    expect(await statusOf(coordinator.grpcAddress, WorkerServiceService.link, bearer, worker)).toBe(
      status.INVALID_ARGUMENT,
    );
    const local = readClientTls({ ca: null, identity: certFiles(storeDir).local });
    const admin = openAdminClient({
      address: coordinator.grpcAddress,
      tokenFile: tokenFile(storeDir, "admin"),
      tls: local,
    });
    onTestFinished(() => admin.close());
    expect((await admin.getStatus()).dashboard).toMatch(/^https:\/\//);
  });

  it("E6: a token that came with a certificate counts with that one alone", async () => {
    const { storeDir, identity } = await certified();
    const { coordinator } = await start({ options: { storeDir, security: "mtls" } });
    const [one, other] = [tlsOf(await identity("one")), tlsOf(await identity("other"))];
    const link = (shown: ClientTls, token: ClientTls): Promise<number> =>
      statusOf(coordinator.grpcAddress, WorkerServiceService.link, `Bearer ${token.token?.expose()}`, shown);
    expect(await link(one, other)).toBe(status.UNAUTHENTICATED);
    expect(await link(other, one)).toBe(status.UNAUTHENTICATED);
    expect(await link(other, other)).toBe(status.INVALID_ARGUMENT);
  });

  it("E2: a worker's certificate opens nothing but a Link, whatever the token", async () => {
    const { storeDir, identity } = await certified();
    const { coordinator } = await start({ options: { storeDir, security: "mtls" } });
    const worker = tlsOf(await identity("gpu1"));
    const bearer = `Bearer ${readFileSync(tokenFile(storeDir, "admin"), "utf8").trim()}`;
    expect(await statusOf(coordinator.grpcAddress, AdminServiceService.getStatus, bearer, worker)).toBe(
      status.PERMISSION_DENIED,
    );
  });

  it.each([
    ["none", /asks for a client's certificate/],
    ["of another authority", /not signed by the coordinator's authority/],
    ["expired", /client's certificate expired on/],
    ["not yet valid", /not valid before/],
    ["a server's", /is not a client's/],
  ] as const)(
    "E7: no connection with a client's certificate that is %s; the worker says so and exits 77",
    async (kind, words) => {
      const { storeDir, identity } = await certified();
      const { coordinator } = await start({ options: { storeDir, security: "mtls" } });
      const files = certFiles(storeDir);
      const authority = {
        certificate: readFileSync(files.ca, "utf8"),
        key: new Secret(readFileSync(files.caKey, "utf8")),
      };
      const good = tlsOf(await identity("gpu1"));
      const now = Date.now();
      const issued = {
        none: null,
        "of another authority": await issueClient(await makeAuthority("other", { now, days: 1 }), "gpu1", "worker", {
          now,
          days: 1,
        }),
        expired: await issueClient(authority, "gpu1", "worker", { now: now - 10 * DAY, days: 1 }),
        "not yet valid": await issueClient(authority, "gpu1", "worker", { now: now + 2 * DAY, days: 1 }),
        "a server's": await issueServer(authority, ["127.0.0.1"], { now, days: 1 }),
      }[kind];
      const bad = { ...good, certificate: issued?.certificate ?? null, key: issued?.key ?? null };
      expect(
        await statusOf(coordinator.grpcAddress, WorkerServiceService.link, `Bearer ${good.token?.expose()}`, bad),
      ).toBe(status.UNAVAILABLE);
      const refused = await givesUp(coordinator.grpcAddress, bad);
      expect(refused.exitCode).toBe(77);
      expect(refused.reason).toMatch(words);
    },
  );

  it("E7: a certificate that was revoked opens nothing, and what it has open ends", async () => {
    const clock = manualClock(Date.now());
    const { storeDir, identity } = await certified();
    const { coordinator } = await start({ clock, options: { storeDir, security: "mtls" } });
    const reader = tlsOf(await identity("reader", "read"));
    const bearer = `Bearer ${reader.token?.expose()}`;
    const admin = openAdminClient({ address: coordinator.grpcAddress, tokenFile: null, tls: reader });
    onTestFinished(() => admin.close());
    let seen: () => void = () => {};
    const first = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const watching = admin.watch(() => seen(), new AbortController().signal);
    await first;
    await revokeCertificate({ storeDir, now: Date.now() }, "reader");
    clock.advance(1_000);
    expect(await rejection(watching)).toMatchObject({ code: "UNAUTHENTICATED" });
    expect(await statusOf(coordinator.grpcAddress, AdminServiceService.getStatus, bearer, reader)).toBe(
      status.UNAUTHENTICATED,
    );
  });

  it.each([
    ["expired", /server's certificate has expired/],
    ["for another name", /server's certificate is not for 127\.0\.0\.1/],
    ["of another authority", /not signed by the authority/],
  ] as const)("E8: a worker sends nothing to a server whose certificate is %s", async (kind, words) => {
    const { storeDir, identity } = await certified();
    const worker = tlsOf(await identity("gpu1"));
    const files = certFiles(storeDir);
    const own = { certificate: readFileSync(files.ca, "utf8"), key: new Secret(readFileSync(files.caKey, "utf8")) };
    const now = Date.now();
    const forged = await makeAuthority("convsweep", { now, days: 1 });
    const server = {
      expired: await issueServer(own, ["127.0.0.1"], { now: now - 10 * DAY, days: 1 }),
      "for another name": await issueServer(own, ["coordinator.example"], { now, days: 1 }),
      "of another authority": await issueServer(forged, ["127.0.0.1"], { now, days: 1 }),
    }[kind];
    const asked: string[] = [];
    const address = await forgery(server.certificate, server.key.expose(), (text) => asked.push(text));
    const refused = await givesUp(address, worker);
    expect(refused.exitCode).toBe(77);
    expect(refused.reason).toMatch(words);
    expect(asked).toEqual([]);
  });

  it("E9: plaintext to TLS and TLS to plaintext are told apart; older TLS is refused", async () => {
    const { storeDir, identity } = await certified();
    const secure = await start({ options: { storeDir, security: "mtls" } });
    const open = await start();
    const worker = tlsOf(await identity("gpu1"));
    const toTls = await givesUp(secure.coordinator.grpcAddress, null);
    expect(toTls).toMatchObject({ exitCode: 77, reason: expect.stringMatching(/speaks TLS: give --identity/) });
    const toPlain = await givesUp(open.coordinator.grpcAddress, worker);
    expect(toPlain).toMatchObject({ exitCode: 77, reason: expect.stringMatching(/does not speak TLS/) });
    for (const address of [secure.coordinator.grpcAddress, secure.coordinator.httpAddress ?? ""]) {
      const [host, port] = address.split(":");
      const code = await new Promise((resolve) => {
        const socket = connect({ host, port: Number(port), maxVersion: "TLSv1.2", rejectUnauthorized: false });
        socket.once("secureConnect", () => resolve("connected"));
        socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
      });
      expect(code).toMatch(/PROTOCOL_VERSION/);
    }
  });

  it("P9: a worker that was let in once waits for a coordinator that says nothing any more", async () => {
    const { storeDir, identity } = await certified();
    const { coordinator } = await start({ options: { storeDir, security: "mtls" } });
    const { host, port } = splitAddress(coordinator.grpcAddress);
    const worker = tlsOf(await identity("gpu1"));
    let ended: "" | "silent" | "refused" = "";
    let tries = 0;
    const waiters: (() => void)[] = [];
    const link = new Link({
      address: coordinator.grpcAddress,
      token: worker.token ?? new Secret(""),
      tls: () => worker,
      random: () => 0,
      answerMillis: 200,
      onEvent: (event) => {
        if (event.kind === "linkUp") link.send({ seq: 0, ack: 0, body: { $case: "hello", value: HELLO } });
        else if (event.kind === "linkDown") tries += 1;
        else if (event.kind === "refused") ended = "refused";
        else ended = "silent";
        for (const wake of waiters.splice(0)) wake();
      },
    });
    onTestFinished(() => link.close());
    const until = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise<void>((resolve) => waiters.push(resolve));
    };
    link.open();
    await until(() => ended === "silent");
    await coordinator.close();
    // The same port: what connects is taken and dropped, as by a machine that is overrun.
    const dropping = createServer((socket) => socket.destroy()).listen(port, host);
    onTestFinished(() => void dropping.close());
    await once(dropping, "listening");
    await until(() => tries >= 8);
    expect(ended).toBe("silent");
    // Whoever was never answered there hears what is most likely.
    expect(await givesUp(coordinator.grpcAddress, worker)).toMatchObject({ exitCode: 77 });
  });

  it("says nothing against certificates that fit, and nothing where nobody listens", async () => {
    const { storeDir, identity } = await certified();
    const { coordinator } = await start({ options: { storeDir, security: "mtls" } });
    const worker = tlsOf(await identity("gpu1"));
    expect(await probe(coordinator.grpcAddress, worker, 3_000)).toBeNull();
    await coordinator.close();
    expect(await probe(coordinator.grpcAddress, worker, 3_000)).toBeNull();
    expect(await probe(coordinator.grpcAddress, null, 3_000)).toBeNull();
  });
});

/** A TLS server that is not the coordinator; tells what reaches it inside the encryption. */
async function forgery(cert: string, key: string, heard: (text: string) => void): Promise<string> {
  const { createServer } = await import("node:tls");
  const server = createServer({ cert, key, ALPNProtocols: ["h2"] }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => heard(data.toString("latin1")));
  });
  server.on("tlsClientError", () => {});
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  return `127.0.0.1:${bound.port}`;
}

describe("TLS of the server alone", () => {
  it("lets clients in that know the authority and have a token", async () => {
    const { storeDir } = await certified();
    const { coordinator } = await start({ options: { storeDir, security: "tls" } });
    const bearer = `Bearer ${readFileSync(tokenFile(storeDir, "admin"), "utf8").trim()}`;
    const ask = (authorization: string | null): Promise<number> =>
      statusOf(coordinator.grpcAddress, AdminServiceService.getStatus, authorization, caOnly(storeDir));
    expect(await ask(bearer)).toBe(status.OK);
    expect(await ask(null)).toBe(status.UNAUTHENTICATED);
  });
});

describe("certificates on disk", () => {
  it("E10: a renewed one is used for new connections; those that are open go on", async () => {
    const clock = manualClock(Date.now());
    const { storeDir } = await certified();
    const { coordinator } = await start({ clock, options: { storeDir, security: "mtls" } });
    const local = tlsOf(certFiles(storeDir).local);
    const admin = openAdminClient({
      address: coordinator.grpcAddress,
      tokenFile: tokenFile(storeDir, "admin"),
      tls: local,
    });
    onTestFinished(() => admin.close());
    let more: () => void = () => {};
    const messages: string[] = [];
    const until = async (n: number): Promise<void> => {
      while (messages.length < n) await new Promise<void>((resolve) => (more = resolve));
    };
    const over = new AbortController();
    const watching = admin.watch((message) => {
      messages.push(message.kind);
      more();
    }, over.signal);
    await until(1);
    const served = (address: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const [host, port] = address.split(":");
        const tls = { ca: local.ca, cert: local.certificate ?? "", key: local.key?.expose() ?? "" };
        const socket = connect({ host, port: Number(port), ...tls }, () => {
          resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
          socket.destroy();
        });
        socket.once("error", reject);
      });
    const addresses = [coordinator.grpcAddress, coordinator.httpAddress ?? ""];
    const before = await served(coordinator.grpcAddress);
    await renewServer({ storeDir, now: Date.now() }, ["coordinator.example"]);
    clock.advance(2_000);
    const wanted = new X509Certificate(readFileSync(certFiles(storeDir).server));
    expect(wanted.serialNumber).not.toBe(before);
    expect(wanted.subjectAltName).toContain("DNS:coordinator.example");
    for (const address of addresses) expect(await served(address)).toBe(wanted.serialNumber);
    await admin.submitSweep("f", "{}");
    clock.advance(100);
    await until(2);
    over.abort();
    await watching;
  });

  it("E10: half a renewal, or a wrong file, leaves the old one in use and is said", async () => {
    const clock = manualClock(Date.now());
    const { storeDir } = await certified();
    const said: string[] = [];
    const { coordinator } = await start({
      clock,
      log: (_level, event, message) => void said.push(`${event}: ${message}`),
      options: { storeDir, security: "tls" },
    });
    const files = certFiles(storeDir);
    renameSync(files.serverKey, `${files.serverKey}.away`);
    clock.advance(2_000);
    writeFileSync(files.serverKey, readFileSync(files.caKey), { mode: 0o600 });
    clock.advance(2_000);
    expect(said.filter((line) => line.startsWith("certificate-trouble"))).toHaveLength(2);
    expect(await probe(coordinator.grpcAddress, caOnly(storeDir), 3_000)).toBeNull();
  });

  it("E11: beyond this machine without certificates is refused with the command that makes them", async () => {
    for (const options of [
      { grpc: { host: "0.0.0.0", port: 0 } },
      { http: { host: "::", port: 0 } },
      { security: "mtls" as const },
    ]) {
      const refused = await rejection(start({ options }));
      expect(refused.code).toBe("BAD_INPUT");
      expect(refused.message).toContain("convsweep certs init");
    }
  });

  it("E11: with certificates such an address is secured without being told", async () => {
    const { storeDir } = await certified();
    const everywhere = { host: "0.0.0.0", port: 0 };
    const both = await start({ options: { storeDir, grpc: everywhere, http: everywhere } });
    expect(both.coordinator.secured).toEqual({ grpc: "mtls", http: "tls" });
    expect(await statusOf(both.coordinator.grpcFromHere, AdminServiceService.getStatus, "Bearer x")).toBe(
      status.UNAVAILABLE,
    );
  });

  it("E13: are for their owner alone; a key that others can read is refused", async () => {
    const { storeDir } = await certified();
    const files = certFiles(storeDir);
    expect(statSync(files.folder).mode & 0o777).toBe(0o700);
    for (const file of [files.ca, files.caKey, files.server, files.serverKey, files.local, join(storeDir, "auth.db")]) {
      expect([file, statSync(file).mode & 0o777]).toEqual([file, 0o600]);
    }
    writeFileSync(`${files.serverKey}.new`, readFileSync(files.serverKey), { mode: 0o644 });
    renameSync(`${files.serverKey}.new`, files.serverKey);
    const refused = await rejection(start({ options: { storeDir, security: "tls" } }));
    expect(refused).toMatchObject({ code: "FORBIDDEN", message: expect.stringContaining("chmod 600") });
  });

  it("are never written over", async () => {
    const { storeDir } = await certified();
    const before = readFileSync(certFiles(storeDir).ca, "utf8");
    expect(await rejection(initCertificates({ storeDir, now: Date.now() }, []))).toMatchObject({ code: "CONFLICT" });
    expect(readFileSync(certFiles(storeDir).ca, "utf8")).toBe(before);
  });

  it("an expired server's certificate stops the start with what to do", async () => {
    const storeDir = (await certified()).storeDir;
    await renewServer({ storeDir, now: Date.now() - 10 * DAY, days: 1 }, []);
    const refused = await rejection(start({ options: { storeDir, security: "tls" } }));
    expect(refused).toMatchObject({ code: "BAD_INPUT", message: expect.stringContaining("convsweep certs renew") });
  });
});
