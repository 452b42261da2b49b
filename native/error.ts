/**
 * The engine's one error class.
 *
 * Guarantees: whatever fails in the engine or at its door arrives as an `EngineError` with a code of the closed list.
 * The list is that of include/convsweep/error.h; a test reads both.
 */

export const ENGINE_ERROR_CODES = [
  "ENGINE_BAD_RECIPE",
  "ENGINE_BAD_ARGUMENT",
  "ENGINE_OUT_OF_MEMORY",
  "ENGINE_LANES_FULL",
  "ENGINE_CLOSED",
  "ENGINE_NO_DATASET",
  "ENGINE_NO_DEVICE",
  "ENGINE_DEVICE_LOST",
  "ENGINE_CORRUPT_CHECKPOINT",
  "ENGINE_FOREIGN_CHECKPOINT",
  "ENGINE_INTERNAL",
] as const;

export type EngineErrorCode = (typeof ENGINE_ERROR_CODES)[number];

export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: EngineErrorCode;
  /** Of the offending value, e.g. `network.layers[3].kernel`; `null` if there is none. */
  readonly path: string | null;

  constructor(code: EngineErrorCode, message: string, path: string | null = null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}

function isCode(value: unknown): value is EngineErrorCode {
  return ENGINE_ERROR_CODES.some((code) => code === value);
}

/** Runs a native call; what it throws becomes an `EngineError` whose stack starts at the caller. */
export function engineCall<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asEngineError(error);
  }
}

/** The same for a call that answers with a promise; wrong arguments reject it too. */
export async function enginePromise<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw asEngineError(error);
  }
}

function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const { code, path, message } = error as { code?: unknown; path?: unknown; message?: unknown };
  return new EngineError(
    isCode(code) ? code : "ENGINE_INTERNAL",
    typeof message === "string" ? message : String(error),
    typeof path === "string" && path !== "" ? path : null,
    error,
  );
}
