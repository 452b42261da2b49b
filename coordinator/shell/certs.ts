/**
 * What `convsweep certs` does: an authority for a store, certificates for its server and for the machines that join.
 *
 * Guarantees: an authority is never written over; every certificate that is issued is on record in auth.db with its
 * serial before anybody has it; an identity for another machine comes with a token of its own role that counts only
 * together with its certificate, so that revoking the certificate shuts out both. Works with or without a running
 * coordinator, which notices. Not here: the cryptography (authority.ts), the command line.
 */
import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { ConvsweepError } from "../../proto/contract.js";
import type { Secret } from "../../proto/secret.js";
import { identityText } from "../../proto/tls.js";
import { AuthStore, type CertificateRecord } from "../store/auth.js";
import { type Authority, type Issued, issueClient, issueServer, makeAuthority } from "./authority.js";
import { type CertFiles, certFiles, makeCertFolder, readCertFile, readKeyFile, writeCertFile } from "./certs-folder.js";
import { digest, newToken, type Role } from "./credentials.js";

export const AUTHORITY_DAYS = 3_650;
export const LEAF_DAYS = 365;
/** Name of this machine's own identity. */
export const LOCAL = "local";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/;
const HOST = /^(?=.{1,253}$)[A-Za-z0-9_*](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$|^[0-9A-Fa-f:]{2,45}$/;

export interface CertsOptions {
  readonly storeDir: string;
  /** Milliseconds of the wall clock. */
  readonly now: number;
  readonly days?: number;
}

/** Every name and address of this machine that it knows of. */
export function ownNames(): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((cards) => (cards ?? []).map((card) => card.address));
  return [
    ...new Set(["localhost", "127.0.0.1", "::1", hostname(), ...addresses.filter((one) => !/^fe80:/i.test(one))]),
  ];
}

/** Makes authority, server's certificate and this machine's identity; CONFLICT if there is an authority. */
export async function initCertificates(options: CertsOptions, hosts: readonly string[]): Promise<readonly string[]> {
  const { storeDir, now, days = LEAF_DAYS } = options;
  const files = certFiles(storeDir);
  for (const file of [files.ca, files.caKey]) {
    if (!existsSync(file)) continue;
    throw new ConvsweepError(
      "CONFLICT",
      `${file} is there: every machine that joined trusts it. \`certs renew\` makes the server's certificate anew; to ` +
        `begin again, move ${files.folder} away`,
      { path: file },
    );
  }
  const names = [...new Set([...ownNames(), ...hosts.map(checkHost)])];
  makeCertFolder(storeDir);
  const authority = await makeAuthority(`convsweep ${hostname()}`.slice(0, 64), { now, days: AUTHORITY_DAYS });
  const server = await issueServer(authority, names, { now, days });
  const local = await issueClient(authority, LOCAL, "admin", { now, days });
  await recording(storeDir, (store) => {
    record(store, server, "server", "server", now);
    record(store, local, LOCAL, "admin", now);
  });
  // The authority last: with it the folder counts as made.
  writeServer(files, server);
  writeCertFile(files.local, identityText({ ...local, ca: authority.certificate, token: null }));
  writeCertFile(files.caKey, authority.key);
  writeCertFile(files.ca, authority.certificate);
  return names;
}

/** The text of an identity for another machine. */
export async function issueIdentity(options: CertsOptions, name: string, role: Role): Promise<string> {
  const { storeDir, now, days = LEAF_DAYS } = options;
  if (!NAME.test(name) || name === LOCAL) {
    throw new ConvsweepError("BAD_INPUT", `${JSON.stringify(name.slice(0, 80))} cannot name a certificate`, {
      path: "NAME",
      expected: `letters, digits and . _ @ -, at most 63, and not ${LOCAL}`,
      found: name.slice(0, 80),
    });
  }
  const authority = readAuthority(storeDir);
  const certificate = await issueClient(authority, name, role, { now, days });
  const { id, token } = newToken(role);
  await recording(storeDir, (store) => {
    record(store, certificate, name, role, now);
    store.addToken({
      id,
      role,
      digest: digest(token.expose()),
      note: `with certificate ${name}`,
      certificate: certificate.serial,
      createdAt: now,
      expiresAt: certificate.expiresAt,
    });
  });
  return identityText({ ...certificate, ca: authority.certificate, token });
}

/** Server's certificate and this machine's identity again, under the names they had and `hosts`. */
export async function renewServer(options: CertsOptions, hosts: readonly string[]): Promise<readonly string[]> {
  const { storeDir, now, days = LEAF_DAYS } = options;
  const files = certFiles(storeDir);
  const authority = readAuthority(storeDir);
  const before = new X509Certificate(readCertFile(files.server)).subjectAltName ?? "";
  const had = before.split(", ").map((one) => one.slice(one.indexOf(":") + 1).replace(/^"|"$/g, ""));
  const names = [...new Set([...had, ...ownNames(), ...hosts.map(checkHost)].map(shortest))];
  const server = await issueServer(authority, names, { now, days });
  const local = await issueClient(authority, LOCAL, "admin", { now, days });
  await recording(storeDir, (store) => {
    record(store, server, "server", "server", now);
    record(store, local, LOCAL, "admin", now);
  });
  writeServer(files, server);
  writeCertFile(files.local, identityText({ ...local, ca: authority.certificate, token: null }));
  return names;
}

export function listCertificates(storeDir: string): Promise<readonly CertificateRecord[]> {
  return recording(storeDir, (store) => store.certificates());
}

/** Revokes every valid certificate of that name, or the one with that serial. Answers the serials. */
export async function revokeCertificate(options: CertsOptions, which: string): Promise<readonly string[]> {
  return await recording(options.storeDir, (store) => {
    const found = store
      .certificates()
      .filter((one) => one.role !== "server" && one.name !== LOCAL && one.revokedAt === null)
      .filter((one) => one.name === which || one.serial === which.toUpperCase());
    if (found.length === 0) {
      throw new ConvsweepError("NOT_FOUND", `there is no valid certificate ${which}; \`certs list\` names them`, {
        path: "NAME",
        found: which,
      });
    }
    for (const { serial } of found) store.revokeCertificate(serial, options.now);
    return found.map(({ serial }) => serial);
  });
}

function readAuthority(storeDir: string): Authority {
  const files = certFiles(storeDir);
  return { certificate: readCertFile(files.ca), key: readKeyFile(files.caKey) };
}

/** The key first: a coordinator that looks in between finds a pair that does not fit and keeps the old one. */
function writeServer(files: CertFiles, server: { readonly certificate: string; readonly key: Secret }): void {
  writeCertFile(files.serverKey, server.key);
  writeCertFile(files.server, server.certificate);
}

function record(store: AuthStore, issued: Issued, name: string, role: string, now: number): void {
  store.addCertificate({ serial: issued.serial, name, role, createdAt: now, expiresAt: issued.expiresAt });
}

async function recording<T>(storeDir: string, action: (store: AuthStore) => T): Promise<T> {
  const store = new AuthStore(storeDir);
  try {
    return action(store);
  } finally {
    store.close();
  }
}

function checkHost(host: string): string {
  if (HOST.test(host)) return host;
  throw new ConvsweepError("BAD_INPUT", `--host: ${JSON.stringify(host.slice(0, 80))} is no host name or address`, {
    path: "--host",
    expected: "a name or address under which the coordinator is reached, without a port",
    found: host.slice(0, 80),
  });
}

/** Certificates write IPv6 addresses in full (`0:0:0:0:0:0:0:1`). */
function shortest(name: string): string {
  if (!name.includes(":")) return name.toLowerCase();
  return new URL(`http://[${name}]`).hostname.slice(1, -1);
}
