/**
 * Asks devices now and then what they are doing: how busy, full, hot and hungry they are.
 *
 * Guarantees: one question at a time, off this thread, the next `millis` after the last was answered; a device that says
 * nothing is left out; nothing that fails ends the worker. Devices without a bus, the processor for one, are not asked:
 * where there are no others nothing runs at all.
 */
import type { DeviceUse as WireDeviceUse } from "../proto/gen/convsweep/v1/types.js";
import type { DeviceInfo, Telemetry } from "./engine.js";
import { useToWire } from "./wire.js";

export const SAMPLE_MILLIS = 5_000;

export interface SamplerOptions {
  readonly engine: Pick<Telemetry, "deviceUse">;
  readonly devices: readonly Pick<DeviceInfo, "id" | "bus">[];
  readonly millis: number;
  readonly onSample: (use: readonly WireDeviceUse[]) => void;
}

/** Begins at once; the answer ends it. */
export function sampleDevices({ engine, devices, millis, onSample }: SamplerOptions): () => void {
  const asked = devices.flatMap(({ id, bus }) => (bus === null ? [] : [{ id, bus }]));
  const buses = asked.map(({ bus }) => bus);
  let timer: NodeJS.Timeout | null = null;
  let ended = asked.length === 0;

  async function sample(): Promise<void> {
    const answers = await engine.deviceUse(buses, null).catch(() => []);
    if (ended) return;
    onSample(
      asked.flatMap(({ id }, i) => {
        const use = answers[i];
        return (use && useToWire(id, use)) ?? [];
      }),
    );
    timer = setTimeout(() => void sample(), millis);
  }

  if (!ended) void sample();
  return () => {
    ended = true;
    if (timer) clearTimeout(timer);
  };
}
