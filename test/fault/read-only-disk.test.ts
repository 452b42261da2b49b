/**
 * A12, and A9 with a worker of the same machine: a store on a real ext4 that an error has made read-only, and one on a full
 * tmpfs; the local worker's log and spool lie there too. Needs root, loop devices and ext4's way to provoke an error; skips aloud.
 */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Playground, smallSweep } from "../e2e/program.js";
import { fill, mountSmall, resize, unmount, whyNoMounts } from "./small-disk.js";

const run = (command: string, ...args: readonly string[]) => spawnSync(command, args, { encoding: "utf8" });

/** An ext4 in a file, mounted; the loop device it is on. */
function mountExt4(folder: string, image: string): string {
  const file = openSync(image, "w");
  ftruncateSync(file, 64 << 20);
  closeSync(file);
  const made = [run("mkfs.ext4", "-q", image), run("losetup", "-f", "--show", image)] as const;
  const device = made[1].stdout.trim();
  const mounted = run("mount", "-o", "errors=remount-ro", device, folder);
  if (made[0].status !== 0 || mounted.status !== 0)
    throw new Error(`${made[0].stderr}${made[1].stderr}${mounted.stderr}`);
  rmdirSync(join(folder, "lost+found"));
  return device;
}

const provocation = (device: string): string => `/sys/fs/ext4/${basename(device)}/trigger_fs_error`;

function whyNoExt4(): string | null {
  const without = whyNoMounts();
  if (without !== null) return without;
  const probe = new Playground();
  const folder = join(probe.folder, "disk");
  mkdirSync(folder);
  try {
    const device = mountExt4(folder, join(probe.folder, "image"));
    const able = existsSync(provocation(device));
    unmount(folder);
    run("losetup", "-d", device);
    return able ? null : "ext4 offers no trigger_fs_error";
  } catch (thrown) {
    return `no ext4 in a file: ${(thrown as Error).message.trim() || "losetup or mkfs.ext4 is missing"}`;
  }
}

const whyNot = { tmpfs: whyNoMounts(), ext4: whyNoExt4() };
for (const [what, why] of Object.entries(whyNot)) {
  if (why !== null) process.stderr.write(`SKIP test/fault/read-only-disk.test.ts (${what}): ${why}\n`);
}

const EPOCHS = 40;

describe("a disk under coordinator and worker", () => {
  let playground = new Playground();
  let device = "";
  beforeAll(() => Playground.requireBuild());
  afterEach(async () => {
    unmount(playground.store);
    await playground.close();
    if (device !== "") run("losetup", "-d", device);
    device = "";
    playground = new Playground();
  });

  const until = async (page: string, wanted: string): Promise<void> => {
    for (;;) {
      const answer = await fetch(new URL("/healthz", page));
      if (`${answer.status} ${(await answer.text()).trim()}` === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const count = async (sql: string): Promise<number> => Number((await playground.query(sql))[0]?.["n"]);
  const up = async () => {
    const args = ["--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--workers", "1", "--lanes", "2", "--json"];
    const started = playground.start("up", ...args);
    const ready = await started.line((line) => line["event"] === "up");
    return { started, page: String(ready["page"]) };
  };
  const submit = async (): Promise<void> => {
    const file = playground.file("s.yaml", smallSweep({ epochs: EPOCHS, run_cap: 8 }));
    expect((await playground.start("run", file, "--detach").finished).code).toBe(0);
    while ((await count("SELECT count(*) AS n FROM reports")) === 0);
  };
  /** Every trial done with every epoch; none of an attempt twice. */
  const expectWhole = async (): Promise<void> => {
    while ((await count("SELECT count(*) AS n FROM sweeps WHERE state = 'running'")) > 0);
    const of = "FROM reports WHERE metric = 'val_loss'";
    expect(await count("SELECT count(*) AS n FROM trials WHERE state = 'completed'")).toBe(8);
    expect(await count(`SELECT count(DISTINCT trial || ' ' || epoch) AS n ${of}`)).toBe(8 * EPOCHS);
    expect(await count(`SELECT count(*) - count(DISTINCT attempt || ' ' || epoch) AS n ${of}`)).toBe(0);
  };

  it.skipIf(whyNot.tmpfs !== null)(
    "A9: full: the worker trains on without log and spool, in the same attempts",
    async () => {
      mkdirSync(playground.store);
      mountSmall(playground.store, 8_192);
      const { started, page } = await up();
      await submit();
      fill(join(playground.store, "filler"));
      await until(page, "503 disk_full");
      resize(playground.store, 65_536);
      await until(page, "200 ok");
      await expectWhole();
      expect(await count("SELECT count(*) AS n FROM attempts")).toBe(8);
      expect(started.child.exitCode).toBeNull();
    },
  );

  it.skipIf(whyNot.ext4 !== null)(
    "A12: read-only: 503 with the reason, readers read; mounted again and started again all goes on",
    async () => {
      mkdirSync(playground.store);
      device = mountExt4(playground.store, join(playground.folder, "image"));
      const { started, page } = await up();
      await submit();
      // Nothing is decided while a commit is flushed: what was there when more came is durable.
      const durable = await count("SELECT count(*) AS n FROM reports");
      while ((await count("SELECT count(*) AS n FROM reports")) === durable);
      writeFileSync(provocation(device), "1");
      // It may strike a flush under way: whether that kept anything nobody knows, so the coordinator ends then.
      const refuses = await until(page, "503 read_only").then(
        () => true,
        () => false,
      );
      // Readers see that commit, too, until the disk is mounted again; nobody was told of it.
      const visible = await count("SELECT count(*) AS n FROM reports");
      expect(visible).toBeGreaterThanOrEqual(durable);
      if (refuses) {
        expect(started.child.exitCode).toBeNull();
        // Linux does not make it writable again but by a new mount.
        started.child.kill("SIGTERM");
      }
      expect((await started.finished).code).toBe(refuses ? 0 : 74);
      expect(run("umount", playground.store).status).toBe(0);
      // 1: errors were corrected.
      expect(run("fsck.ext4", "-y", device).status).toBeLessThanOrEqual(1);
      expect(run("mount", device, playground.store).status).toBe(0);
      await up();
      expect(await count("SELECT count(*) AS n FROM reports")).toBeGreaterThanOrEqual(refuses ? visible : durable);
      await playground.run("sweep", "resume", "1");
      await expectWhole();
    },
  );
});
