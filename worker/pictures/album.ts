/**
 * The pictures of one attempt, as files: a grid after every epoch that brought some, and all of them animated at the end.
 *
 * Guarantees: the same values give the same bytes. An attempt that went on from a checkpoint animates its own epochs only.
 * Not here: sending them (agent.ts).
 */
import type { Artifact } from "../messages.js";
import { animate } from "./apng.js";
import { encodePng } from "./png.js";
import { drawGrid } from "./raster.js";

/** As the engine reports them. */
export interface Pictures {
  readonly shape: readonly [number, number, number];
  readonly columns: number;
  readonly values: Float32Array;
}

const FRAME_MILLIS = 400;
const LAST_MILLIS = 3_000;
/** An animation holds the newest. */
const FRAMES_AT_MOST = 500;

export class Album {
  #frames: Uint8Array[] = [];

  add(epoch: number, { shape, columns, values }: Pictures): Artifact {
    const data = encodePng(drawGrid({ shape, values }, { columns, range: [-1, 1] }));
    this.#frames = [...this.#frames, data].slice(-FRAMES_AT_MOST);
    return { name: "samples", mediaType: "image/png", epoch, data };
  }

  /** `null` where there is nothing to animate. */
  finish(): Artifact | null {
    if (this.#frames.length < 2) return null;
    const data = animate(this.#frames, { frameMillis: FRAME_MILLIS, lastMillis: LAST_MILLIS });
    return { name: "samples-animated", mediaType: "image/apng", epoch: 0, data };
  }
}
