/**
 * How a coordinator's two addresses are secured, decided from where they listen.
 *
 * Guarantees: on loopback plaintext unless TLS is asked for; what other machines can reach has TLS, with clients'
 * certificates on the gRPC port unless told otherwise, or is refused with the command that makes certificates. Plaintext
 * beyond this machine needs to be asked for by name and is warned of every hour. Not here: TLS itself (server-tls.ts).
 */
import { existsSync, statSync } from "node:fs";
import { ConvsweepError, millis } from "../../proto/contract.js";
import { isLoopback } from "../../proto/tls.js";
import { hasCertificates } from "./certs-folder.js";
import type { Clock } from "./clock.js";
import type { Address } from "./grpc-listener.js";
import type { Log } from "./log.js";

/** `auto`: by the address. `tls`: certificates of the server alone. `mtls`: of clients too. */
export type Security = "auto" | "tls" | "mtls";

/** Refuses a store where others could put files: what they write there would be believed. */
export function checkStoreFolder(dir: string): void {
  // What cannot be a folder is refused by who opens the store, in better words.
  if (!existsSync(dir)) return;
  const found = statSync(dir);
  const mine = process.getuid?.() ?? found.uid;
  const foreign = found.uid !== mine && mine !== 0;
  if ((found.mode & 0o002) === 0 && !foreign) return;
  throw new ConvsweepError(
    "FORBIDDEN",
    foreign ? `the store ${dir} belongs to another user` : `others can write the store ${dir}: \`chmod 700 ${dir}\``,
    {
      path: dir,
      expected: "your own folder with mode 700",
      found: foreign ? `owner ${found.uid}` : `mode ${(found.mode & 0o777).toString(8)}`,
    },
  );
}

export interface Secured {
  readonly grpc: "plaintext" | "tls" | "mtls";
  readonly http: "plaintext" | "tls";
}

export interface SecurityOptions {
  readonly storeDir: string;
  readonly grpc: Address;
  readonly http: Address | null;
  readonly security: Security;
  readonly insecurePlaintext: boolean;
}

export function decideSecurity(options: SecurityOptions): Secured {
  const { grpc, http, security, insecurePlaintext } = options;
  const open = [grpc, ...(http === null ? [] : [http])].filter(({ host }) => !isLoopback(host));
  if (insecurePlaintext && open.length > 0) return { grpc: "plaintext", http: "plaintext" };
  const wanted: Secured =
    security === "auto"
      ? {
          grpc: isLoopback(grpc.host) ? "plaintext" : "mtls",
          http: http === null || isLoopback(http.host) ? "plaintext" : "tls",
        }
      : { grpc: security, http: "tls" };
  if (wanted.grpc === "plaintext" && wanted.http === "plaintext") return wanted;
  if (hasCertificates(options.storeDir)) return wanted;
  const [first = grpc] = open;
  const where = `${first.host}:${first.port}`;
  const why = open.length > 0 ? `${where} can be reached from other machines, which needs TLS` : "TLS was asked for";
  throw new ConvsweepError(
    "BAD_INPUT",
    `${why}, and this store has no certificates: \`convsweep certs init\` makes them (or listen on 127.0.0.1 and use an ` +
      "SSH tunnel)",
    { path: "listen", expected: "127.0.0.1, localhost or ::1, or certificates", found: first.host },
  );
}

const HOUR_MILLIS = 3_600_000;

/** Says now and every hour that what goes over the network can be read. Answers how to stop that. */
export function warnOfPlaintext(options: SecurityOptions, secured: Secured, clock: Clock, log: Log): () => void {
  const open = [
    ...(secured.grpc === "plaintext" ? [options.grpc] : []),
    ...(secured.http === "plaintext" && options.http !== null ? [options.http] : []),
  ].filter(({ host }) => !isLoopback(host));
  if (open.length === 0) return () => {};
  const where = open.map(({ host, port }) => `${host}:${port}`).join(" and ");
  let cancel: () => void = () => {};
  const warn = (): void => {
    log(
      "warn",
      "insecure-bind",
      `INSECURE: ${where} is open to the network WITHOUT encryption; tokens and results can be read on the way`,
    );
    cancel = clock.schedule(millis(clock.now() + HOUR_MILLIS), warn);
  };
  warn();
  return () => cancel();
}
