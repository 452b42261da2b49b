/** What the command line may say, and what is said back. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Secret } from "../../proto/secret.js";
import { type JoinOptions, joinConfig } from "../../worker/config.js";
import { chooseDevices } from "../../worker/devices.js";
import type { DeviceInfo } from "../../worker/engine.js";

let folder = "";
let tokenFile = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "convsweep-config-"));
  tokenFile = join(folder, "worker.token");
  writeFileSync(tokenFile, "cvs_worker_abc\n", { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true }));

const options = (over: Partial<JoinOptions> = {}): JoinOptions => ({
  coordinator: "127.0.0.1:7440",
  tokenFile,
  devices: "cpu",
  lanes: "auto",
  logLevel: "info",
  ...over,
});

describe("the options of join", () => {
  it("come out as values", () => {
    const config = joinConfig(
      options({ devices: "cuda:0, cpu", lanes: "64", threads: "3", memory: "1.5GiB", data: "/d", name: "w-1" }),
      {
        XDG_CACHE_HOME: "/c",
      },
    );
    expect(config.token.expose()).toBe("cvs_worker_abc");
    expect(config).toEqual({
      checkpointMillis: 10_000,
      spoolDir: "/c/convsweep/spool",
      coordinator: "127.0.0.1:7440",
      token: expect.any(Secret),
      tlsFiles: { ca: null, identity: null },
      name: "w-1",
      devices: ["cuda:0", "cpu"],
      lanes: 64,
      threads: 3,
      memory: 1.5 * 2 ** 30,
      dataDir: "/d",
      logLevel: "info",
    });
    expect(joinConfig(options(), { CONVSWEEP_DATA: "/e" })).toMatchObject({
      lanes: null,
      threads: null,
      memory: null,
      dataDir: "/e",
    });
  });

  it("give a worker without a name one that the coordinator takes", () => {
    expect(joinConfig(options(), {}).name).toMatch(/^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$/);
  });

  it.each([
    [{ coordinator: "localhost" }, "--coordinator"],
    [{ coordinator: "localhost:0" }, "--coordinator"],
    [{ coordinator: "localhost:70000" }, "--coordinator"],
    [{ coordinator: "http://localhost:1" }, "--coordinator"],
    [{ lanes: "0" }, "--lanes"],
    [{ lanes: "many" }, "--lanes"],
    [{ threads: "1.5" }, "--threads"],
    [{ memory: "8" }, "--memory"],
    [{ memory: "0GiB" }, "--memory"],
    [{ memory: "8 giga" }, "--memory"],
    [{ name: "a b" }, "--name"],
    [{ devices: "cpu,,cuda:0" }, "--devices"],
    [{ logLevel: "loud" }, "--log-level"],
    [{ tokenFile: "/no/such/file" }, "--token-file"],
  ] as const)("%j is refused by the option's name", (over, path) => {
    expect(() => joinConfig(options(over), {})).toThrowError(expect.objectContaining({ code: "BAD_INPUT", path }));
  });

  it("never repeat what stands in the token file", () => {
    const file = join(folder, "two words");
    writeFileSync(file, "secret words\n", { mode: 0o600 });
    try {
      joinConfig(options({ tokenFile: file }), {});
      expect.unreachable();
    } catch (error) {
      expect(JSON.stringify(error) + String(error)).not.toContain("secret words");
      expect(error).toMatchObject({ path: "--token-file" });
    }
  });

  it("accept an address in version 6", () => {
    expect(joinConfig(options({ coordinator: "[::1]:7440" }), {}).coordinator).toBe("[::1]:7440");
  });
});

describe("the choice of devices", () => {
  const cpu: DeviceInfo = {
    id: "cpu",
    backend: "cpu",
    name: "c",
    capability: null,
    bus: null,
    isa: "avx2",
    cores: 8,
    memoryBytes: 1,
    unusable: null,
  };
  const cuda: DeviceInfo = {
    id: "cuda:0",
    backend: "cuda",
    name: "g",
    capability: "8.0",
    bus: "0000:65:00.0",
    isa: "sm_80",
    cores: 80,
    memoryBytes: 1,
    unusable: "no driver",
  };

  it("gives lanes by the cores, and the threads to the processor but for one a device", () => {
    expect(chooseDevices([cpu], { devices: ["cpu", "cpu"], lanes: null, threads: null, memory: null })).toMatchObject([
      { id: "cpu", lanes: 8, threads: 8 },
    ]);
    expect(
      chooseDevices([{ ...cpu, cores: 1 }], { devices: ["cpu"], lanes: null, threads: null, memory: null }),
    ).toMatchObject([{ lanes: 2, threads: 1 }]);
    const both = chooseDevices([cpu, { ...cuda, unusable: null }], {
      devices: ["cuda:0", "cpu"],
      lanes: 5,
      threads: 3,
      memory: null,
    });
    expect(both.map(({ id, lanes, threads }) => [id, lanes, threads])).toEqual([
      ["cuda:0", 5, 1],
      ["cpu", 5, 2],
    ]);
  });

  it("gives the memory asked for, which it must have", () => {
    const wishes = { devices: ["cpu"], lanes: null, threads: null };
    expect(chooseDevices([cpu], { ...wishes, memory: null })[0]?.memoryBytes).toBe(cpu.memoryBytes);
    expect(chooseDevices([cpu], { ...wishes, memory: 1 })[0]?.memoryBytes).toBe(1);
    expect(() => chooseDevices([cpu], { ...wishes, memory: 2 ** 60 })).toThrowError(
      expect.objectContaining({ code: "BAD_INPUT", path: "--memory", found: "1073741824.0 GiB" }),
    );
  });

  it("takes every device of a kind by its name, and each once", () => {
    const wishes = { lanes: 1, threads: null, memory: null };
    const gpus = [0, 1, 2].map((i) => ({ ...cuda, id: `cuda:${i}`, unusable: i === 1 ? "no kernels" : null }));
    const ids = (...devices: string[]) => chooseDevices([cpu, ...gpus], { ...wishes, devices }).map(({ id }) => id);
    expect(ids("cuda")).toEqual(["cuda:0", "cuda:2"]);
    expect(ids("cuda:2", "cpu", "cuda")).toEqual(["cuda:2", "cpu", "cuda:0"]);
    expect(() => chooseDevices([cpu, ...gpus.slice(1, 2)], { ...wishes, devices: ["cuda"] })).toThrow(
      "cuda:1 cannot be used: no kernels",
    );
    expect(() => chooseDevices([cpu, { ...cuda, id: "cuda" }], { ...wishes, devices: ["cuda"] })).toThrow(
      "cuda cannot be used: no driver",
    );
    expect(() => chooseDevices([cpu], { ...wishes, devices: ["cuda"] })).toThrow("built without CUDA");
  });

  it("says of each device that cannot be had why, all at once", () => {
    const wishes = { lanes: null, threads: null, memory: null };
    const messageOf = (found: readonly DeviceInfo[], ...devices: string[]): string => {
      try {
        chooseDevices(found, { ...wishes, devices });
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    const whole = { ...cuda, unusable: null };
    const broken = { ...cuda, id: "cuda:1" };
    expect(messageOf([cpu, whole, broken], "cuda:0", "cuda:1", "cuda:2", "cpu", "gpu")).toBe(
      "cuda:1 cannot be used: no driver; this machine has no device cuda:2; this machine has no device gpu",
    );
    expect(messageOf([cpu, { ...cuda, id: "cuda" }], "cuda:0")).toBe("cuda:0 cannot be used: no driver");
    expect(messageOf([cpu], "cuda:0")).toBe("cuda:0 cannot be used: this engine was built without CUDA");
    expect(messageOf([cpu, whole], "cpu", "cuda:0")).toBe("");
  });

  it("says what there is when a device is missing, and why one cannot be used", () => {
    const wishes = { lanes: null, threads: null, memory: null };
    expect(() => chooseDevices([cpu, cuda], { ...wishes, devices: ["cuda:7"] })).toThrowError(
      expect.objectContaining({ code: "ENGINE_NO_DEVICE", expected: "cpu, cuda:0 (no driver)", found: "cuda:7" }),
    );
    expect(() => chooseDevices([cpu, cuda], { ...wishes, devices: ["cuda:0"] })).toThrowError(/no driver/);
  });
});
