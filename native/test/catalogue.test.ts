/**
 * Every network of the catalogue: a lane that diverges is lost alone, and a lane takes the memory that was planned for it.
 * (Same bytes alone and among others, on all threads and vectors, and after going on: invariance.test.ts.)
 */
import { describe, expect, it } from "vitest";
import { networks } from "../networks/index.js";
import { engine, openSmall, planSmall, runToEnd, smallRecipe, vector } from "./support.js";

const names = networks.map(({ name }) => name);

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

  it.each([1, 2])("takes the memory that was planned, and none later, with %i threads", (threads) => {
    const lanes = 3;
    const { recipe } = smallRecipe(name);
    const planned = planSmall(recipe, lanes, threads);
    const before = engine.allocatedBytes();
    const { session } = openSmall(name, { lanes, threads });
    const all = lanes * planned.bytesPerLane + planned.bytesShared;
    expect(session.memory()).toEqual(planned);
    expect(engine.allocatedBytes() - before).toBe(all);
    for (let lane = 0; lane < lanes; lane += 1)
      session.addLane({ seed: BigInt(lane), hyperparameters: vector(recipe), checkpoint: null });
    runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: 2 }));
    expect(engine.allocatedBytes() - before).toBe(all);
    session.close();
    expect(engine.allocatedBytes()).toBe(before);
  });
});
