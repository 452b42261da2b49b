/** What devices say of themselves with heartbeats: kept with the worker, only while it is true. */
import { describe, expect, it } from "vitest";
import { workerRow } from "../../coordinator/core/views.js";
import { millis } from "../../proto/contract.js";
import { deviceOf, FakeWorker, Rig, START } from "./rig.js";

const BUSY = { utilization: 0.9, memoryUsed: 3, memoryTotal: 4, temperature: 60, power: 300 };

function worker() {
  const rig = new Rig();
  const double = new FakeWorker(rig, "w", [deviceOf(2), deviceOf(4, { id: "cuda:0" })]);
  double.hello();
  const devices = () => rig.worker("w").devices;
  return { rig, double, devices };
}

describe("the use of devices", () => {
  it("is that of the last heartbeat", () => {
    const { double, devices } = worker();
    const plain = devices();
    double.heartbeat([], { "cuda:0": BUSY });
    expect(devices()).toEqual([plain[0], { ...plain[1], use: BUSY }]);
    double.heartbeat([], { cpu: { power: 1 }, "cuda:0": { power: 2 } });
    expect(devices().map(({ use }) => use)).toEqual([{ power: 1 }, { power: 2 }]);
    double.heartbeat([]);
    expect(devices()).toEqual(plain);
  });

  it("of a device that the worker does not have is nobody's", () => {
    const { double, devices } = worker();
    const plain = devices();
    double.heartbeat([], { "cuda:7": BUSY, constructor: BUSY });
    expect(devices()).toEqual(plain);
  });

  it("is not shown of a worker that nobody hears of", () => {
    const { rig, double, devices } = worker();
    double.heartbeat([], { "cuda:0": BUSY });
    expect(workerRow(rig.state, rig.worker("w"), millis(rig.now)).devices[1]).toMatchObject({ use: BUSY });
    double.linkLost();
    expect(rig.worker("w").state).toBe("gone");
    expect(devices().map(({ use }) => use)).toEqual([undefined, undefined]);
    expect(workerRow(rig.state, rig.worker("w"), millis(rig.now)).devices.map(({ use }) => use)).toEqual([null, null]);
  });

  it("leaves what else is known of the device", () => {
    const rig = new Rig();
    const refused = { d1: millis(START + 60_000) };
    const double = new FakeWorker(rig, "w", [deviceOf(4, { refused })]);
    double.hello();
    double.heartbeat([], { cpu: BUSY });
    expect(rig.worker("w").devices).toEqual([deviceOf(4, { refused, use: BUSY })]);
    double.linkLost();
    expect(rig.worker("w").devices).toEqual([deviceOf(4, { refused })]);
  });
});
