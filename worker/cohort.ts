/**
 * A cohort on a device: one session of the engine and the attempts in its lanes.
 *
 * Guarantees: a lane belongs to at most one attempt; an attempt leaves its lane exactly once; `close` gives all memory
 * back and may be called twice. Not here: when slices run, and what is said to the coordinator (cohort-thread.ts).
 */
import { createHash } from "node:crypto";
import { endianness } from "node:os";
import { textOfNumbers } from "../native/datasets.js";
import type { Capacity } from "./capacity.js";
import type {
  DatasetSpec,
  LaneOptions,
  LaneWeights,
  MeasuredPart,
  Normalisation,
  Session,
  SliceResult,
} from "./engine.js";
import type { Held } from "./messages.js";

/** Of the text that a lane writes at its end. Each character costs a window's steps, of which there are so many at most. */
const SAMPLE = { characters: 400, steps: 100_000, temperature: 0.7 } as const;

/** SHA-256 over the little-endian float32 bytes of all weights, hexadecimal. */
export function hashWeights(data: Float32Array): string {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const ordered = endianness() === "LE" ? bytes : Buffer.from(bytes).swap32();
  return createHash("sha256").update(ordered).digest("hex");
}

/** What all lanes of a cohort learn from. */
export interface CohortData {
  readonly spec: DatasetSpec;
  /** By which the engine knows it. */
  readonly digest: string;
  readonly batchSize: number;
  readonly labelsImages: boolean;
  readonly testAtEnd: boolean;
}

export class Cohort {
  readonly key: string;
  private readonly session: Session;
  private readonly lanes = new Map<number, Held>();
  /** Since when no attempt is in it; `null` while one is. */
  emptySince: number | null;

  readonly capacity: Capacity;
  readonly data: CohortData;

  constructor(key: string, session: Session, capacity: Capacity, now: number, data: CohortData) {
    this.key = key;
    this.capacity = capacity;
    this.session = session;
    this.emptySince = now;
    this.data = data;
  }

  get size(): number {
    return this.lanes.size;
  }

  get attempts(): readonly Held[] {
    return [...this.lanes.values()];
  }

  add(held: Held, options: LaneOptions): void {
    this.lanes.set(this.session.addLane(options), held);
    this.emptySince = null;
  }

  save(lane: number): Uint8Array {
    return this.session.saveLane(lane);
  }

  attemptIn(lane: number): Held | null {
    return this.lanes.get(lane) ?? null;
  }

  laneOf(held: Held): number | null {
    for (const [lane, other] of this.lanes) {
      if (other.attempt === held.attempt && other.token === held.token) return lane;
    }
    return null;
  }

  runSlice(maxMillis: number): SliceResult {
    return this.session.runSlice({ maxMillis, maxSteps: null });
  }

  /** What a lane trained on a text writes after the first of its characters, drawn with its seed; else `null`. */
  sample(lane: number): string | null {
    const { text, shape } = this.data.spec;
    if (text === undefined) return null;
    const length = Math.min(SAMPLE.characters, Math.ceil(SAMPLE.steps / shape[2]));
    const start = Uint8Array.of(0);
    return textOfNumbers(
      this.session.writeText(lane, { start, length, temperature: SAMPLE.temperature }),
      text.characters,
    );
  }

  /** [image][class] of all images of the part; only of recipes that label images. */
  logits(lane: number, part: MeasuredPart): Float32Array {
    const { spec, batchSize } = this.data;
    const images = part === "test" ? spec.test_images : spec.validation;
    const logits = new Float32Array(images * spec.classes);
    for (let first = 0; first < images; first += batchSize) {
      logits.set(this.session.logits(lane, part, first / batchSize), first * spec.classes);
    }
    return logits;
  }

  weights(lane: number): LaneWeights {
    return this.session.weights(lane);
  }

  normalisation(): Normalisation {
    return this.session.normalisation();
  }

  weightsHash(lane: number): string {
    return hashWeights(this.session.weights(lane).data);
  }

  remove(lane: number, now: number): void {
    this.lanes.delete(lane);
    if (this.lanes.size === 0) this.emptySince = now;
    this.session.removeLane(lane);
  }

  close(): void {
    this.lanes.clear();
    this.session.close();
  }
}
