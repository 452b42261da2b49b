/**
 * Saved lanes to the coordinator and back, and files that trials made to it, on a connection of their own.
 *
 * Guarantees: an upload resolves when the coordinator says that the bytes are durable; a download resolves with bytes of
 * the digest that was asked for, or rejects; a few travel at once, the others wait their turn; a coordinator that is
 * away for a moment is tried again. Not here: when lanes are saved (cohort-thread.ts), what is told of them (agent.ts).
 */
import { createHash } from "node:crypto";
import { type ClientWritableStream, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ConvsweepError, LIMITS } from "../proto/contract.js";
import type { UploadCheckpointRequest, WorkerServiceClient } from "../proto/gen/convsweep/v1/worker.js";
import type { Secret } from "../proto/secret.js";
import { bearer, dial, type TlsSource } from "./dial.js";
import type { Artifact, ArtifactRef, CheckpointRef, Held, SavedLane } from "./messages.js";

export interface CheckpointClientOptions {
  /** HOST:PORT */
  readonly address: string;
  readonly token: Secret;
  readonly tls?: TlsSource;
  /** Waits before another try. */
  readonly retryMillis?: readonly number[];
}

const AT_ONCE = 2;
const RETRY_MILLIS: readonly number[] = [500, 2_000, 5_000];
/** For one try. */
const DEADLINE_MILLIS = 120_000;

export class CheckpointClient {
  readonly #options: CheckpointClientOptions;
  readonly #waiting: (() => void)[] = [];
  #client: WorkerServiceClient | null = null;
  #running = 0;
  #closed = false;

  constructor(options: CheckpointClientOptions) {
    this.#options = options;
  }

  /** Where the lane is kept. Rejects if it is not. */
  upload(held: Held, { epoch, data }: SavedLane): Promise<CheckpointRef> {
    const kept = { epoch, digest: createHash("sha256").update(data).digest("hex"), bytes: data.byteLength };
    const send = (): Promise<void> =>
      this.#send(held, kept, data, (done) => this.#open().uploadCheckpoint(this.#metadata(), deadline(), done));
    return this.#inTurn(send).then(() => kept);
  }

  /** What is kept. Rejects if it is not. */
  uploadArtifact(held: Held, { data, ...what }: Artifact): Promise<ArtifactRef> {
    const kept = { ...what, digest: createHash("sha256").update(data).digest("hex"), bytes: data.byteLength };
    const send = (): Promise<void> =>
      this.#send(held, kept, data, (done) => this.#open().uploadArtifact(this.#metadata(), deadline(), done));
    return this.#inTurn(send).then(() => kept);
  }

  async download(held: Held, { digest, bytes }: CheckpointRef): Promise<Uint8Array> {
    const data = await this.#inTurn(() => this.#fetch(held, digest, bytes));
    const found = createHash("sha256").update(data).digest("hex");
    if (found === digest) return data;
    const message = "the checkpoint is damaged: its bytes are not those that were saved";
    throw new ConvsweepError("CORRUPT", message, { expected: digest, found });
  }

  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#client = null;
  }

  async #inTurn<T>(call: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    this.#running += 1;
    try {
      return await this.#persist(call);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #persist<T>(call: () => Promise<T>): Promise<T> {
    for (const wait of [...(this.#options.retryMillis ?? RETRY_MILLIS), null]) {
      try {
        return await call();
      } catch (thrown) {
        const away = (thrown as ServiceError).code === status.UNAVAILABLE;
        if (!away || wait === null || this.#closed) throw thrown;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
    throw new ConvsweepError("UNAVAILABLE", "the coordinator is away");
  }

  #send(
    { attempt, token }: Held,
    { digest, bytes }: { readonly digest: string; readonly bytes: number },
    data: Uint8Array,
    begin: (done: (error: ServiceError | null) => void) => ClientWritableStream<UploadCheckpointRequest>,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = begin((error) => {
        if (error) reject(error);
        else resolve();
      });
      // The answer says what went wrong.
      call.on("error", () => undefined);
      call.write({ part: { $case: "header", value: { attempt, token, digest, bytes } } });
      let from = 0;
      const more = (): void => {
        let room = true;
        while (room && from < data.byteLength) {
          const value = Buffer.from(data.subarray(from, from + LIMITS.checkpointChunkBytes));
          from += value.byteLength;
          room = call.write({ part: { $case: "data", value } } satisfies UploadCheckpointRequest);
        }
        if (from < data.byteLength) call.once("drain", more);
        else call.end();
      };
      more();
    });
  }

  #fetch(held: Held, digest: string, bytes: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const call = this.#open().downloadCheckpoint({ ...held, digest }, this.#metadata(), deadline());
      const chunks: Uint8Array[] = [];
      let size = 0;
      call.on("data", ({ data }: { readonly data: Uint8Array }) => {
        size += data.byteLength;
        chunks.push(data);
        // Never more in memory than was promised.
        if (size > bytes) call.cancel();
      });
      call.on("error", reject);
      call.on("end", () => resolve(Buffer.concat(chunks)));
    });
  }

  #open(): WorkerServiceClient {
    if (this.#closed) throw new ConvsweepError("UNAVAILABLE", "the worker is closing");
    this.#client ??= dial(this.#options.address, this.#options.tls?.() ?? null);
    return this.#client;
  }

  #metadata(): Metadata {
    return bearer(this.#options.token);
  }
}

const deadline = (): { readonly deadline: number } => ({ deadline: Date.now() + DEADLINE_MILLIS });
