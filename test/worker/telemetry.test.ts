/** The worker's questions to its devices: who is asked, how often, and what becomes of the answers. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { DeviceUse } from "../../worker/engine.js";
import { sampleDevices } from "../../worker/telemetry.js";

const NOTHING: DeviceUse = { utilization: null, memoryUsed: null, memoryTotal: null, temperature: null, power: null };
const DEVICES = [
  { id: "cpu", bus: null },
  { id: "cuda:0", bus: "0000:01:00.0" },
  { id: "cuda:1", bus: "0000:02:00.0" },
];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("sampling devices", () => {
  it("asks those with a bus, at once and again after each answer, and leaves out who says nothing", async () => {
    const questions: (readonly string[])[] = [];
    const samples: unknown[] = [];
    const answers: DeviceUse[][] = [
      [{ ...NOTHING, power: 300, utilization: 0 }, NOTHING],
      [NOTHING, NOTHING],
    ];
    const engine = {
      deviceUse: async (buses: readonly string[], library: string | null) => {
        expect(library).toBeNull();
        questions.push(buses);
        return answers[questions.length - 1] ?? [];
      },
    };
    const end = sampleDevices({ engine, devices: DEVICES, millis: 100, onSample: (use) => samples.push(use) });
    await vi.advanceTimersByTimeAsync(99);
    expect(questions).toEqual([["0000:01:00.0", "0000:02:00.0"]]);
    await vi.advanceTimersByTimeAsync(1);
    expect(samples).toEqual([[{ device: "cuda:0", power: 300, utilization: 0 }], []]);
    end();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(questions).toHaveLength(2);
  });

  it("never has two questions under way, and says nothing once it has ended", async () => {
    let questions = 0;
    let answer: (use: DeviceUse[]) => void = () => undefined;
    const deviceUse = () => {
      questions += 1;
      return new Promise<DeviceUse[]>((resolve) => {
        answer = resolve;
      });
    };
    const samples: unknown[] = [];
    const end = sampleDevices({
      engine: { deviceUse },
      devices: DEVICES,
      millis: 100,
      onSample: (use) => samples.push(use),
    });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(questions).toBe(1);
    answer([NOTHING, NOTHING]);
    await vi.advanceTimersByTimeAsync(100);
    expect([questions, samples]).toEqual([2, [[]]]);
    end();
    answer([{ ...NOTHING, power: 1 }, NOTHING]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([questions, samples]).toEqual([2, [[]]]);
  });

  it("goes on after a question that failed", async () => {
    const deviceUse = vi
      .fn()
      .mockRejectedValueOnce(new Error("no"))
      .mockResolvedValue([{ ...NOTHING, power: 5 }]);
    const samples: unknown[] = [];
    const end = sampleDevices({
      engine: { deviceUse },
      devices: DEVICES,
      millis: 100,
      onSample: (use) => samples.push(use),
    });
    await vi.advanceTimersByTimeAsync(100);
    expect(samples).toEqual([[], [{ device: "cuda:0", power: 5 }]]);
    end();
  });

  it("asks nothing where there is nobody to ask", async () => {
    const deviceUse = vi.fn();
    sampleDevices({ engine: { deviceUse }, devices: DEVICES.slice(0, 1), millis: 1, onSample: () => expect.fail() })();
    await vi.advanceTimersByTimeAsync(100);
    expect(deviceUse).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});
