/** The engine's door: what other folders import. The types and what they promise are in types.ts. */
export { ENGINE_ERROR_CODES, EngineError, type EngineErrorCode } from "./error.js";
export { loadEngine } from "./load.js";
export type * from "./types.js";
