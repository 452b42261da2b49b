/**
 * Wrong gRPC messages: of commands (`call`) and of workers (`link`), each with the status and the words it is refused with.
 * `bytes` is a message as it stands on the wire. One real coordinator takes them all and still serves at the end.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AdminClient, openAdminClient } from "../../coordinator/shell/admin-client.js";
import { type RunningCoordinator, startCoordinator } from "../../coordinator/shell/coordinator.js";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { AdminServiceService } from "../../proto/gen/convsweep/v1/admin.js";
import { LinkRequest, LinkResponse, WorkerServiceService } from "../../proto/gen/convsweep/v1/worker.js";
import { smallSweep } from "../e2e/program.js";
import { HELLO } from "../shell/scripted-worker.js";
import { expectMessage, manifest, plain } from "./manifest.js";

interface Row {
  readonly why: string;
  readonly call?: keyof typeof AdminServiceService;
  readonly request?: object;
  /** `null`: none is shown; default the admin's. */
  readonly token?: unknown;
  readonly role?: "admin" | "worker";
  /** Body of a LinkRequest by its name; `{}` for none. */
  readonly link?: Readonly<Record<string, object>> | null;
  readonly seq?: number;
  readonly ack?: number;
  /** Nothing was said before. */
  readonly bare?: true;
  readonly bytes?: string;
  readonly code: string;
  readonly message: string;
}

const rows = manifest<Row>("messages");
const storeDir = mkdtempSync(join(tmpdir(), "convsweep-messages-"));
let coordinator: RunningCoordinator;
let admin: AdminClient;
let client: Client;

beforeAll(async () => {
  const here = { host: "127.0.0.1", port: 0 };
  coordinator = await startCoordinator({ storeDir, grpc: here, http: null, insecurePlaintext: false });
  admin = openAdminClient({ address: coordinator.grpcAddress, tokenFile: tokenFile(storeDir, "admin") });
  client = new Client(coordinator.grpcAddress, credentials.createInsecure());
  await admin.submitSweep("one.yaml", smallSweep());
  await admin.submitSweep("two.yaml", smallSweep());
  for (const sweep of [1, 2]) await admin.enqueueTrial(sweep, {});
  await admin.controlSweep(2, "cancel");
});

afterAll(async () => {
  client.close();
  admin.close();
  await coordinator.close();
  rmSync(storeDir, { recursive: true, force: true });
});

function metadataOf({ token, role = "admin" }: Row): Metadata {
  const metadata = new Metadata();
  const shown = token === undefined ? `Bearer ${readFileSync(tokenFile(storeDir, role), "utf8").trim()}` : plain(token);
  if (shown !== null) metadata.set("authorization", String(shown));
  return metadata;
}

interface Answer {
  readonly code: string;
  readonly message: string;
}

const answerOf = (error: Pick<ServiceError, "code" | "details"> | null): Answer =>
  error === null ? { code: "OK", message: "" } : { code: status[error.code] ?? "", message: error.details };

const deadline = (): { readonly deadline: number } => ({ deadline: Date.now() + 15_000 });
const bytesOf = (value: Buffer): Buffer => value;

function called(row: Row): Promise<Answer> {
  const method = AdminServiceService[row.call ?? "getStatus"];
  const empty = method.requestDeserialize(Buffer.alloc(0));
  const request =
    row.bytes === undefined
      ? Buffer.from(method.requestSerialize({ ...empty, ...(plain(row.request) as object) } as never))
      : Buffer.from(row.bytes, "hex");
  return new Promise((resolve) => {
    if (method.responseStream) {
      const call = client.makeServerStreamRequest(method.path, bytesOf, bytesOf, request, metadataOf(row), deadline());
      call.on("error", (error: ServiceError) => resolve(answerOf(error)));
      call.on("data", () => resolve(answerOf(null)));
    } else {
      client.makeUnaryRequest(method.path, bytesOf, bytesOf, request, metadataOf(row), deadline(), (error) =>
        resolve(answerOf(error)),
      );
    }
  });
}

function said(row: Row, number: number): Buffer {
  if (row.bytes !== undefined) return Buffer.from(row.bytes, "hex");
  const [found] = Object.entries(row.link ?? {});
  const { seq = 0, ack = 0 } = row;
  if (!found) return Buffer.from(LinkRequest.encode({ seq, ack, body: undefined }).finish());
  const [$case, value] = found;
  const hello = { ...HELLO, incarnation: `incarnation-${number}` };
  const whole = { ...($case === "hello" ? hello : {}), ...(plain(value) as object) };
  return Buffer.from(LinkRequest.encode({ seq, ack, body: { $case, value: whole } as never }).finish());
}

function linked(row: Row, number: number): Promise<Answer> {
  return new Promise((resolve) => {
    const metadata = metadataOf({ ...row, role: "worker" });
    const { path } = WorkerServiceService.link;
    const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
      path,
      bytesOf,
      bytesOf,
      metadata,
      deadline(),
    );
    call.on("error", (error: ServiceError) => resolve(answerOf(error)));
    call.on("end", () => resolve(answerOf(null)));
    call.on("data", (bytes: Buffer) => {
      if (LinkResponse.decode(bytes).body?.$case === "welcome") call.write(said(row, number));
    });
    const hello = { why: "", link: { hello: { worker: `w${number}` } }, code: "", message: "" };
    call.write(said(row.bare ? row : hello, number));
  });
}

describe("wrong messages", () => {
  it.each(rows.map((row, number) => [`${row.call ?? "link"}: ${row.why}`, row, number] as const))(
    "%s",
    async (_name, row, number) => {
      const { code, message } = row.call ? await called(row) : await linked(row, number);
      expect(code).toBe(row.code);
      expectMessage(message.replaceAll(storeDir, "DIR"), row.message);
    },
  );

  it("leave the coordinator as it was", async () => {
    expect((await admin.getStatus()).pid).toBe(process.pid);
    const { rows: found } = await admin.query("SELECT id, state FROM sweeps ORDER BY id", []);
    expect(found).toEqual([
      [1, "running"],
      [2, "cancelled"],
    ]);
    expect((await admin.query("SELECT count(*) FROM reports", [])).rows).toEqual([[0]]);
  });
});
