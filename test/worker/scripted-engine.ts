/**
 * An engine that computes nothing: lanes advance one epoch a slice and end as their hyperparameters say, so that the
 * loop around the engine can be tested to the message. It implements native's interface and keeps its promises.
 *
 * A checkpoint is one byte, the epoch. learning_rate r: integer part = epoch at which the lane diverges (0: never). l2 above 1: addLane refuses.
 */

import { createHash } from "node:crypto";
import type { Recipe } from "../../native/recipe.js";
import type {
  DatasetArrays,
  DeviceInfo,
  Engine,
  LaneOptions,
  LaneReport,
  Session,
  SessionMemory,
  SessionOptions,
  SliceResult,
} from "../../worker/engine.js";
import type { Pictures } from "../../worker/pictures/album.js";

/** First byte of a checkpoint that the engine refuses. */
export const DAMAGED = 255;

export class EngineFault extends Error {
  override readonly name = "EngineError";
  readonly code: string;
  readonly path: string;
  constructor(code: string, message: string, path = "") {
    super(message);
    this.code = code;
    this.path = path;
  }
}

const fault = (code: string, message: string, path = ""): Error => new EngineFault(code, message, path);

interface Lane {
  readonly seed: bigint;
  readonly divergesAt: number;
  epoch: number;
  state: "training" | "finished" | "diverged";
}

/** Weights of a scripted lane: a function of its seed and its epochs. */
export function scriptedWeights(seed: bigint, epoch: number): Float32Array {
  return Float32Array.of(Number(seed % 1000n), epoch, 0.5);
}

/** SHA-256 over little-endian float32, worked out byte by byte. */
export function hashOf(data: Float32Array): string {
  const view = new DataView(new ArrayBuffer(data.length * 4));
  for (const [i, value] of data.entries()) view.setFloat32(i * 4, value, true);
  return createHash("sha256").update(new Uint8Array(view.buffer)).digest("hex");
}

export class ScriptedSession implements Session {
  readonly engine: ScriptedEngine;
  readonly options: SessionOptions;
  readonly capacity: number;
  readonly lanes = new Map<number, Lane>();
  readonly epochs: number;
  closed = false;
  /** What every epoch brings. */
  pictures: Pictures | null = null;
  /** Thrown by the next slice. */
  sliceFault: Error | null = null;

  constructor(engine: ScriptedEngine, options: SessionOptions) {
    this.engine = engine;
    this.options = options;
    this.capacity = options.lanes;
    this.epochs = (JSON.parse(options.recipe) as Recipe).epochs;
  }

  addLane(options: LaneOptions): number {
    this.open();
    const [rate = 0, l2 = 0] = options.hyperparameters;
    if (l2 > 1) throw fault("ENGINE_BAD_ARGUMENT", "l2 is too large", "hyperparameters[1]");
    const epoch = options.checkpoint?.[0] ?? 0;
    if (epoch === DAMAGED) throw fault("ENGINE_CORRUPT_CHECKPOINT", "these bytes are not a lane's checkpoint");
    for (let lane = 0; lane < this.capacity; lane += 1) {
      if (this.lanes.has(lane)) continue;
      this.lanes.set(lane, { seed: options.seed, divergesAt: Math.floor(rate), epoch, state: "training" });
      return lane;
    }
    throw fault("ENGINE_LANES_FULL", "no lane is free");
  }

  removeLane(lane: number): void {
    this.lane(lane);
    this.lanes.delete(lane);
  }

  runSlice(_limits?: { readonly maxMillis: number; readonly maxSteps: number | null }): SliceResult {
    this.open();
    this.engine.slices.push(this);
    this.engine.onSlice?.(this);
    if (this.sliceFault) throw this.sliceFault;
    const { control } = this.options;
    if (control && Atomics.load(control, 0) === 1)
      return { reports: [], diverged: [], positions: [], state: "interrupted" };
    if (control) Atomics.add(control, 1, 1);
    const reports: LaneReport[] = [];
    const diverged: { lane: number; epoch: number; step: number; what: "loss" }[] = [];
    const turns = [...this.lanes].flatMap((entry) => Array.from({ length: this.engine.epochsASlice }, () => entry));
    for (const [index, lane] of turns) {
      if (lane.state !== "training") continue;
      if (lane.divergesAt === lane.epoch + 1) {
        lane.state = "diverged";
        diverged.push({ lane: index, epoch: lane.epoch, step: lane.epoch * 10 + 3, what: "loss" });
        continue;
      }
      lane.epoch += 1;
      const finished = lane.epoch === this.epochs;
      if (finished) lane.state = "finished";
      reports.push({
        lane: index,
        epoch: lane.epoch,
        step: lane.epoch * 10,
        metrics: [
          { name: "train_loss", value: 1 / lane.epoch },
          { name: "train_accuracy", value: 0.5 },
          { name: "val_loss", value: Number.NaN },
          { name: "val_accuracy", value: 0.25 },
          { name: "learning_rate", value: 0.1 },
          ...(finished
            ? [
                { name: "test_loss", value: 2 },
                { name: "test_accuracy", value: 0.75 },
              ]
            : []),
        ],
        images_per_second: 1000,
        pictures: this.pictures,
        finished,
      });
    }
    const more = [...this.lanes.values()].some((l) => l.state === "training");
    return { reports, diverged, positions: [], state: more ? "more" : "idle" };
  }

  takeProfile(): [] {
    this.open();
    return [];
  }

  weights(lane: number): { tensors: []; data: Float32Array } {
    const { seed, epoch } = this.lane(lane);
    return { tensors: [], data: scriptedWeights(seed, epoch) };
  }

  setHyperparameters(): void {}
  saveLane(lane: number): Uint8Array {
    return Uint8Array.of(this.lane(lane).epoch);
  }
  loadWeights(): void {}
  logits(): Float32Array {
    throw fault("ENGINE_INTERNAL", "the scripted engine labels nothing");
  }

  normalisation(): { scale: Float32Array; shift: Float32Array } {
    return { scale: Float32Array.of(1), shift: Float32Array.of(0) };
  }

  writeText(): Uint8Array {
    throw new Error("scripted lanes do not write");
  }
  memory(): SessionMemory {
    return { bytesPerLane: 1, bytesShared: 1, bytesDataset: 0, bytesFree: Number.MAX_SAFE_INTEGER };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.engine.onClose?.(this);
  }

  private open(): void {
    if (this.closed) throw fault("ENGINE_CLOSED", "the session is closed");
  }

  private lane(index: number): Lane {
    this.open();
    const lane = this.lanes.get(index);
    if (!lane) throw fault("ENGINE_BAD_ARGUMENT", "no such lane", "lane");
    return lane;
  }
}

export class ScriptedEngine implements Engine {
  readonly version = "scripted";
  readonly sessions: ScriptedSession[] = [];
  /** Which session had each slice. */
  readonly slices: ScriptedSession[] = [];
  /** Open sessions that fit at once. */
  room = Number.POSITIVE_INFINITY;
  /** That a lane ends in one slice. */
  epochsASlice = 1;
  /** What plans say the device has left. */
  bytesFree = Number.MAX_SAFE_INTEGER;
  bytesDataset = 0;
  refuse: Error | null = null;
  onSlice: ((session: ScriptedSession) => void) | null = null;
  onClose: ((session: ScriptedSession) => void) | null = null;

  fingerprint(device: string): string {
    return `${device}/float32/scripted`;
  }

  devices(): readonly DeviceInfo[] {
    return [
      {
        id: "cpu",
        backend: "cpu",
        name: "scripted",
        capability: null,
        bus: null,
        isa: "scalar",
        cores: 2,
        memoryBytes: 1,
        unusable: null,
      },
    ];
  }

  registerDataset(): void {}
  hasDataset(): boolean {
    return true;
  }

  datasetImages(): { images: Uint8Array; labels: Uint8Array } {
    throw fault("ENGINE_INTERNAL", "the scripted engine keeps no images");
  }

  createSession(options: SessionOptions): ScriptedSession {
    if (this.refuse) throw this.refuse;
    if (this.sessions.filter((s) => !s.closed).length >= this.room)
      throw fault("ENGINE_OUT_OF_MEMORY", "no memory for the session");
    const session = new ScriptedSession(this, options);
    this.sessions.push(session);
    return session;
  }

  planSession(): SessionMemory {
    return { bytesPerLane: 10, bytesShared: 1, bytesDataset: this.bytesDataset, bytesFree: this.bytesFree };
  }

  allocatedBytes(): number {
    return 0;
  }

  syntheticDigits(): DatasetArrays {
    throw fault("ENGINE_INTERNAL", "the scripted engine draws no digits");
  }
}
