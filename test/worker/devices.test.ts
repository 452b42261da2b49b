/** What `devices` prints: one line a device and one for CUDA, with the reason where something cannot be used. */
import { describe, expect, it } from "vitest";
import { describeDevices } from "../../worker/devices.js";
import type { DeviceInfo, GpuSupport } from "../../worker/engine.js";

const CPU: DeviceInfo = {
  id: "cpu",
  backend: "cpu",
  name: "AMD EPYC 9654",
  capability: null,
  bus: null,
  isa: "avx512",
  cores: 16,
  memoryBytes: 128 * 2 ** 30,
  unusable: null,
};
const H100: DeviceInfo = {
  id: "cuda:0",
  backend: "cuda",
  name: "NVIDIA H100 80GB HBM3",
  capability: "9.0",
  bus: "0000:65:00.0",
  isa: "sm_90",
  cores: 132,
  memoryBytes: 85_520_809_984,
  unusable: null,
};
const P100: DeviceInfo = {
  ...H100,
  id: "cuda:1",
  name: "Tesla P100",
  capability: "6.0",
  isa: null,
  unusable: "no kernels for compute capability 6.0, only sm_75, sm_80, compute_80",
};
const NONE: DeviceInfo = {
  ...H100,
  id: "cuda",
  name: "CUDA",
  capability: null,
  bus: null,
  isa: null,
  memoryBytes: 0,
  unusable: "no driver; install NVIDIA's, or train on the CPU",
};
const SUPPORT: GpuSupport = {
  built: true,
  runtime: "13.0",
  kernels: ["sm_75", "sm_80", "compute_80"],
  driver: "580.159.04",
  driverCuda: "13.0",
  nvmlTrouble: null,
};

describe("the listing of devices", () => {
  it("says what each has and which kernels run there", () => {
    expect(describeDevices([CPU, H100, P100], SUPPORT).split("\n")).toEqual([
      "cpu     AMD EPYC 9654, 16 cores, 128.0 GiB, avx512 kernels; 16 lanes by default",
      "cuda:0  NVIDIA H100 80GB HBM3, compute capability 9.0, 132 multiprocessors, 79.6 GiB, sm_90 kernels; 132 lanes by default",
      "cuda:1  Tesla P100, compute capability 6.0; not usable: no kernels for compute capability 6.0, only sm_75, sm_80, compute_80",
      "CUDA    driver 580.159.04, for CUDA up to 13.0; runtime 13.0, kernels sm_75, sm_80, compute_80",
      "",
    ]);
  });

  it("says that there is no driver, or none that is new enough", () => {
    const bare = { ...SUPPORT, driver: null, driverCuda: null, nvmlTrouble: "libnvidia-ml.so.1 cannot be loaded" };
    expect(describeDevices([CPU, NONE], bare).split("\n").slice(1)).toEqual([
      "cuda  not usable: no driver; install NVIDIA's, or train on the CPU",
      "CUDA  no driver; runtime 13.0, kernels sm_75, sm_80, compute_80",
      "",
    ]);
    const old = "the driver knows CUDA 11.4, this was built with 13.0; install a newer driver";
    const listing = describeDevices([CPU, { ...NONE, unusable: old }], {
      ...SUPPORT,
      driver: "470.82",
      driverCuda: "11.4",
    });
    expect(listing).toContain(`cuda  not usable: ${old}\n`);
    expect(listing).toContain("CUDA  driver 470.82, for CUDA up to 11.4;");
  });

  it("says when CUDA was not compiled in, and when nobody can be asked how busy a device is", () => {
    const off = { built: false, runtime: null, kernels: [], driver: null, driverCuda: null, nvmlTrouble: "missing" };
    expect(describeDevices([CPU], off)).toMatch(/\nCUDA {2}not compiled in: build again where the CUDA toolkit is/);
    const blind = { ...SUPPORT, driver: null, nvmlTrouble: "libnvidia-ml.so.1 cannot be loaded: no such file" };
    expect(describeDevices([H100], blind)).toContain(
      "CUDA    driver of unknown version, for CUDA up to 13.0; runtime 13.0, kernels sm_75, sm_80, compute_80; " +
        "utilisation, temperature and power cannot be told: libnvidia-ml.so.1 cannot be loaded: no such file\n",
    );
  });
});
