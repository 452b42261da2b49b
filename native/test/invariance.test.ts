/**
 * Bit for bit: every network of the catalogue trained for three epochs gives the same bytes alone and among seven others,
 * with one thread and two, on every set of vector instructions.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type { Isa } from "../index.js";
import { networks } from "../networks/index.js";
import { engine, engineError, openSmall, runToEnd, vector } from "./support.js";

const SEED = 2024n;

const isas: readonly Isa[] = (["scalar", "avx2", "avx512"] as const).filter((isa) => {
  try {
    openSmall("logit", { isa }).session.close();
    return true;
  } catch {
    return false;
  }
});
const widest = isas.at(-1) ?? "scalar";

function alone(name: string, isa: Isa, threads: number): Uint8Array {
  const { session, recipe } = openSmall(name, { isa, threads });
  session.addLane({ seed: SEED, hyperparameters: vector(recipe), checkpoint: null });
  const slices = runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: null }));
  const reports = slices.flatMap((slice) => slice.reports);
  expect(reports.map((report) => report.epoch)).toEqual([1, 2, 3]);
  expect(reports.at(-1)?.finished).toBe(true);
  const saved = session.saveLane(0);
  session.close();
  return saved;
}

function amongSeven(name: string, isa: Isa, threads: number): Uint8Array {
  const { session, recipe } = openSmall(name, { isa, threads, lanes: 8 });
  for (let lane = 0; lane < 8; lane++) {
    const hyperparameters = lane === 3 ? vector(recipe) : vector(recipe, { learning_rate: 0.001 * lane, l2: 0.01 });
    session.addLane({ seed: lane === 3 ? SEED : BigInt(lane), hyperparameters, checkpoint: null });
  }
  runToEnd(() => session.runSlice({ maxMillis: 60_000, maxSteps: 3 }));
  const saved = session.saveLane(3);
  session.close();
  return saved;
}

describe.each(networks.map(({ name }) => name))("%s", (name) => {
  let wanted: Uint8Array = new Uint8Array();
  beforeAll(() => {
    wanted = alone(name, widest, 1);
  });
  it.each(isas)("gives the same bytes on %s with two threads", (isa) => {
    expect(Buffer.compare(alone(name, isa, 2), wanted)).toBe(0);
  });
  it("gives the same bytes among seven others", () => {
    expect(Buffer.compare(amongSeven(name, widest, 1), wanted)).toBe(0);
    expect(Buffer.compare(amongSeven(name, widest, 2), wanted)).toBe(0);
  });
  it("goes on to the same bytes from a checkpoint in the middle of an epoch", () => {
    const first = openSmall(name);
    first.session.addLane({ seed: SEED, hyperparameters: vector(first.recipe), checkpoint: null });
    first.session.runSlice({ maxMillis: 60_000, maxSteps: 4 });
    const second = openSmall(name);
    second.session.addLane({
      seed: SEED,
      hyperparameters: vector(second.recipe),
      checkpoint: first.session.saveLane(0),
    });
    runToEnd(() => second.session.runSlice({ maxMillis: 60_000, maxSteps: null }));
    expect(Buffer.compare(second.session.saveLane(0), wanted)).toBe(0);
    first.session.close();
    second.session.close();
  });
});

it("names the backend, the precision and the version in the fingerprint", () => {
  expect(engine.fingerprint("cpu")).toBe(`cpu float32 ${engine.version}`);
  expect(engineError(() => engine.fingerprint("quantum")).code).toBe("ENGINE_NO_DEVICE");
});
