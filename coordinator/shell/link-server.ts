/**
 * The worker service over gRPC: binds each Link to a LinkSession.
 *
 * Guarantees: a broken stream is noticed once; after its end nothing is written to it. Not here: the protocol
 * (link-session.ts), authentication (authorize.ts).
 */
import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import type { ConvsweepError } from "../../proto/contract.js";
import type { LinkRequest, LinkResponse, WorkerServiceServer } from "../../proto/gen/convsweep/v1/worker.js";
import { type CheckpointParts, downloadCheckpoint, uploadCheckpoint } from "./checkpoint-server.js";
import { errorToStatus } from "./errors.js";
import { LinkSession, type LinkStream, type SessionParts } from "./link-session.js";
import { type ArtifactParts, uploadArtifact } from "./upload-server.js";

type LinkCall = Parameters<handleBidiStreamingCall<LinkRequest, LinkResponse>>[0];

export function workerService(parts: SessionParts & CheckpointParts & ArtifactParts): WorkerServiceServer {
  return {
    uploadCheckpoint: uploadCheckpoint(parts),
    downloadCheckpoint: downloadCheckpoint(parts),
    uploadArtifact: uploadArtifact(parts),
    link(call) {
      const session = new LinkSession(streamOf(call), parts, call.getPeer());
      call.on("data", (request: LinkRequest) => session.receive(request));
      call.on("end", () => session.lost());
      call.on("cancelled", () => session.lost());
      call.on("error", () => session.lost());
      call.on("close", () => session.lost());
    },
  };
}

function streamOf(call: LinkCall): LinkStream {
  let ended = false;
  let unsent = 0;
  return {
    write(message) {
      if (ended || call.cancelled) return;
      const size = sizeOf(message);
      unsent += size;
      call.write(message, () => {
        unsent -= size;
      });
    },
    backlog: () => unsent,
    end(error: ConvsweepError | null) {
      if (ended) return;
      ended = true;
      if (call.cancelled) return;
      // For this library a server stream's status is an error that its own handler emits.
      if (error === null) call.end();
      else call.emit("error", errorToStatus(error));
    },
    pause: () => void call.pause(),
    resume: () => void call.resume(),
  };
}

/** About: only an Assign is long, for its recipe. */
function sizeOf({ body }: LinkResponse): number {
  return body?.$case === "assign" ? body.value.recipe.length + body.value.parameters.length + 200 : 100;
}
