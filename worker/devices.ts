/**
 * Which devices a worker uses, and how: the command line's wishes against what the engine finds.
 *
 * Guarantees: every device chosen exists and is usable, once each, with at least one lane and one thread. Throws
 * ConvsweepError BAD_INPUT or ENGINE_NO_DEVICE that says what there is. Pure but for asking the engine.
 */
import { ConvsweepError } from "../proto/contract.js";
import type { Device } from "../proto/gen/convsweep/v1/types.js";
import { type DeviceInfo, defaultLanes, type Engine, type GpuSupport } from "./engine.js";
import type { PoolDevice } from "./pool.js";

export interface DeviceWishes {
  /** Ids, in order; `cuda` for all of a kind. */
  readonly devices: readonly string[];
  /** `null`: as many as suit the device. */
  readonly lanes: number | null;
  /** Processor threads of all devices together; `null`: one a core. */
  readonly threads: number | null;
  /** Bytes of each device that trials may take; `null`: all it has. */
  readonly memory: number | null;
}

export interface ChosenDevice extends PoolDevice {
  readonly info: DeviceInfo;
}

const inGibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

export function chooseDevices(found: readonly DeviceInfo[], wishes: DeviceWishes): readonly ChosenDevice[] {
  const ids = [...new Set(wishes.devices.flatMap((id) => expand(id, found)))];
  const problems = ids.flatMap((id) => problemOf(id, found) ?? []);
  if (problems.length > 0) {
    throw new ConvsweepError("ENGINE_NO_DEVICE", problems.join("; "), {
      path: "--devices",
      expected: found.map((d) => (d.unusable === null ? d.id : `${d.id} (${d.unusable})`)).join(", "),
      found: ids.join(","),
    });
  }
  const chosen = ids.flatMap((id) => found.find((d) => d.id === id) ?? []);
  return chosen.map((info) => {
    const { id } = info;
    if (wishes.memory !== null && wishes.memory > info.memoryBytes) {
      throw new ConvsweepError("BAD_INPUT", `${id} does not have so much memory`, {
        path: "--memory",
        expected: `at most ${inGibibytes(info.memoryBytes)}`,
        found: inGibibytes(wishes.memory),
      });
    }
    const memoryBytes = wishes.memory ?? info.memoryBytes;
    return {
      id,
      lanes: wishes.lanes ?? defaultLanes(info),
      threads: threadsFor(info, ids.length, wishes),
      memoryBytes,
      info,
    };
  });
}

/** `cuda`: every CUDA device that can be used, or all of them if none can. */
function expand(id: string, found: readonly DeviceInfo[]): readonly string[] {
  const kind = found.filter((d) => d.backend === id && d.id !== id);
  const usable = kind.filter((d) => d.unusable === null);
  return kind.length === 0 ? [id] : (usable.length > 0 ? usable : kind).map((d) => d.id);
}

/** Why the device cannot be had, in one sentence; `null` if it can. */
function problemOf(id: string, found: readonly DeviceInfo[]): string | null {
  const info = found.find((d) => d.id === id);
  if (info) return info.unusable === null ? null : `${id} cannot be used: ${info.unusable}`;
  const [backend = id] = id.split(":");
  // One entry, with the reason, stands for all where none of the kind is there.
  const none = found.find((d) => d.id === backend && d.unusable !== null);
  if (none) return `${id} cannot be used: ${none.unusable}`;
  const unbuilt = backend === "cuda" && !found.some((d) => d.backend === "cuda");
  return unbuilt ? `${id} cannot be used: this engine was built without CUDA` : `this machine has no device ${id}`;
}

/** A device with processors of its own takes one thread, which tells it what to do; the processor takes the rest. */
function threadsFor(info: DeviceInfo, devices: number, wishes: DeviceWishes): number {
  return info.id === "cpu" ? Math.max(1, (wishes.threads ?? info.cores) - (devices - 1)) : 1;
}

/** As `Hello` tells them. */
export function deviceToWire(engine: Engine, device: ChosenDevice): Device {
  const { id, name, backend } = device.info;
  const { memoryBytes, lanes } = device;
  return { id, name, backend, fingerprint: engine.fingerprint(id), memoryBytes, lanes };
}

/** The listing of `devices`: one line a device, then what there is of CUDA. */
export function describeDevices(found: readonly DeviceInfo[], support: GpuSupport): string {
  const lines = found.map((d): [string, string] => [d.id, describeDevice(d)]);
  const all = [...lines, ["CUDA", describeSupport(support)] as const];
  const width = Math.max(...all.map(([id]) => id.length));
  return all.map(([id, text]) => `${id.padEnd(width)}  ${text}\n`).join("");
}

function describeDevice(d: DeviceInfo): string {
  const capability = d.capability === null ? [] : [`compute capability ${d.capability}`];
  if (d.unusable !== null) {
    // Of the line that stands for all of CUDA there is nothing more to say.
    const what = d.memoryBytes > 0 ? `${[d.name, ...capability].join(", ")}; ` : "";
    return `${what}not usable: ${d.unusable}`;
  }
  const cores = `${d.cores} ${d.backend === "cpu" ? "cores" : "multiprocessors"}`;
  const facts = [d.name, ...capability, cores, inGibibytes(d.memoryBytes), `${d.isa} kernels`];
  return `${facts.join(", ")}; ${defaultLanes(d)} lanes by default`;
}

/** What is compiled in, and which driver is there. */
function describeSupport({ built, runtime, kernels, driver, driverCuda, nvmlTrouble }: GpuSupport): string {
  if (!built) return "not compiled in: build again where the CUDA toolkit is installed to use a GPU";
  const compiled = `runtime ${runtime}, kernels ${kernels.join(", ")}`;
  if (driverCuda === null) return `no driver; ${compiled}`;
  const unseen = nvmlTrouble === null ? "" : `; utilisation, temperature and power cannot be told: ${nvmlTrouble}`;
  return `driver ${driver ?? "of unknown version"}, for CUDA up to ${driverCuda}; ${compiled}${unseen}`;
}
