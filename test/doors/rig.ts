/**
 * What tests of the doors share: a coordinator with certificates, calls of any method with anything for a token, and
 * certificates that are wrong in one way each.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { initCertificates, issueIdentity } from "../../coordinator/shell/certs.js";
import { certFiles } from "../../coordinator/shell/certs-folder.js";
import type { Role } from "../../coordinator/shell/credentials.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";
import { type ClientTls, nameCheck, readClientTls, secureContextOf } from "../../proto/tls.js";
import { scratch } from "../shell/fixture.js";

/** A store's folder with certificates, and an identity of a role in it. */
export async function certified(): Promise<{
  readonly storeDir: string;
  identity(name: string, role?: Role, days?: number): Promise<string>;
}> {
  const storeDir = scratch();
  await initCertificates({ storeDir, now: Date.now() }, []);
  return {
    storeDir,
    async identity(name, role = "worker", days = 365) {
      const file = join(storeDir, `${name}.pem`);
      writeFileSync(file, await issueIdentity({ storeDir, now: Date.now(), days }, name, role), { mode: 0o600 });
      return file;
    },
  };
}

export function tlsOf(identity: string): ClientTls {
  const tls = readClientTls({ ca: null, identity });
  if (tls === null) throw new Error("no identity");
  return tls;
}

/** Knows the authority, shows no certificate. */
export function caOnly(storeDir: string): ClientTls {
  return { ca: readFileSync(certFiles(storeDir).ca, "utf8"), certificate: null, key: null, token: null };
}

/** Every method of every service in the protocol. */
export const METHODS = [...Object.values(AdminServiceService), ...Object.values(WorkerServiceService)];

export type AnyMethod = (typeof METHODS)[number];

/** The status code that a call with this Authorization ends with; OK also when it goes on. */
export function statusOf(
  address: string,
  method: AnyMethod,
  authorization: string | null,
  tls: ClientTls | null = null,
  request: Buffer = Buffer.alloc(0),
): Promise<number> {
  const { verify, options: named } = nameCheck(address);
  const channel: ChannelCredentials =
    tls === null ? credentials.createInsecure() : credentials.createFromSecureContext(secureContextOf(tls), verify);
  const client = new Client(address, channel, {
    "grpc.use_local_subchannel_pool": 1,
    ...(tls === null ? {} : named),
  });
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  if (authorization !== null) metadata.set("authorization", authorization);
  const raw = (bytes: Buffer): Buffer => bytes;
  const options = { deadline: Date.now() + 10_000 };
  return new Promise((resolve) => {
    const done = (error: ServiceError | null): void => resolve(error === null ? status.OK : error.code);
    if (method.requestStream) {
      const call = client.makeBidiStreamRequest(method.path, raw, raw, metadata, options);
      call.on("error", done);
      call.on("data", () => done(null));
      call.write(request);
    } else if (method.responseStream) {
      const call = client.makeServerStreamRequest(method.path, raw, raw, request, metadata, options);
      call.on("error", done);
      call.on("data", () => done(null));
    } else client.makeUnaryRequest(method.path, raw, raw, request, metadata, options, done);
  });
}
