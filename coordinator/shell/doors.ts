/**
 * Everything that stands at a coordinator's doors, opened and closed together: certificates, tokens, counts of refusals
 * and of connections. Not here: what each of them does.
 */
import { AuthStore } from "../store/auth.js";
import type { Clock } from "./clock.js";
import { type ConnectionLimits, Connections } from "./connections.js";
import { Credentials } from "./credentials.js";
import { Failures } from "./failures.js";
import type { Log } from "./log.js";
import { type Secured, type SecurityOptions, warnOfPlaintext } from "./security.js";
import { ServerTls } from "./server-tls.js";

export interface Doors {
  /** `null` where neither address has TLS. */
  readonly tls: ServerTls | null;
  readonly credentials: Credentials;
  readonly failures: Failures;
  readonly connections: Connections;
  close(): void;
}

export function openDoors(
  options: SecurityOptions,
  secured: Secured,
  limits: Partial<ConnectionLimits>,
  clock: Clock,
  log: Log,
): Doors {
  const plain = secured.grpc === "plaintext" && secured.http === "plaintext";
  const tls = plain ? null : new ServerTls(options.storeDir, clock, log);
  const auth = new AuthStore(options.storeDir);
  let credentials: Credentials;
  try {
    credentials = new Credentials(options.storeDir, auth, clock);
  } catch (thrown) {
    auth.close();
    tls?.close();
    throw thrown;
  }
  const stopWarning = warnOfPlaintext(options, secured, clock, log);
  return {
    tls,
    credentials,
    failures: new Failures(clock, log),
    connections: new Connections(clock, limits),
    close() {
      stopWarning();
      credentials.close();
      tls?.close();
    },
  };
}
