/**
 * ConvsweepError to and from a gRPC status.
 *
 * Guarantees: the status is one a generic client understands; the whole error travels as an encoded ErrorDetail in the
 * trailing metadata `convsweep-error-bin`, its texts clipped so that the trailers stay small. Not here: HTTP.
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ConvsweepError, type ErrorCode } from "../../proto/contract.js";
import { ErrorDetail } from "../../proto/gen/convsweep/v1/types.js";

export const ERROR_DETAIL_KEY = "convsweep-error-bin";

const STATUS: Readonly<Record<ErrorCode, status>> = {
  BAD_INPUT: status.INVALID_ARGUMENT,
  NOT_FOUND: status.NOT_FOUND,
  WRONG_STATE: status.FAILED_PRECONDITION,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  FORBIDDEN: status.PERMISSION_DENIED,
  TOO_LARGE: status.RESOURCE_EXHAUSTED,
  UNAVAILABLE: status.UNAVAILABLE,
  CONFLICT: status.ALREADY_EXISTS,
  IN_USE: status.UNAVAILABLE,
  CORRUPT: status.DATA_LOSS,
  DISK_FULL: status.UNAVAILABLE,
  READ_ONLY: status.UNAVAILABLE,
  IO_ERROR: status.UNAVAILABLE,
  SYNC_FAILED: status.UNAVAILABLE,
  STALE_TOKEN: status.ABORTED,
  PROTOCOL: status.FAILED_PRECONDITION,
  TIMEOUT: status.DEADLINE_EXCEEDED,
  INTERNAL: status.INTERNAL,
  ENGINE_BAD_RECIPE: status.INVALID_ARGUMENT,
  ENGINE_BAD_ARGUMENT: status.INVALID_ARGUMENT,
  ENGINE_OUT_OF_MEMORY: status.RESOURCE_EXHAUSTED,
  ENGINE_LANES_FULL: status.RESOURCE_EXHAUSTED,
  ENGINE_CLOSED: status.INTERNAL,
  ENGINE_NO_DATASET: status.NOT_FOUND,
  ENGINE_NO_DEVICE: status.NOT_FOUND,
  ENGINE_DEVICE_LOST: status.INTERNAL,
  ENGINE_CORRUPT_CHECKPOINT: status.DATA_LOSS,
  ENGINE_FOREIGN_CHECKPOINT: status.FAILED_PRECONDITION,
  ENGINE_INTERNAL: status.INTERNAL,
};

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(STATUS, text);
}

/** Trailers are headers: a proxy or a client may refuse more than 8 KiB of them. */
const MESSAGE_CHARACTERS = 2_000;
const FIELD_CHARACTERS = 300;

export function clip(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters - 1)}…`;
}

export interface StatusParts {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

export function errorToStatus(error: ConvsweepError): StatusParts {
  const metadata = new Metadata();
  const detail: ErrorDetail = {
    code: error.code,
    message: clip(error.message, MESSAGE_CHARACTERS),
    path: clip(error.path ?? "", FIELD_CHARACTERS),
    expected: clip(error.expected ?? "", FIELD_CHARACTERS),
    found: clip(error.found ?? "", FIELD_CHARACTERS),
  };
  metadata.set(ERROR_DETAIL_KEY, Buffer.from(ErrorDetail.encode(detail).finish()));
  return { code: STATUS[error.code], details: clip(error.message, FIELD_CHARACTERS), metadata };
}

/** What a client makes of a failed call; `where` is the coordinator's address. */
export function statusToError(error: ServiceError, where: string): ConvsweepError {
  const [encoded] = error.metadata.get(ERROR_DETAIL_KEY);
  if (encoded instanceof Buffer) return decodeDetail(encoded, error);
  const options = { cause: error };
  switch (error.code) {
    case status.UNAVAILABLE:
      return new ConvsweepError(
        "UNAVAILABLE",
        `no coordinator answers at ${where}; \`convsweep up\` on that machine starts one`,
        options,
      );
    case status.DEADLINE_EXCEEDED:
      return new ConvsweepError("TIMEOUT", `the coordinator at ${where} did not answer in time`, options);
    case status.UNIMPLEMENTED:
      return new ConvsweepError(
        "PROTOCOL",
        `the coordinator at ${where} is of another version: ${error.details}`,
        options,
      );
    case status.RESOURCE_EXHAUSTED:
      return new ConvsweepError("TOO_LARGE", error.details, options);
    case status.CANCELLED:
      return new ConvsweepError("UNAVAILABLE", `the call to ${where} was cancelled`, options);
    default:
      return new ConvsweepError("INTERNAL", `the coordinator at ${where} answered: ${error.details}`, options);
  }
}

function decodeDetail(encoded: Buffer, cause: ServiceError): ConvsweepError {
  const detail = ErrorDetail.decode(encoded);
  return new ConvsweepError(isErrorCode(detail.code) ? detail.code : "INTERNAL", detail.message, {
    ...(detail.path === "" ? {} : { path: detail.path }),
    ...(detail.expected === "" ? {} : { expected: detail.expected }),
    ...(detail.found === "" ? {} : { found: detail.found }),
    cause,
  });
}
