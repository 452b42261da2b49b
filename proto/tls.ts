/**
 * How a program of convsweep reaches a coordinator that speaks TLS.
 *
 * An *identity* is one PEM file that `convsweep certs issue` writes and a machine is given: the authority's certificate,
 * the client's own certificate and key, and a token that counts only with them, as a block CONVSWEEP TOKEN. Guarantees: a
 * server is accepted only if that authority signed it for the very name or address that was dialled, over TLS 1.3;
 * without an identity and an authority nothing is sent beyond this machine unless told so. `probe` says in plain words
 * why a connection over TLS fails: the gRPC library knows only "unavailable". Not here: the server's side
 * (coordinator/shell), issuing.
 */
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity, connect, createSecureContext, type PeerCertificate, type SecureContext } from "node:tls";
import { ConvsweepError } from "./contract.js";
import { checkPrivate } from "./private-file.js";
import { Secret } from "./secret.js";

/** Also needed beside the flag --insecure-plaintext, so that it is nobody's slip of the finger. */
export const PLAINTEXT_VARIABLE = "CONVSWEEP_INSECURE_PLAINTEXT";

/** Files named on a command line; `null` where none is. */
export interface TlsFiles {
  /** The authority's certificate alone: for a coordinator that asks for no certificate. */
  readonly ca: string | null;
  readonly identity: string | null;
}

export interface ClientTls {
  readonly ca: string;
  readonly certificate: string | null;
  readonly key: Secret | null;
  /** The token that came with the identity, if any. */
  readonly token: Secret | null;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=_\-\r\n]+?)\r?\n-----END \1-----/g;

/** `null`: neither is named, plaintext. */
export function readClientTls(files: TlsFiles): ClientTls | null {
  if (files.identity !== null) return readIdentity(files.identity, files.ca);
  if (files.ca === null) return null;
  return { ca: readText(files.ca, "--ca"), certificate: null, key: null, token: null };
}

function readIdentity(file: string, caFile: string | null): ClientTls {
  // One that is absent is named by who reads it.
  if (existsSync(file)) checkPrivate(file, "a private key", "--identity");
  const text = readText(file, "--identity");
  const certificates: string[] = [];
  let key: Secret | null = null;
  let token: Secret | null = null;
  for (const [block, kind, body] of text.matchAll(BLOCK)) {
    if (kind === "CERTIFICATE") certificates.push(block);
    else if (kind === "CONVSWEEP TOKEN") token = new Secret(body?.trim() ?? "");
    else if (kind?.endsWith("PRIVATE KEY")) key = new Secret(block);
  }
  const own = certificates.find((pem) => !isAuthority(pem));
  const ca = caFile === null ? certificates.find(isAuthority) : readText(caFile, "--ca");
  if (own === undefined || key === null || ca === undefined) {
    const lacks = own === undefined ? "a client's certificate" : key === null ? "a private key" : "an authority";
    throw new ConvsweepError("BAD_INPUT", `${file} lacks ${lacks}`, {
      path: "--identity",
      expected: "a file that `convsweep certs issue` wrote",
    });
  }
  return { ca, certificate: own, key, token };
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}

function readText(file: string, option: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConvsweepError("BAD_INPUT", `${file} cannot be read: ${why}`, { path: option, cause });
  }
}

/** The PEM text of an identity. */
export function identityText(parts: {
  readonly ca: string;
  readonly certificate: string;
  readonly key: Secret;
  readonly token: Secret | null;
}): string {
  const token =
    parts.token === null
      ? ""
      : `-----BEGIN CONVSWEEP TOKEN-----\n${parts.token.expose()}\n-----END CONVSWEEP TOKEN-----\n`;
  return [parts.ca, parts.certificate, parts.key.expose(), token]
    .map((part) => part.trimEnd())
    .join("\n")
    .trimEnd();
}

export function secureContextOf(tls: ClientTls): SecureContext {
  try {
    return createSecureContext({
      ca: tls.ca,
      minVersion: "TLSv1.3",
      ...(tls.certificate === null ? {} : { cert: tls.certificate }),
      ...(tls.key === null ? {} : { key: tls.key.expose() }),
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConvsweepError("BAD_INPUT", `the certificate or key cannot be used: ${why}`, {
      path: "--identity",
      cause,
    });
  }
}

/**
 * What the gRPC library must be told to check the server's name: it announces an address as if it were a name, which
 * TLS does not allow, so an address is checked here and another name is announced.
 */
export function nameCheck(address: string): {
  readonly verify: { readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined };
  readonly options: { readonly "grpc.ssl_target_name_override"?: string };
} {
  const { host } = splitAddress(address);
  if (isIP(host) === 0) return { verify: {}, options: {} };
  return {
    verify: { checkServerIdentity: (_announced, certificate) => checkServerIdentity(host, certificate) },
    options: { "grpc.ssl_target_name_override": "convsweep" },
  };
}

/** The host of `HOST:PORT`, without brackets. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}

/** Only this machine can reach it. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.[0-9]{1,3}){3}$/.test(host);
}

/** Throws where a token would leave this machine unencrypted and nobody said that it may. */
export function checkPlaintext(address: string, tls: ClientTls | null, allowed: boolean): void {
  if (tls !== null || allowed || isLoopback(splitAddress(address).host)) return;
  throw new ConvsweepError(
    "BAD_INPUT",
    `${address} is another machine, and without TLS anyone on the way could read the token: make an identity with ` +
      "`convsweep certs issue NAME` on the coordinator's machine and give it with --identity",
    { path: "--coordinator", expected: "--identity FILE or --ca FILE", found: "neither" },
  );
}

/** True if both the flag and the variable say so; throws when the flag stands alone. */
export function plaintextAllowed(flag: boolean, env: NodeJS.ProcessEnv): boolean {
  if (!flag) return false;
  if (env[PLAINTEXT_VARIABLE] === "1") return true;
  throw new ConvsweepError(
    "BAD_INPUT",
    `--insecure-plaintext also needs ${PLAINTEXT_VARIABLE}=1 in the environment: tokens and results would cross the ` +
      "network unencrypted",
    { path: "--insecure-plaintext", expected: `${PLAINTEXT_VARIABLE}=1`, found: env[PLAINTEXT_VARIABLE] ?? "nothing" },
  );
}

/** What is wrong with TLS somewhere. */
export interface TlsTrouble {
  /** In words for a person. */
  readonly reason: string;
  /** The other side said so. If not, it only said nothing, as a server does that is stopped, ending or overrun. */
  readonly proven: boolean;
}

/** What is wrong with TLS at `address`; `null` if it works or nobody can be reached there at all. */
export function probe(address: string, tls: ClientTls | null, waitMillis: number): Promise<TlsTrouble | null> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve) => {
    let reached = false;
    let secured = false;
    const socket = connect({
      host,
      port,
      ALPNProtocols: ["h2"],
      minVersion: "TLSv1.3",
      ...(tls === null ? { rejectUnauthorized: false } : { secureContext: secureContextOf(tls) }),
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    const say = (answer: TlsTrouble | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => {
      reached = true;
    });
    // Silence after the handshake is an HTTP/2 server that likes us; before it, a server that speaks something else.
    const timer = setTimeout(() => say(secured || tls === null || !reached ? null : SPEAKS_NO_TLS), waitMillis);
    socket.once("secureConnect", () => {
      secured = true;
      if (tls === null)
        say(proven("the coordinator speaks TLS: give --identity FILE (or --ca FILE), see `convsweep certs`"));
    });
    // The server's first frame: over TLS 1.3 a client's certificate is refused only after the client's handshake ended.
    socket.once("data", () => say(null));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (tls === null) say(null);
      else say(secured && error.code === "ECONNRESET" ? ownFault(tls) : reasonOf(error, host));
    });
    socket.once("close", () => {
      if (tls === null) say(null);
      else say(secured ? ownFault(tls) : SPEAKS_NO_TLS);
    });
  });
}

const proven = (reason: string): TlsTrouble => ({ reason, proven: true });

const NO_TLS = "the coordinator does not speak TLS: it was started for this machine alone, or with plaintext";
const SPEAKS_NO_TLS: TlsTrouble = { reason: NO_TLS, proven: false };

/**
 * Why a server would drop us after the handshake: over TLS 1.3 that is when it looks at our certificate, and Node's says
 * nothing. `null` where our own certificate is sound: the server is closing.
 */
function ownFault({ ca, certificate }: ClientTls): TlsTrouble | null {
  if (certificate === null) return null;
  const own = new X509Certificate(certificate);
  const now = Date.now();
  if (Date.parse(own.validTo) <= now) {
    return proven(`this client's certificate expired on ${own.validTo}: \`convsweep certs issue\` makes another`);
  }
  if (Date.parse(own.validFrom) > now) {
    return proven(
      `this client's certificate is not valid before ${own.validFrom}: compare the clocks of both machines`,
    );
  }
  if (!own.checkIssued(new X509Certificate(ca))) {
    return proven("this client's certificate is not signed by the coordinator's authority");
  }
  const usage: readonly string[] = own.keyUsage ?? [];
  return usage.includes(CLIENT_USAGE) ? null : proven("the certificate in --identity is not a client's");
}

/** id-kp-clientAuth */
const CLIENT_USAGE = "1.3.6.1.5.5.7.3.2";

/** `null` for what is no fault of TLS: nobody listens, no route, no such name. */
function reasonOf(error: NodeJS.ErrnoException, host: string): TlsTrouble | null {
  const { code = "", syscall } = error;
  // A reset in mid-handshake may be a server that does not know it; every other error of the system is the network's.
  if (code === "ECONNRESET") return SPEAKS_NO_TLS;
  if (syscall !== undefined) return null;
  const said = `${code} ${error.message}`;
  const known: readonly (readonly [RegExp, string])[] = [
    [
      /ERR_TLS_CERT_ALTNAME_INVALID/,
      `the server's certificate is not for ${host}: \`convsweep certs renew --host ${host}\``,
    ],
    [/CERT_HAS_EXPIRED/, "the server's certificate has expired: `convsweep certs renew` on the coordinator's machine"],
    [/CERT_NOT_YET_VALID/, "the server's certificate is not valid yet: compare the clocks of both machines"],
    [/INVALID_PURPOSE/, "the server showed a certificate that is not a server's"],
    [
      /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_SIGNATURE_FAILURE|DEPTH_ZERO/,
      "the server's certificate is not signed by the authority in --identity or --ca: it is another coordinator, or its certificates were made anew",
    ],
    [
      /CERTIFICATE_REQUIRED|certificate required/i,
      "the coordinator asks for a client's certificate: give --identity FILE",
    ],
    [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|protocol version/i, "the server does not speak TLS 1.3"],
    [/WRONG_VERSION_NUMBER|wrong version number|packet length too long|PACKET_LENGTH/i, NO_TLS],
  ];
  for (const [pattern, reason] of known) if (pattern.test(said)) return proven(reason);
  return { reason: `TLS with the coordinator failed: ${error.message}`, proven: false };
}
