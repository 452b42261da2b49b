/** What NVML says of a device, through a library that only plays it: whole, failing, lacking functions, not there. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadEngine } from "../index.js";
import { compileFakeNvml, FAKE_BUS } from "./fake-nvml.js";

const engine = loadEngine();
const folder = mkdtempSync(join(tmpdir(), "convsweep-nvml-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const built = new URL("../../dist/native/index.js", import.meta.url).href;
const NOTHING = { utilization: null, memoryUsed: null, memoryTotal: null, temperature: null, power: null };
/** As fake_nvml.c has them, in our units. */
const EVERYTHING = {
  utilization: 0.87,
  memoryUsed: 9 * 2 ** 30,
  memoryTotal: 85_520_809_984,
  temperature: 61,
  power: 412.345,
};

const ask = async (library: string, bus = FAKE_BUS) => (await engine.deviceUse([bus], library))[0];

describe("NVML", () => {
  it("says how busy, full, hot and hungry a device is", async () => {
    expect(await ask(compileFakeNvml(folder))).toEqual(EVERYTHING);
  });

  it("answers for each device that it is asked for, in that order", async () => {
    const answers = await engine.deviceUse(["0000:01:00.0", FAKE_BUS, FAKE_BUS], compileFakeNvml(folder));
    expect(answers).toEqual([NOTHING, EVERYTHING, EVERYTHING]);
    expect(await engine.deviceUse([], compileFakeNvml(folder))).toEqual([]);
  });

  it("takes the older call for the temperature where the driver is older", async () => {
    expect(await ask(compileFakeNvml(folder, ["OLD"]))).toEqual({ ...EVERYTHING, temperature: 58 });
  });

  // 3 is «not supported», 15 «the device is lost».
  it.each([
    [["POWER=3"], { power: null }],
    [["NO_POWER"], { power: null }],
    [["UTILIZATION=3"], { utilization: null }],
    [["NO_UTILIZATION"], { utilization: null }],
    [["MEMORY=15"], { memoryUsed: null, memoryTotal: null }],
    [["NO_MEMORY"], { memoryUsed: null, memoryTotal: null }],
    [["TEMPERATURE=3"], { temperature: null }],
    [["OLD", "TEMPERATURE=3"], { temperature: null }],
    [["HANDLE=15"], NOTHING],
    [["NO_HANDLE"], NOTHING],
    [["NO_DRIVER", "NO_TEXT"], {}],
  ])("%j: the rest is said all the same", async (defines, lacking) => {
    expect(await ask(compileFakeNvml(folder, defines))).toEqual({ ...EVERYTHING, ...lacking });
  });

  it.each([
    [["INIT=9"], "Driver Not Loaded"],
    [["INIT=9", "NO_TEXT"], "error 9"],
    [["NO_INIT"], "has no function nvmlInit_v2"],
  ])("%j: nothing is known, and why", async (defines, why) => {
    const library = compileFakeNvml(folder, defines);
    expect(await ask(library)).toEqual(NOTHING);
    const support = await engine.gpuSupport(library);
    expect(support.nvmlTrouble).toContain(library);
    expect(support.nvmlTrouble).toContain(why);
    expect(support.driver).toBeNull();
  });

  it("a library that is missing or none is no error", async () => {
    const missing = join(folder, "libmissing.so");
    expect(await ask(missing)).toEqual(NOTHING);
    expect((await engine.gpuSupport(missing)).nvmlTrouble).toContain(`${missing} cannot be loaded: `);
    const text = join(folder, "text.so");
    writeFileSync(text, "not a library");
    expect(await ask(text)).toEqual(NOTHING);
  });

  it("tells the driver's version, and what was compiled in", async () => {
    const support = await engine.gpuSupport(compileFakeNvml(folder));
    expect(support.driver).toBe("580.159.04");
    expect(support.nvmlTrouble).toBeNull();
    if (support.built) {
      expect(support.runtime).toMatch(/^\d+\.\d+$/);
      expect(support.kernels).toContain("sm_80");
      expect(support.kernels.at(-1)).toMatch(/^compute_\d+$/);
    } else expect([support.runtime, support.kernels]).toEqual([null, []]);
    expect((await engine.gpuSupport(compileFakeNvml(folder, ["NO_DRIVER"]))).driver).toBeNull();
  });

  it("CONVSWEEP_NVML names another library than the driver's", async () => {
    process.env["CONVSWEEP_NVML"] = compileFakeNvml(folder);
    try {
      expect(await engine.deviceUse([FAKE_BUS], null)).toEqual([EVERYTHING]);
    } finally {
      delete process.env["CONVSWEEP_NVML"];
    }
  });

  it("a driver that does not answer holds nobody, not even the end of the process", () => {
    const library = JSON.stringify(compileFakeNvml(folder, ["SLOW=600"]));
    const script = `
      const { loadEngine } = await import(${JSON.stringify(built)});
      loadEngine().deviceUse(["${FAKE_BUS}"], ${library});
      setTimeout(() => process.exit(7), 100);`;
    const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], { timeout: 60_000 });
    expect(status).toBe(7);
  });

  it("wrong arguments are refused", async () => {
    await expect(engine.deviceUse("cuda:0" as unknown as string[], null)).rejects.toThrow("buses");
    await expect(engine.deviceUse([0 as unknown as string], null)).rejects.toThrow("buses");
    await expect(engine.gpuSupport(3 as unknown as string)).rejects.toThrow("library");
  });
});
