/**
 * Finds and opens the compiled engine.
 *
 * Guarantees: `loadEngine` yields the engine or throws an `EngineError` that says what was tried and what to do. Safe in
 * every thread; each has handles of its own.
 */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { EngineError, engineCall, enginePromise } from "./error.js";
import type {
  Classifier,
  ClassifyOptions,
  DatasetArrays,
  DeviceInfo,
  DeviceUse,
  Engine,
  GpuSupport,
  LaneOptions,
  LaneWeights,
  LayerTime,
  MatmulOptions,
  MatrixOperations,
  MeasuredPart,
  Normalisation,
  Session,
  SessionMemory,
  SessionSize,
  ShortestPaths,
  ShortestPathsOptions,
  SliceLimits,
  SliceResult,
  Telemetry,
  WriteOptions,
} from "./types.js";

/** What src/binding exports. A session is an opaque handle there. */
interface Addon {
  readonly version: string;
  fingerprint(device: string): string;
  devices(): ReturnType<Engine["devices"]>;
  registerDataset(digest: string, arrays: DatasetArrays): void;
  hasDataset(digest: string): boolean;
  planSession(options: SessionSize): SessionMemory;
  allocatedBytes(): number;
  syntheticDigits(seed: number, train: number, test: number): DatasetArrays;
  matmul(options: MatmulOptions): Promise<Float32Array>;
  shortestPaths(options: ShortestPathsOptions): Promise<ShortestPaths>;
  classify(options: ClassifyOptions): Promise<Float32Array>;
  deviceUse(buses: readonly string[], library: string | null): Promise<DeviceUse[]>;
  gpuSupport(library: string | null): Promise<GpuSupport>;
  datasetImages(digest: string, first: number, count: number): ReturnType<Engine["datasetImages"]>;
  openSession(options: unknown): unknown;
  addLane(session: unknown, options: LaneOptions): number;
  removeLane(session: unknown, lane: number): void;
  setHyperparameters(session: unknown, lane: number, values: Float64Array): void;
  saveLane(session: unknown, lane: number): Uint8Array;
  runSlice(session: unknown, limits: unknown): SliceResult;
  weights(session: unknown, lane: number): LaneWeights;
  loadWeights(session: unknown, lane: number, data: Float32Array): void;
  writeText(session: unknown, lane: number, options: WriteOptions): Uint8Array;
  logits(session: unknown, lane: number, part: MeasuredPart, batch: number): Float32Array;
  normalisation(session: unknown): Normalisation;
  memory(session: unknown): SessionMemory;
  takeProfile(session: unknown): LayerTime[];
  closeSession(session: unknown): void;
}

/** Beside the sources, and from dist/native/. `CONVSWEEP_ENGINE` names another one. */
function candidates(): readonly string[] {
  const chosen = process.env["CONVSWEEP_ENGINE"];
  if (chosen !== undefined && chosen !== "") return [chosen];
  return ["./build/engine.node", "../../native/build/engine.node"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
}

function openAddon(): Addon {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  let found = false;
  for (const path of candidates()) {
    try {
      return require(path) as Addon;
    } catch (error) {
      const { code, message } = error as { code?: unknown; message?: unknown };
      found ||= code !== "MODULE_NOT_FOUND";
      failures.push(`  ${path}: ${String(message).split("\n", 1)[0]}`);
    }
  }
  const solutions = found
    ? [
        "build it again for this machine: node native/build.mjs --clean",
        "use Node 20.19 or newer (its Node-API has version 9)",
        "if a library is missing, the line above names it",
      ]
    : [
        "build it: npm run build:native",
        "that needs a C++20 compiler, cmake and make; on Debian: apt install g++ cmake make",
        "or point CONVSWEEP_ENGINE to an engine.node built elsewhere for the same system",
      ];
  throw new EngineError(
    "ENGINE_NO_DEVICE",
    `The engine could not be loaded:\n${failures.join("\n")}\nPossible solutions:\n${solutions
      .map((line) => `  - ${line}`)
      .join("\n")}`,
  );
}

class NativeSession implements Session {
  readonly capacity: number;
  readonly #addon: Addon;
  readonly #handle: unknown;

  constructor(addon: Addon, handle: unknown, capacity: number) {
    this.#addon = addon;
    this.#handle = handle;
    this.capacity = capacity;
  }

  addLane(options: LaneOptions): number {
    return engineCall(() => this.#addon.addLane(this.#handle, options));
  }
  removeLane(lane: number): void {
    engineCall(() => this.#addon.removeLane(this.#handle, lane));
  }
  setHyperparameters(lane: number, values: Float64Array): void {
    engineCall(() => this.#addon.setHyperparameters(this.#handle, lane, values));
  }
  saveLane(lane: number): Uint8Array {
    return engineCall(() => this.#addon.saveLane(this.#handle, lane));
  }
  runSlice(limits: SliceLimits): SliceResult {
    return engineCall(() => this.#addon.runSlice(this.#handle, limits));
  }
  weights(lane: number): LaneWeights {
    return engineCall(() => this.#addon.weights(this.#handle, lane));
  }
  loadWeights(lane: number, data: Float32Array): void {
    engineCall(() => this.#addon.loadWeights(this.#handle, lane, data));
  }
  writeText(lane: number, options: WriteOptions): Uint8Array {
    return engineCall(() => this.#addon.writeText(this.#handle, lane, options));
  }
  logits(lane: number, part: MeasuredPart, batch: number): Float32Array {
    return engineCall(() => this.#addon.logits(this.#handle, lane, part, batch));
  }
  normalisation(): Normalisation {
    return engineCall(() => this.#addon.normalisation(this.#handle));
  }
  memory(): SessionMemory {
    return engineCall(() => this.#addon.memory(this.#handle));
  }
  takeProfile(): LayerTime[] {
    return engineCall(() => this.#addon.takeProfile(this.#handle));
  }
  close(): void {
    engineCall(() => this.#addon.closeSession(this.#handle));
  }
}

/** Opens the engine in this thread. Throws `EngineError` ENGINE_NO_DEVICE with possible solutions. */
export function loadEngine(): Engine & MatrixOperations & Classifier & Telemetry {
  const addon = openAddon();
  return {
    version: addon.version,
    fingerprint: (device) => engineCall(() => addon.fingerprint(device)),
    devices: () => engineCall(() => addon.devices().map(withinGroup)),
    registerDataset: (digest, arrays) => engineCall(() => addon.registerDataset(digest, arrays)),
    hasDataset: (digest) => engineCall(() => addon.hasDataset(digest)),
    createSession: (options) => engineCall(() => new NativeSession(addon, addon.openSession(options), options.lanes)),
    planSession: (options) => engineCall(() => addon.planSession(options)),
    allocatedBytes: () => engineCall(() => addon.allocatedBytes()),
    syntheticDigits: (seed, train, test) => engineCall(() => addon.syntheticDigits(seed, train, test)),
    datasetImages: (digest, first, count) => engineCall(() => addon.datasetImages(digest, first, count)),
    classify: (options) => enginePromise(() => addon.classify(options)),
    deviceUse: (buses, library) => enginePromise(() => addon.deviceUse(buses, library)),
    gpuSupport: (library) => enginePromise(() => addon.gpuSupport(library)),
    matmul: (options) => enginePromise(() => addon.matmul(options)),
    shortestPaths: (options) => enginePromise(() => addon.shortestPaths(options)),
  };
}

/** A processor's memory is no more than what the group of this process may take (a container, a job of Slurm). */
function withinGroup(device: DeviceInfo): DeviceInfo {
  // 0 or more than there is where nothing limits it.
  const limit = process.constrainedMemory();
  if (device.backend !== "cpu" || !(limit > 0)) return device;
  return { ...device, memoryBytes: Math.min(device.memoryBytes, limit) };
}
