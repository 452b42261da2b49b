/**
 * The one gate before every RPC.
 *
 * Guarantees: a method that is not in the table below is refused to everybody; every other one needs a bearer token of a
 * role that the table names. Nothing of the request's body is read before. Not here: what tokens are (credentials.ts).
 */
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { ConvsweepError } from "../../proto/contract.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";
import type { Credentials, Role } from "./credentials.js";
import { errorToStatus } from "./errors.js";

const POLICY: ReadonlyMap<string, readonly Role[]> = new Map<string, readonly Role[]>([
  ...Object.values(AdminServiceService).map((method): [string, readonly Role[]] => [method.path, ["admin"]]),
  ...Object.values(WorkerServiceService).map((method): [string, readonly Role[]] => [method.path, ["worker", "admin"]]),
]);

/** `refused` is told of everybody who is turned away. */
export function authorizing(
  credentials: Credentials,
  refused: (why: "unauthenticated" | "forbidden") => void,
): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            const refusal = refuse(credentials, method.path, metadata);
            if (refusal === null) {
              nextMetadata(metadata);
              return;
            }
            refused(refusal.code === "FORBIDDEN" ? "forbidden" : "unauthenticated");
            call.sendStatus(errorToStatus(refusal));
          },
        });
      },
    });
}

function refuse(credentials: Credentials, path: string, metadata: Metadata): ConvsweepError | null {
  const given = metadata.get("authorization");
  const role = given.length === 1 ? credentials.roleOf(String(given[0])) : null;
  if (role === null) {
    return new ConvsweepError(
      "UNAUTHENTICATED",
      given.length === 0
        ? "a token is needed: `authorization: Bearer …`"
        : "the token is not one of this coordinator's",
    );
  }
  if (POLICY.get(path)?.includes(role)) return null;
  return new ConvsweepError("FORBIDDEN", `the ${role} token does not open ${path}`);
}
