/**
 * The store's own certificate authority: makes and signs certificates (RFC 5280), all on P-256.
 *
 * Guarantees: the authority may sign leaves only (path length 0); a server's certificate has its names as subject
 * alternative names and serves as nothing but a server, a client's as nothing but a client, with its role as
 * organisational unit; serials are 127 random bits; a certificate begins an hour early, so that machines whose clocks
 * differ a little agree. Times are milliseconds of the wall clock. Loading the library takes a quarter of a second: only
 * the verbs that issue import this file. Not here: files (certs-folder.ts), who is let in (authorize.ts).
 */
import "reflect-metadata";
import { randomBytes, type webcrypto as WebCrypto, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import { Secret } from "../../proto/secret.js";
import type { Role } from "./credentials.js";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const EARLY_MILLIS = 3_600_000;

export interface Issued {
  /** PEM. */
  readonly certificate: string;
  /** PKCS #8 PEM. */
  readonly key: Secret;
  /** As Node shows it: hexadecimal, capitals. */
  readonly serial: string;
  readonly expiresAt: number;
}

/** The authority's own certificate and key, PEM. */
export interface Authority {
  readonly certificate: string;
  readonly key: Secret;
}

interface Period {
  readonly now: number;
  readonly days: number;
}

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);

export async function makeAuthority(name: string, period: Period): Promise<Issued> {
  const keys = await makeKeys();
  const { notBefore, notAfter } = datesOf(period);
  const serialNumber = newSerial();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: [{ CN: [name] }],
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return await issued(certificate, keys, serialNumber);
}

/** `names` are host names and addresses under which the server is reached. */
export function issueServer(authority: Authority, names: readonly string[], period: Period): Promise<Issued> {
  return issue(authority, { CN: "convsweep coordinator" }, x509.ExtendedKeyUsage.serverAuth, period, [
    new x509.SubjectAlternativeNameExtension(
      names.map((name) => ({ type: isIP(name) === 0 ? ("dns" as const) : ("ip" as const), value: name })),
    ),
  ]);
}

export function issueClient(authority: Authority, name: string, role: Role, period: Period): Promise<Issued> {
  return issue(authority, { CN: name, OU: role }, x509.ExtendedKeyUsage.clientAuth, period, []);
}

async function issue(
  authority: Authority,
  subject: Readonly<Record<string, string>>,
  usage: x509.ExtendedKeyUsage,
  period: Period,
  extensions: readonly x509.Extension[],
): Promise<Issued> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await makeKeys();
  const { notBefore, notAfter } = datesOf(period);
  const serialNumber = newSerial();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber,
    subject: [Object.fromEntries(Object.entries(subject).map(([key, value]) => [key, [value]]))],
    issuer: issuer.subject,
    notBefore,
    notAfter: new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime())),
    signingKey: await importKey(authority.key),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage], true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...extensions,
    ],
  });
  return await issued(certificate, keys, serialNumber);
}

async function issued(
  certificate: x509.X509Certificate,
  keys: WebCrypto.CryptoKeyPair,
  serial: string,
): Promise<Issued> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: new Secret(`${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`),
    serial: serial.toUpperCase(),
    expiresAt: certificate.notAfter.getTime(),
  };
}

async function makeKeys(): Promise<WebCrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as WebCrypto.CryptoKeyPair;
}

async function importKey(pem: Secret): Promise<WebCrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem.expose());
  if (der === undefined) throw new TypeError("the authority's key is not PEM");
  return await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
}

function datesOf({ now, days }: Period): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(now - EARLY_MILLIS), notAfter: new Date(now + days * 86_400_000) };
}

/** First bit 0: it is a positive number; first byte never 0, so that its text has no second form. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}
