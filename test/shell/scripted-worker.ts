/**
 * A worker by hand: a raw client of the Link whose every message the test chooses, and whose every answer it can await.
 */
import { type ClientDuplexStream, credentials, Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { readToken } from "../../coordinator/shell/credentials.js";
import type { RequestBody, ResponseBody } from "../../coordinator/shell/wire.js";
import { PROTOCOL } from "../../proto/contract.js";
import type { DeviceUse, Metric } from "../../proto/gen/convsweep/v1/types.js";
import {
  type Assign,
  type Hello,
  type LinkRequest,
  type LinkResponse,
  type Numbered,
  type Welcome,
  WorkerServiceClient,
} from "../../proto/gen/convsweep/v1/worker.js";

export const HASH = "ab".repeat(32);

type Held = Pick<Assign, "attempt" | "token">;
type ValueOf<K extends ResponseBody["$case"]> = Extract<ResponseBody, { readonly $case: K }>["value"];

export const HELLO: Hello = {
  protocolMajor: PROTOCOL.major,
  protocolMinor: PROTOCOL.minor,
  worker: "worker-1",
  incarnation: "incarnation-1",
  host: "host",
  pid: 42,
  version: "1.2.3",
  devices: [{ id: "cpu", name: "A CPU", backend: "cpu", fingerprint: "cpu-1", memoryBytes: 1 << 30, lanes: 2 }],
  running: [],
  previous: [],
  seenStore: "",
  seenGeneration: 0,
  seenCommit: 0,
  seenOpening: "",
};

export class ScriptedWorker {
  readonly #client: WorkerServiceClient;
  readonly #metadata: Metadata;
  readonly #hello: Hello;
  #call: ClientDuplexStream<LinkRequest, LinkResponse> | null = null;
  #inbox: LinkResponse[] = [];
  #watchers = new Set<() => void>();
  #end: ServiceError | StatusObject | null = null;
  /** Highest number of its own sent. */
  seq = 0;
  /** Highest number of its own that the coordinator called durable, on any link. */
  acked = 0;
  /** Highest number of the coordinator's on this link. */
  received = 0;
  /** Messages that carried nothing but an ack. */
  bareAcks = 0;

  constructor(address: string, token: string | null, hello: Partial<Hello> = {}) {
    this.#client = new WorkerServiceClient(address, credentials.createInsecure());
    this.#metadata = new Metadata();
    if (token !== null) this.#metadata.set("authorization", `Bearer ${token}`);
    this.#hello = { ...HELLO, ...hello };
    onTestFinished(() => this.#client.close());
  }

  static of(storeDir: string, address: string, hello: Partial<Hello> = {}): ScriptedWorker {
    return new ScriptedWorker(address, readToken(`${storeDir}/worker.token`).expose(), hello);
  }

  /** Opens a new stream; an older one of this worker stays open. */
  open(): void {
    const call = this.#client.link(this.#metadata);
    this.#call = call;
    this.#inbox = [];
    this.#end = null;
    this.received = 0;
    call.on("data", (message: LinkResponse) => {
      if (this.#call !== call) return;
      this.acked = Math.max(this.acked, message.ack);
      if (message.seq > 0) {
        if (message.seq !== this.received + 1)
          throw new Error(`expected message ${this.received + 1}, got ${message.seq}`);
        this.received = message.seq;
      }
      if (message.body === undefined) this.bareAcks += 1;
      else this.#inbox.push(message);
      this.#wake();
    });
    // The status comes with every end, the error only with bad ones.
    call.on("error", () => {});
    call.on("status", (status: StatusObject) => {
      if (this.#call !== call) return;
      this.#end = status;
      this.#wake();
    });
  }

  /** Opens a stream, says hello, awaits the welcome. */
  async link(running: readonly Held[] = []): Promise<Welcome> {
    this.open();
    this.raw({ seq: 0, ack: 0, body: { $case: "hello", value: { ...this.#hello, running: [...running] } } });
    const welcome = await this.next("welcome");
    this.acked = Math.max(this.acked, welcome.received);
    return welcome;
  }

  raw(message: LinkRequest): void {
    this.#call?.write(message);
  }

  /** Sends a numbered message and answers its number. */
  send(body: RequestBody): number {
    this.seq += 1;
    this.raw({ seq: this.seq, ack: this.received, body });
    return this.seq;
  }

  /** Sends several numbered messages in one and answers the number of the last. */
  batch(bodies: readonly NonNullable<Numbered["body"]>[]): number {
    const first = this.seq + 1;
    this.seq += bodies.length;
    const messages = bodies.map((body) => ({ body }));
    this.raw({ seq: first, ack: this.received, body: { $case: "batch", value: { messages } } });
    return this.seq;
  }

  started({ attempt, token }: Held, fromEpoch = 0): number {
    return this.send({ $case: "started", value: { attempt, token, fingerprint: "cpu-1", fromEpoch } });
  }

  report({ attempt, token }: Held, epoch: number, accuracy: number): number {
    const metrics: Metric[] = [{ name: "val_accuracy", value: { $case: "number", value: accuracy } }];
    return this.send({ $case: "report", value: { attempt, token, epoch, step: epoch * 10, metrics } });
  }

  completed({ attempt, token }: Held): number {
    const outcome = { $case: "completed", value: { weightsHash: HASH } } as const;
    return this.send({ $case: "ended", value: { attempt, token, outcome } });
  }

  heartbeat(running: readonly Held[], use: DeviceUse[] = []): void {
    this.raw({ seq: 0, ack: this.received, body: { $case: "heartbeat", value: { running: [...running], use } } });
  }

  /** The next message, which must be of this kind. */
  async next<K extends ResponseBody["$case"]>(kind: K): Promise<ValueOf<K>> {
    await this.#until(() => this.#inbox.length > 0, kind);
    const body = this.#inbox.shift()?.body;
    if (body?.$case !== kind) throw new Error(`expected ${kind}, got ${JSON.stringify(body)}`);
    return body.value as ValueOf<K>;
  }

  async durable(seq: number): Promise<void> {
    await this.#until(() => this.acked >= seq, `ack ${seq}`);
  }

  /** How the coordinator ended the stream. */
  async end(): Promise<StatusObject> {
    while (this.#end === null) await new Promise<void>((resolve) => void this.#watchers.add(resolve));
    return this.#end as StatusObject;
  }

  /** Cuts the stream as a dead process would. */
  cut(): void {
    this.#call?.cancel();
    this.#call = null;
  }

  async #until(met: () => boolean, what: string): Promise<void> {
    while (!met()) {
      if (this.#end) throw new Error(`waited for ${what}, but the link ended: ${this.#end.code} ${this.#end.details}`);
      await new Promise<void>((resolve) => void this.#watchers.add(resolve));
    }
  }

  #wake(): void {
    const watchers = this.#watchers;
    this.#watchers = new Set();
    for (const wake of watchers) wake();
  }
}
