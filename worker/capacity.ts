/**
 * How many lanes of a recipe fit into what is left of a device's memory, known before any of it is taken.
 *
 * The sizes are the engine's plan (native/src/model/plan.h): what a session then allocates, to the byte. Pure but for
 * asking the engine.
 */
import { ConvsweepError } from "../proto/contract.js";
import type { Engine, SessionSize } from "./engine.js";

export interface Capacity {
  readonly lanes: number;
  /** Of a session with so many lanes. */
  readonly bytes: number;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** At most `size.lanes`, of what both `free` and the device leave. Throws ENGINE_OUT_OF_MEMORY with path `--memory` if not even one lane fits into `free` bytes. */
export function capacityFor(engine: Pick<Engine, "planSession">, size: SessionSize, free: number): Capacity {
  const fitting = (wanted: number) => {
    const { bytesPerLane, bytesShared, bytesDataset, bytesFree } = engine.planSession({ ...size, lanes: wanted });
    const room = Math.min(free, bytesFree - bytesDataset);
    const lanes = Math.min(wanted, Math.floor((room - bytesShared) / bytesPerLane));
    return { lanes, room, bytesPerLane, bytesShared };
  };
  const all = fitting(size.lanes);
  // As many lanes as threads have a workspace a thread; fewer have one between them.
  const fewer = all.lanes < size.threads && size.threads <= size.lanes && size.threads > 1;
  const { lanes, room, bytesPerLane, bytesShared } = fewer ? fitting(size.threads - 1) : all;
  if (lanes < 1) {
    throw new ConvsweepError(
      "ENGINE_OUT_OF_MEMORY",
      `one lane takes ${mebibytes(bytesPerLane + bytesShared)}, and ${mebibytes(Math.max(0, room))} are left of the memory that ${size.device} may use`,
      { path: "--memory" },
    );
  }
  return { lanes, bytes: lanes * bytesPerLane + bytesShared };
}
