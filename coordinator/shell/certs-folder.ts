/**
 * The folder `certs` of a store: where its authority, its server's certificate and this machine's own identity are.
 *
 * Guarantees: the folder is 0700 and every file in it 0600, each written whole or not at all. `local.pem` lets the
 * programs of this machine talk to a coordinator that asks for certificates. Not here: making certificates
 * (authority.ts), using them (server-tls.ts).
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";
import { checkPrivate } from "../../proto/private-file.js";
import { Secret } from "../../proto/secret.js";
import { writeSecretFile } from "./credentials.js";

export interface CertFiles {
  readonly folder: string;
  readonly ca: string;
  readonly caKey: string;
  readonly server: string;
  readonly serverKey: string;
  readonly local: string;
}

export function certFiles(storeDir: string): CertFiles {
  const folder = join(storeDir, "certs");
  return {
    folder,
    ca: join(folder, "ca.pem"),
    caKey: join(folder, "ca.key"),
    server: join(folder, "server.pem"),
    serverKey: join(folder, "server.key"),
    local: join(folder, "local.pem"),
  };
}

export const hasCertificates = (storeDir: string): boolean => existsSync(certFiles(storeDir).ca);

export function makeCertFolder(storeDir: string): CertFiles {
  const files = certFiles(storeDir);
  mkdirSync(files.folder, { recursive: true, mode: 0o700 });
  return files;
}

/** A file of the folder; refused if others can read it. */
export function readCertFile(file: string): string {
  try {
    checkPrivate(file);
    return readFileSync(file, "utf8");
  } catch (cause) {
    if (cause instanceof ConvsweepError) throw cause;
    throw new ConvsweepError("NOT_FOUND", `${file} cannot be read: \`convsweep certs init\` makes it`, {
      path: file,
      cause,
    });
  }
}

export function readKeyFile(file: string): Secret {
  return new Secret(readCertFile(file));
}

export function writeCertFile(file: string, text: string | Secret): void {
  writeSecretFile(file, typeof text === "string" ? text : text.expose());
}
