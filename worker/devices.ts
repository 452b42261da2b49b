/**
 * Which devices a worker uses, and how: the command line's wishes against what the engine finds.
 *
 * Guarantees: every device chosen exists and is usable, once each, with at least one lane and one thread. Throws
 * ConvsweepError BAD_INPUT or ENGINE_NO_DEVICE that says what there is. Pure but for asking the engine.
 */
import { ConvsweepError } from "../proto/contract.js";
import type { Device } from "../proto/gen/convsweep/v1/types.js";
import { type DeviceInfo, defaultLanes, type Engine } from "./engine.js";
import type { PoolDevice } from "./pool.js";

export interface DeviceWishes {
  /** Ids, in order. */
  readonly devices: readonly string[];
  /** `null`: as many as suit the device. */
  readonly lanes: number | null;
  /** Threads of all devices together; `null`: one a core. */
  readonly threads: number | null;
  /** Bytes of each device that trials may take; `null`: all it has. */
  readonly memory: number | null;
}

export interface ChosenDevice extends PoolDevice {
  readonly info: DeviceInfo;
}

const inGibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

export function chooseDevices(found: readonly DeviceInfo[], wishes: DeviceWishes): readonly ChosenDevice[] {
  const there = found.map((d) => (d.unusable === null ? d.id : `${d.id} (${d.unusable})`)).join(", ");
  const ids = [...new Set(wishes.devices)];
  return ids.map((id) => {
    const info = found.find((d) => d.id === id);
    if (!info) {
      throw new ConvsweepError("ENGINE_NO_DEVICE", `this machine has no device ${id}`, {
        path: "--devices",
        expected: there,
        found: id,
      });
    }
    if (info.unusable !== null) {
      throw new ConvsweepError("ENGINE_NO_DEVICE", `${id} cannot be used: ${info.unusable}`, {
        path: "--devices",
        found: id,
      });
    }
    const share = Math.floor((wishes.threads ?? info.cores) / ids.length);
    if (wishes.memory !== null && wishes.memory > info.memoryBytes) {
      throw new ConvsweepError("BAD_INPUT", `${id} does not have so much memory`, {
        path: "--memory",
        expected: `at most ${inGibibytes(info.memoryBytes)}`,
        found: inGibibytes(wishes.memory),
      });
    }
    const memoryBytes = wishes.memory ?? info.memoryBytes;
    return { id, lanes: wishes.lanes ?? defaultLanes(info), threads: Math.max(1, share), memoryBytes, info };
  });
}

/** As `Hello` tells them. */
export function deviceToWire(engine: Engine, device: ChosenDevice): Device {
  const { id, name, backend } = device.info;
  const { memoryBytes, lanes } = device;
  return { id, name, backend, fingerprint: engine.fingerprint(id), memoryBytes, lanes };
}

/** The listing of `devices`, one line each. */
export function describeDevices(found: readonly DeviceInfo[]): string {
  return found
    .map((d) => {
      if (d.unusable !== null) return `${d.id}  not usable: ${d.unusable.replace(`${d.id}: `, "")}\n`;
      const memory = inGibibytes(d.memoryBytes);
      const kernels = d.isa === null ? "" : `, ${d.isa} kernels`;
      return `${d.id}  ${d.name}, ${d.cores} cores, ${memory}${kernels}; ${defaultLanes(d)} lanes by default\n`;
    })
    .join("");
}
