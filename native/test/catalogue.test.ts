/**
 * Every network of the catalogue: a lane that diverges is lost alone, and a lane takes the memory that was planned for it.
 * (Same bytes alone and among others, on all threads and vectors, and after going on: invariance.test.ts.)
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { networks } from "../networks/index.js";
import { engine, openSmall, runToEnd, smallRecipe, vector } from "./support.js";

const names = networks.map(({ name }) => name);
const MiB = 2 ** 20;

/** A lane, and beside it, if asked for, one whose weights are as large as float32 can say. */
function train(name: string, { neighbour }: { readonly neighbour: boolean }) {
  const { session, recipe } = openSmall(name, { lanes: 2 });
  for (const seed of neighbour ? [1n, 2n] : [1n])
    session.addLane({ seed, hyperparameters: vector(recipe), checkpoint: null });
  if (neighbour)
    session.loadWeights(
      1,
      session.weights(1).data.map((weight) => 3e38 * (weight < 0 ? -1 : 1)),
    );
  const slices = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: 2 }));
  const reports = slices.flatMap((slice) => slice.reports);
  const result = {
    diverged: slices.flatMap((slice) => slice.diverged),
    epochsOf: (lane: number) => reports.filter((report) => report.lane === lane).map(({ epoch }) => epoch),
    saved: session.saveLane(0),
  };
  session.close();
  return result;
}

describe.each(names)("%s", (name) => {
  it("loses a lane that diverges at once, and its neighbour does not notice", () => {
    const alone = train(name, { neighbour: false });
    const both = train(name, { neighbour: true });
    expect(alone.diverged).toEqual([]);
    expect(both.diverged).toHaveLength(1);
    expect(both.diverged[0]).toMatchObject({
      lane: 1,
      epoch: 0,
      step: 1,
      what: expect.stringMatching(/^(loss|weights)$/),
    });
    expect(both.epochsOf(1)).toEqual([]);
    expect(both.epochsOf(0)).toEqual([1, 2, 3]);
    expect(Buffer.compare(both.saved, alone.saved)).toBe(0);
  });
});

/** Bytes of this process in memory that is no file's. */
const resident = (): number =>
  1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

describe.skipIf(process.platform !== "linux")("memory, read from /proc, so on Linux only:", () => {
  it.each(names)("%s takes what was planned, and no more after its first slice", (name) => {
    const { recipe } = smallRecipe(name);
    const planned = engine.planSession(JSON.stringify(recipe), "cpu");
    // Enough lanes for what else the process does not to matter.
    const lanes = Math.min(256, Math.max(2, Math.round((96 * MiB) / planned.bytesPerLane)));
    const before = resident();
    const { session } = openSmall(name, { lanes });
    for (let lane = 0; lane < lanes; lane += 1)
      session.addLane({ seed: BigInt(lane), hyperparameters: vector(recipe), checkpoint: null });
    session.runSlice({ maxMillis: 60_000, maxSteps: 2 });
    const first = resident();
    const { reports } = session.runSlice({ maxMillis: 60_000, maxSteps: 2 });
    const second = resident();
    const pictures = reports.reduce((sum, report) => sum + (report.pictures?.values.byteLength ?? 0), 0);
    const memory = session.memory();
    expect(memory.bytesPerLane).toBe(planned.bytesPerLane);
    session.close();
    const all = lanes * memory.bytesPerLane + memory.bytesShared;
    expect(first - before).toBeLessThan(all + 24 * MiB);
    expect(first - before).toBeGreaterThan(0.9 * all - 8 * MiB);
    expect(second - first).toBeLessThan(2 * pictures + 4 * MiB);
  });
});
