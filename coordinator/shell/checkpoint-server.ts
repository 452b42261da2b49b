/**
 * Upload and download of checkpoints over gRPC.
 *
 * Guarantees: only who holds the current token of a live attempt may do either; an upload is answered when its file is
 * durable; one that ends early, is too long or has another digest leaves nothing behind; a reader that is slow is waited
 * for. Not here: files (checkpoints.ts), what counts (core/checkpoints.ts).
 */
import type { handleClientStreamingCall, handleServerStreamingCall } from "@grpc/grpc-js";
import { LIMITS, toConvsweepError } from "../../proto/contract.js";
import type {
  DownloadCheckpointRequest,
  DownloadCheckpointResponse,
  UploadCheckpointRequest,
  UploadCheckpointResponse,
} from "../../proto/gen/convsweep/v1/worker.js";
import type { State } from "../core/state.js";
import type { CheckpointFiles } from "./checkpoints.js";
import { errorToStatus } from "./errors.js";
import { holderOf, receive } from "./upload-server.js";
import { hash } from "./wire-fields.js";

export interface CheckpointParts {
  readonly state: State;
  readonly files: CheckpointFiles;
}

type UploadHandler = handleClientStreamingCall<UploadCheckpointRequest, UploadCheckpointResponse>;
type DownloadHandler = handleServerStreamingCall<DownloadCheckpointRequest, DownloadCheckpointResponse>;

export function uploadCheckpoint({ state, files }: CheckpointParts): UploadHandler {
  return (call, callback) => {
    receive(call as AsyncIterable<UploadCheckpointRequest>, state, ({ trial }, digest, bytes) =>
      files.begin(trial, digest, bytes),
    ).then(
      () => callback(null, {}),
      (thrown: unknown) => callback(errorToStatus(toConvsweepError(thrown))),
    );
  };
}

export function downloadCheckpoint({ state, files }: CheckpointParts): DownloadHandler {
  return (call) => {
    const { attempt, token, digest } = call.request;
    const send = async (): Promise<void> => {
      const { trial } = holderOf(state, "request", attempt, token);
      const file = await files.open(trial, hash("request.digest", digest));
      try {
        const chunk = Buffer.allocUnsafe(LIMITS.checkpointChunkBytes);
        for (;;) {
          const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
          if (bytesRead === 0 || call.cancelled) break;
          const room = call.write({ data: Buffer.from(chunk.subarray(0, bytesRead)) });
          if (!room) await new Promise<void>((resolve) => drained(call, resolve));
        }
      } finally {
        await file.close();
      }
    };
    send().then(
      () => call.end(),
      (thrown: unknown) => void call.emit("error", errorToStatus(toConvsweepError(thrown))),
    );
  };
}

/** The socket takes more, or nobody will. */
function drained(call: NodeJS.EventEmitter, resolve: () => void): void {
  const done = (): void => {
    for (const name of ["drain", "cancelled", "close", "error"]) call.off(name, done);
    resolve();
  };
  for (const name of ["drain", "cancelled", "close", "error"]) call.on(name, done);
}
