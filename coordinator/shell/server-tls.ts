/**
 * The coordinator's side of TLS: its certificate, and the same again when the files change.
 *
 * Guarantees: TLS 1.3 and nothing older; clients' certificates are judged by the store's own authority and no other. A
 * renewed certificate is used for new connections within `RELOAD_MILLIS`, without a restart and without touching those
 * that are open; files that do not fit together (caught half way through a renewal, or wrong) leave the old one in use
 * and are said once. An expired certificate is refused at the start. Not here: connections (grpc-listener.ts, http.ts),
 * revocation (authorize.ts).
 */
import { X509Certificate } from "node:crypto";
import { statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConvsweepError, millis } from "../../proto/contract.js";
import { type CertFiles, certFiles, readCertFile, readKeyFile } from "./certs-folder.js";
import type { Clock } from "./clock.js";
import type { Log } from "./log.js";

const RELOAD_MILLIS = 2_000;
const SOON_MILLIS = 30 * 86_400_000;

/** What both node:tls and node:https take. */
export interface ServerTlsOptions {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly minVersion: "TLSv1.3";
}

export class ServerTls {
  readonly #files: CertFiles;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners = new Set<(options: ServerTlsOptions) => void>();
  #options: ServerTlsOptions;
  #stamp: string;
  #cancel: () => void = () => {};

  constructor(storeDir: string, clock: Clock, log: Log) {
    this.#files = certFiles(storeDir);
    this.#clock = clock;
    this.#log = log;
    this.#stamp = this.#stampOf();
    this.#options = this.#read();
    const until = new X509Certificate(this.#options.cert).validTo;
    const left = Date.parse(until) - Date.now();
    if (left <= 0) {
      throw new ConvsweepError(
        "BAD_INPUT",
        `the server's certificate expired on ${until}: \`convsweep certs renew\`; what is open to other machines needs one that is valid`,
        { path: this.#files.server, expected: "a certificate that is valid", found: `valid to ${until}` },
      );
    }
    if (left < SOON_MILLIS)
      log("warn", "certificate-trouble", `the server's certificate expires on ${until}: \`convsweep certs renew\``);
    this.#watch();
  }

  get options(): ServerTlsOptions {
    return this.#options;
  }

  /** Names and addresses of the certificate, as they stand in an URL. */
  get hostNames(): readonly string[] {
    const text = new X509Certificate(this.#options.cert).subjectAltName ?? "";
    return text.split(", ").map((entry) => {
      const name = entry.slice(entry.indexOf(":") + 1).replace(/^"|"$/g, "");
      return name.includes(":") ? new URL(`http://[${name}]`).hostname : name;
    });
  }

  onRenewal(listener: (options: ServerTlsOptions) => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    this.#cancel();
  }

  #watch(): void {
    this.#cancel = this.#clock.schedule(millis(this.#clock.now() + RELOAD_MILLIS), () => {
      this.#look();
      this.#watch();
    });
  }

  #look(): void {
    const stamp = this.#stampOf();
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      this.#options = this.#read();
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#log("warn", "certificate-trouble", `the new certificate cannot be used, the old one stays: ${why}`);
      return;
    }
    this.#log("info", "certificate-renewed", "a renewed certificate is in use", {
      serial: new X509Certificate(this.#options.cert).serialNumber,
    });
    for (const listener of this.#listeners) listener(this.#options);
  }

  /** Throws unless the files fit together. */
  #read(): ServerTlsOptions {
    const { ca, server, serverKey } = this.#files;
    const options = {
      ca: readCertFile(ca),
      cert: readCertFile(server),
      key: readKeyFile(serverKey).expose(),
      minVersion: "TLSv1.3",
    } as const;
    try {
      createSecureContext(options);
      if (!new X509Certificate(options.cert).checkIssued(new X509Certificate(options.ca))) {
        throw new Error(`${server} was not issued by ${ca}`);
      }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ConvsweepError("CORRUPT", `the certificates in ${this.#files.folder} cannot be used: ${why}`, {
        path: server,
        cause,
      });
    }
    return options;
  }

  #stampOf(): string {
    return [this.#files.ca, this.#files.server, this.#files.serverKey]
      .map((file) => {
        const found = statSync(file, { throwIfNoEntry: false });
        return found === undefined ? "absent" : `${found.ino} ${found.mtimeMs} ${found.size}`;
      })
      .join(", ");
  }
}
