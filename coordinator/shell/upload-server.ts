/**
 * A file that the holder of an attempt sends over gRPC.
 *
 * Guarantees: only who holds the current token of a live attempt may send one, at its beginning and at its end; it is
 * answered when the file is durable; one that ends early, is too long or has another digest leaves nothing behind. Not here:
 * files (file-upload.ts), what counts (core/).
 */
import type { handleClientStreamingCall } from "@grpc/grpc-js";
import { ConvsweepError, toConvsweepError } from "../../proto/contract.js";
import type { UploadArtifactRequest, UploadArtifactResponse } from "../../proto/gen/convsweep/v1/worker.js";
import type { State } from "../core/state.js";
import type { Attempt } from "../core/types.js";
import type { ArtifactFiles } from "./artifacts.js";
import { errorToStatus } from "./errors.js";
import type { Upload } from "./file-upload.js";
import { attempt as attemptField, bad, hash, token as tokenField, whole } from "./wire-fields.js";

interface Header {
  readonly attempt: string;
  readonly token: number;
  readonly digest: string;
  readonly bytes: number;
}

interface Request {
  readonly part?:
    | { readonly $case: "header"; readonly value: Header }
    | { readonly $case: "data"; readonly value: Uint8Array }
    | undefined;
}

export async function receive(
  requests: AsyncIterable<Request>,
  state: State,
  begin: (holder: Attempt, digest: string, bytes: number) => Promise<Upload>,
): Promise<void> {
  let upload: Upload | null = null;
  let check: () => Attempt = () => {
    throw bad("part", "a header first", "nothing");
  };
  try {
    for await (const { part } of requests) {
      if (part?.$case === "header" && upload === null) {
        const { attempt, token, digest, bytes } = part.value;
        check = () => holderOf(state, "header", attempt, token);
        upload = await begin(check(), hash("header.digest", digest), whole("header.bytes", bytes, 1));
      } else if (part?.$case === "data" && upload !== null) await upload.write(part.value);
      else throw bad("part", upload === null ? "a header first" : "data", part?.$case ?? "nothing");
    }
    check();
    await upload?.finish();
  } finally {
    await upload?.abort();
  }
}

export function holderOf(state: State, path: string, id: string, token: number): Attempt {
  const attempt = state.attempts.get(attemptField(`${path}.attempt`, id));
  if (attempt?.token === tokenField(`${path}.token`, token)) return attempt;
  throw new ConvsweepError("STALE_TOKEN", `the token for ${id} is not the current one`, { path: `${path}.token` });
}

export interface ArtifactParts {
  readonly state: State;
  readonly artifacts: ArtifactFiles;
}

export function uploadArtifact({
  state,
  artifacts,
}: ArtifactParts): handleClientStreamingCall<UploadArtifactRequest, UploadArtifactResponse> {
  return (call, callback) => {
    receive(call as AsyncIterable<UploadArtifactRequest>, state, (_holder, digest, bytes) =>
      artifacts.begin(digest, bytes),
    ).then(
      () => callback(null, {}),
      (thrown: unknown) => callback(errorToStatus(toConvsweepError(thrown))),
    );
  };
}
