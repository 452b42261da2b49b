/** Sweep files are compiled beside the event loop, with the outcome that compiling them here has. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encode } from "fast-png";
import { describe, expect, it, onTestFinished } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { openCompilePool } from "../../coordinator/shell/compile-pool.js";
import type { Compiler } from "../../coordinator/shell/compose.js";
import { ConvsweepError, toConvsweepError } from "../../proto/contract.js";
import { scratch } from "./fixture.js";

const BLOCKING = fileURLToPath(new URL("./blocking-compile.mjs", import.meta.url));

function open(threadModule?: string): Compiler {
  const pool = openCompilePool(threadModule);
  onTestFinished(() => pool.close());
  return pool;
}

function sweepOfPictures(): { readonly text: string; readonly folder: string } {
  const folder = scratch();
  for (const name of ["day", "night"]) {
    mkdirSync(join(folder, "sky", name), { recursive: true });
    for (let i = 0; i < 4; i++) {
      const data = Uint8Array.from({ length: 64 }, (_, pixel) => (pixel * 7 + i * 31 + name.length) % 256);
      writeFileSync(
        join(folder, "sky", name, `${i}.png`),
        encode({ width: 8, height: 8, channels: 1, depth: 8, data }),
      );
    }
  }
  const text = `network: [flatten, {linear: 2}]
dataset: {folder: sky, size: 6}
batch_size: 2
epochs: 1
optimizer: adam
method: random
run_cap: 1
parameters: {learning_rate: {value: 0.02}}
`;
  return { text, folder };
}

const rejection = async (promise: Promise<unknown>): Promise<ConvsweepError> =>
  toConvsweepError(await promise.then(() => new Error("it was not refused")).catch((thrown: unknown) => thrown));

describe("a sweep file's thread", () => {
  it("makes of a folder of pictures what compiling it here does", async () => {
    const { text, folder } = sweepOfPictures();
    expect(await open().compile(text, "sky.yaml", folder)).toEqual(compileSweep(text, "sky.yaml", folder));
  });

  it("gives errors back whole", async () => {
    const { text, folder } = sweepOfPictures();
    writeFileSync(join(folder, "sky", "day", "0.png"), "no picture");
    const pool = open();
    for (const wrong of [text, text.replace("epochs: 1", "epocs: 1"), "{"]) {
      let here: unknown;
      try {
        compileSweep(wrong, "sky.yaml", folder);
      } catch (thrown) {
        here = thrown;
      }
      const there = await rejection(pool.compile(wrong, "sky.yaml", folder));
      expect(here).toBeInstanceOf(ConvsweepError);
      expect(there.toData()).toEqual((here as ConvsweepError).toData());
    }
  });

  it("leaves the event loop to others while it works", async () => {
    const go = join(scratch(), "go");
    const outcome = open(BLOCKING).compile(go, "slow.yaml", ".");
    // Compiling on this thread would wait for ever for what is written here.
    while (!existsSync(`${go}.begun`)) await new Promise((resolve) => setImmediate(resolve));
    writeFileSync(go, "");
    expect(await outcome).toEqual({ spec: { name: "slow.yaml" }, warnings: [] });
  });

  it("refuses what is under way when it is closed", async () => {
    const go = join(scratch(), "go");
    const pool = openCompilePool(BLOCKING);
    const refused = rejection(pool.compile(go, "slow.yaml", "."));
    while (!existsSync(`${go}.begun`)) await new Promise((resolve) => setImmediate(resolve));
    await pool.close();
    expect(await refused).toMatchObject({ code: "UNAVAILABLE", message: "the coordinator is closing" });
  });
});
