/**
 * The one gate before every RPC.
 *
 * Guarantees: a method that is not in the tables below is refused to everybody, and one that is in the protocol but not
 * in the tables does not compile; every call needs a bearer token of a role that its line names and, where the client
 * showed a certificate, a certificate that is not revoked and whose role the line names too. Nothing of the request's
 * body is read before. A call that is open when its token or certificate ceases to count is ended within
 * `REFRESH_MILLIS`. Every refusal leaves a line in the log that names address, method and token's id. Not here: what
 * tokens are (credentials.ts).
 */
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { ConvsweepError } from "../../proto/contract.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";
import { addressOfPeer, type Connections, type ShownCertificate } from "./connections.js";
import { type Caller, type Credentials, isRole, type Role } from "./credentials.js";
import { errorToStatus } from "./errors.js";
import type { Failures } from "./failures.js";

const CHANGES: readonly Role[] = ["admin", "submit"];
const READS: readonly Role[] = ["admin", "submit", "read"];

const ADMIN_POLICY: Readonly<Record<keyof typeof AdminServiceService, readonly Role[]>> = {
  submitSweep: CHANGES,
  controlSweep: CHANGES,
  extendSweep: CHANGES,
  stopTrial: CHANGES,
  enqueueTrial: CHANGES,
  rerunTrial: CHANGES,
  query: READS,
  watch: READS,
  // It writes a file on the coordinator's machine.
  backup: ["admin"],
  getStatus: READS,
};

const WORKER_POLICY: Readonly<Record<keyof typeof WorkerServiceService, readonly Role[]>> = {
  link: ["worker", "admin"],
  uploadCheckpoint: ["worker", "admin"],
  downloadCheckpoint: ["worker", "admin"],
  uploadArtifact: ["worker", "admin"],
};

interface Method {
  readonly path: string;
}

/** Roles that may call a method, by its path. */
export const POLICY: ReadonlyMap<string, readonly Role[]> = new Map([
  ...pathsOf(AdminServiceService, ADMIN_POLICY),
  ...pathsOf(WorkerServiceService, WORKER_POLICY),
]);

function pathsOf<Name extends string>(
  methods: Readonly<Record<Name, Method>>,
  policy: Readonly<Record<Name, readonly Role[]>>,
): readonly (readonly [string, readonly Role[]])[] {
  return (Object.keys(methods) as Name[]).map((name) => [methods[name].path, policy[name]]);
}

export interface GateParts {
  readonly credentials: Credentials;
  readonly failures: Failures;
  readonly connections: Connections;
  /** Told of everybody who is turned away. */
  readonly refused: (why: "unauthenticated" | "forbidden") => void;
}

type BaseCall = Parameters<ServerInterceptor>[1];

export function authorizing(parts: GateParts): ServerInterceptor {
  const { credentials, failures, connections } = parts;
  const open = new Set<{ readonly caller: Caller; readonly serial: string | null; readonly call: BaseCall }>();
  credentials.onChange(() => {
    for (const one of open) {
      const shut = one.serial !== null && credentials.isRevokedCertificate(one.serial);
      if (!shut && credentials.isCurrent(one.caller.id)) continue;
      open.delete(one);
      const what = shut ? "certificate" : "token";
      failures.note(addressOfPeer(one.call.getPeer()), {
        what: "an open call",
        why: `the ${what} ceased to count`,
        tokenId: one.caller.id,
      });
      one.call.sendStatus(errorToStatus(new ConvsweepError("UNAUTHENTICATED", `the ${what} was revoked or expired`)));
    }
  });
  return (method, call) => {
    let entry: { readonly caller: Caller; readonly serial: string | null; readonly call: BaseCall } | null = null;
    const done = (): void => {
      if (entry) open.delete(entry);
    };
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            const shown = connections.certificateOf(call.getPeer());
            const verdict = judge(credentials, method.path, metadata, shown);
            if (!(verdict instanceof ConvsweepError)) {
              connections.known(call.getPeer());
              entry = { caller: verdict, serial: shown?.serial ?? null, call };
              open.add(entry);
              nextMetadata(metadata);
              return;
            }
            parts.refused(verdict.code === "FORBIDDEN" ? "forbidden" : "unauthenticated");
            const limited = failures.note(addressOfPeer(call.getPeer()), {
              what: method.path,
              why: verdict.message,
              ...(verdict.found === null ? {} : { tokenId: verdict.found }),
            });
            const hide = limited && verdict.code === "UNAUTHENTICATED";
            call.sendStatus(errorToStatus(hide ? new ConvsweepError("TOO_LARGE", TOO_MANY) : verdict));
          },
          onCancel() {
            done();
          },
        });
      },
      sendStatus(status, next) {
        done();
        next(status);
      },
    });
  };
}

const TOO_MANY = "too many refused tokens from this address: wait a minute";

/** The caller, or why not; `found` of the error is the id of a token that was recognised. */
function judge(
  credentials: Credentials,
  path: string,
  metadata: Metadata,
  shown: ShownCertificate | null,
): Caller | ConvsweepError {
  if (shown !== null && credentials.isRevokedCertificate(shown.serial)) {
    return new ConvsweepError("UNAUTHENTICATED", `the certificate ${shown.serial} has been revoked`);
  }
  const given = metadata.get("authorization");
  const caller = given.length === 1 ? credentials.callerOf(String(given[0]), shown?.serial ?? null) : null;
  if (caller === null) {
    return new ConvsweepError(
      "UNAUTHENTICATED",
      given.length === 0
        ? "a token is needed: `authorization: Bearer …`"
        : "the token is not one of this coordinator's, or no longer, or not with this certificate",
    );
  }
  const roles = POLICY.get(path) ?? [];
  if (!roles.includes(caller.role)) {
    return new ConvsweepError("FORBIDDEN", `the ${caller.role} token does not open ${path}`, { found: caller.id });
  }
  if (shown !== null && !(isRole(shown.unit) && roles.includes(shown.unit))) {
    return new ConvsweepError("FORBIDDEN", `the certificate of a ${shown.unit} does not open ${path}`, {
      found: caller.id,
    });
  }
  return caller;
}
