/** The loop of a device's thread over a scripted engine: messages, order, lanes, memory. */
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { ConvsweepError } from "../../proto/contract.js";
import type { CohortThreadOptions } from "../../worker/cohort-thread.js";
import type { Job } from "../../worker/messages.js";
import { DAMAGED, EngineFault, hashOf, scriptedWeights } from "./scripted-engine.js";
import { Harness, heldOf, job, recipe } from "./thread-harness.js";

let open: Harness[] = [];
function harness(options: Partial<CohortThreadOptions> = {}): Harness {
  const made = new Harness(options);
  open.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(open.map((h) => h.close()));
  open = [];
});

describe("a device's thread", () => {
  it("trains attempts of one recipe as lanes of one session and reports each epoch in order", async () => {
    const h = harness();
    const [a, b] = [job(), job()];
    h.assign(a, b);
    await Promise.all([h.outcomeOf(a), h.outcomeOf(b)]);
    expect(h.engine.sessions).toHaveLength(1);
    expect(h.engine.sessions[0]?.options).toMatchObject({
      device: "cpu",
      dataset: "digest",
      lanes: 4,
      threads: 1,
      isa: "auto",
    });
    for (const j of [a, b]) {
      const said = h.of(j);
      expect(said.map((m) => (m.kind === "report" ? m.epoch : m.kind))).toEqual(["started", 1, 2, 3, "ended"]);
      expect(said[0]).toMatchObject({ fingerprint: "cpu/float32/scripted" });
      expect(h.outcome(j)).toEqual({
        kind: "completed",
        weightsHash: hashOf(scriptedWeights(BigInt(`0x${j.seed}`), 3)),
      });
    }
    const last = h.of(a)[3];
    expect(last?.kind === "report" && last.metrics.map((m) => m.name)).toEqual([
      "train_loss",
      "train_accuracy",
      "val_loss",
      "val_accuracy",
      "learning_rate",
      "test_loss",
      "test_accuracy",
      "images_per_second",
    ]);
    expect(last?.kind === "report" && last.metrics[2]?.value).toBeNaN();
  });

  it("gives each cohort a slice in turn", async () => {
    const h = harness();
    const [a, b] = [job({ cohortKey: "a" }), job({ cohortKey: "b" })];
    h.assign(a, b);
    await Promise.all([h.outcomeOf(a), h.outcomeOf(b)]);
    expect(h.engine.sessions).toHaveLength(2);
    const turns = h.engine.slices.map((s) => h.engine.sessions.indexOf(s));
    // Slices that an interrupt cut short count as turns too; nobody has two turns running while both train.
    const both = turns.slice(0, Math.min(turns.lastIndexOf(0), turns.lastIndexOf(1)) + 1);
    for (let i = 1; i < both.length; i += 1) expect(both[i]).not.toBe(both[i - 1]);
  });

  it("gives an attempt that must train alone a session of one lane", async () => {
    const h = harness();
    const [a, b] = [job(), job({ alone: true })];
    h.assign(a, b);
    await Promise.all([h.outcomeOf(a), h.outcomeOf(b)]);
    expect(h.engine.sessions.map((s) => s.capacity)).toEqual([4, 1]);
  });

  it("refills a lane that became free, in the same session", async () => {
    const h = harness({ lanes: 1 });
    const a = job();
    h.assign(a);
    await h.outcomeOf(a);
    const b = job();
    h.assign(b);
    expect((await h.outcomeOf(b)).kind).toBe("completed");
    expect(h.engine.sessions).toHaveLength(1);
  });

  it("stops one attempt with the hash of its weights and leaves the others alone", async () => {
    const h = harness();
    const [a, b] = [job({ epochs: 1_000_000 }), job({ epochs: 1_000_000 })];
    h.assign(a, b);
    await h.until(() => h.of(a).length > 3);
    h.post({ kind: "stop", held: heldOf(a), save: false });
    const outcome = await h.outcomeOf(a);
    const epochs = h.of(a).filter((m) => m.kind === "report").length;
    expect(outcome).toEqual({ kind: "stopped", weightsHash: hashOf(scriptedWeights(BigInt(`0x${a.seed}`), epochs)) });
    const before = h.of(b).length;
    await h.until(() => h.of(b).length > before + 3);
    expect(h.of(a).at(-1)?.kind).toBe("ended");
  });

  it("saves a lane at the end of an epoch that another follows, and not again before the last is taken care of", async () => {
    const h = harness({ checkpointMillis: 0 });
    const a = job({ epochs: 5 });
    h.assign(a);
    await h.outcomeOf(a);
    expect(h.of(a).flatMap((m) => (m.kind === "saved" ? [m.lane] : []))).toEqual([
      { epoch: 1, data: Uint8Array.of(1) },
    ]);
    expect(
      h
        .of(a)
        .map((m) => m.kind)
        .slice(0, 4),
    ).toEqual(["started", "report", "saved", "report"]);
  });

  it("saves a lane that ended several epochs in a slice under the last of them", async () => {
    const h = harness({ checkpointMillis: 0 });
    h.engine.epochsASlice = 2;
    const a = job({ epochs: 5 });
    h.assign(a);
    await h.outcomeOf(a);
    expect(h.of(a).map((m) => m.kind)).toEqual([
      "started",
      "report",
      "report",
      "saved",
      "report",
      "report",
      "report",
      "ended",
    ]);
    expect(h.of(a)[3]).toMatchObject({ lane: { epoch: 2, data: Uint8Array.of(2) } });
  });

  it("goes on from a saved lane: its epoch is said, reports follow it, the weights are those of one never interrupted", async () => {
    const h = harness();
    const a = job({ epochs: 5 });
    h.post({ kind: "assign", job: a, from: { epoch: 3, data: Uint8Array.of(3) } });
    const weightsHash = hashOf(scriptedWeights(BigInt(`0x${a.seed}`), 5));
    expect(await h.outcomeOf(a)).toEqual({ kind: "completed", weightsHash });
    expect(h.of(a)).toMatchObject([{ fromEpoch: 3 }, { epoch: 4 }, { epoch: 5 }, { kind: "ended" }]);
  });

  it("B7: says that a saved lane is refused and waits to be told how to begin", async () => {
    const h = harness();
    const a = job({ epochs: 2 });
    h.post({ kind: "assign", job: a, from: { epoch: 1, data: Uint8Array.of(DAMAGED) } });
    await h.until(() => h.of(a).length > 0);
    h.assign(a);
    await h.outcomeOf(a);
    const error = { code: "ENGINE_CORRUPT_CHECKPOINT" };
    expect(h.of(a)).toMatchObject([{ kind: "unusable", error }, { fromEpoch: 0 }, {}, {}, { kind: "ended" }]);
  });

  it("saves a lane before it stops when the trial shall go on", async () => {
    const h = harness();
    const a = job({ epochs: 1_000_000 });
    h.assign(a);
    await h.until(() => h.of(a).length > 3);
    h.post({ kind: "stop", held: heldOf(a), save: true });
    await h.outcomeOf(a);
    const epoch = h.of(a).length - 3;
    expect(h.of(a).slice(-2)).toMatchObject([{ kind: "saved", lane: { epoch } }, { kind: "ended" }]);
  });

  it("says nothing more of an attempt that was dropped, and only of the one with that token", async () => {
    const h = harness();
    const a = job({ epochs: 1_000_000 });
    h.assign(a);
    await h.until(() => h.of(a).length > 3);
    h.post({ kind: "drop", held: { attempt: a.attempt, token: a.token + 1 } });
    const mark = h.of(a).length;
    await h.until(() => h.of(a).length > mark + 3);
    // The marker is answered after the drop: what comes later of `a` would be a fault.
    const marker = job({ seed: "no seed" });
    h.post({ kind: "drop", held: heldOf(a) }, { kind: "assign", job: marker, from: null });
    await h.outcomeOf(marker);
    const said = h.of(a).length;
    expect(h.engine.sessions[0]?.lanes.size).toBe(0);
    const b = job({ epochs: 1_000_000 });
    h.assign(b);
    await h.until(() => h.of(b).length > 5);
    expect(h.of(a)).toHaveLength(said);
    expect(h.outcome(a)).toBeNull();
  });

  it("tells where an attempt diverged, after the epochs before it", async () => {
    const h = harness();
    const a = job({ parameters: JSON.stringify({ learning_rate: 3 }) });
    h.assign(a);
    expect(await h.outcomeOf(a)).toEqual({ kind: "diverged", epoch: 2, step: 23, what: "loss" });
    expect(h.of(a).map((m) => (m.kind === "report" ? m.epoch : m.kind))).toEqual(["started", 1, 2, "ended"]);
  });

  it("fails an attempt that cannot be trained, with the engine's code and path, and trains the next", async () => {
    const h = harness();
    const cases: [Job, object][] = [
      [job({ parameters: JSON.stringify({ l2: 2 }) }), { code: "ENGINE_BAD_ARGUMENT", path: "hyperparameters[1]" }],
      [job({ seed: "xyz" }), { code: "BAD_INPUT", path: "seed" }],
      [job({ parameters: "[1]" }), { code: "BAD_INPUT", path: "parameters" }],
      [
        job({ parameters: JSON.stringify({ momentum: "much" }) }),
        { code: "BAD_INPUT", path: "parameters.momentum", found: '"much"' },
      ],
      [job({ recipe: "{" }), { code: "BAD_INPUT", path: "recipe" }],
      [job({ recipe: "{}" }), { code: "BAD_INPUT", path: "recipe.dataset" }],
    ];
    const good = job();
    h.assign(...cases.map(([j]) => j), good);
    for (const [j, error] of cases) expect(await h.outcomeOf(j)).toMatchObject({ kind: "failed", error });
    expect((await h.outcomeOf(good)).kind).toBe("completed");
    const refused = job({ cohortKey: "other" });
    h.engine.refuse = new EngineFault("ENGINE_BAD_RECIPE", "no such op", "network.layers[3].op");
    h.assign(refused);
    expect(await h.outcomeOf(refused)).toMatchObject({
      kind: "failed",
      error: { code: "ENGINE_BAD_RECIPE", path: "network.layers[3].op" },
    });
    expect(h.of(refused).map((m) => m.kind)).toEqual(["ended"]);
  });

  it("gives an attempt back whose data is missing here or wrong, and trains the next", async () => {
    const faults = [new ConvsweepError("NOT_FOUND", "no files of d"), new Error("EIO: i/o error")];
    const h = harness({
      dataset: async () => {
        const fault = faults.shift();
        if (fault) throw fault;
        return "digest";
      },
    });
    const [missing, broken, good] = [job(), job(), job()];
    h.assign(missing, broken, good);
    expect(await h.outcomeOf(missing)).toEqual({ kind: "released", reason: "no files of d" });
    expect(await h.outcomeOf(broken)).toEqual({ kind: "released", reason: "EIO: i/o error" });
    expect((await h.outcomeOf(good)).kind).toBe("completed");
  });

  it("keeps a fault in one session away from the other", async () => {
    const h = harness();
    const [a, b] = [job({ cohortKey: "a", epochs: 50 }), job({ cohortKey: "b", epochs: 50 })];
    h.engine.onSlice = (session) => {
      if (session === h.engine.sessions[0] && h.engine.slices.length > 10)
        session.sliceFault = new EngineFault("ENGINE_INTERNAL", "broken");
    };
    h.assign(a, b);
    expect(await h.outcomeOf(a)).toMatchObject({
      kind: "failed",
      error: { code: "ENGINE_INTERNAL", message: "broken" },
    });
    expect((await h.outcomeOf(b)).kind).toBe("completed");
    expect(h.engine.sessions[0]?.closed).toBe(true);
  });

  it("lets an attempt wait for memory that others use, and takes it in when that comes back", async () => {
    const h = harness();
    h.engine.room = 1;
    const [a, b] = [job({ cohortKey: "a" }), job({ cohortKey: "b" })];
    h.assign(a, b);
    expect((await h.outcomeOf(a)).kind).toBe("completed");
    expect((await h.outcomeOf(b)).kind).toBe("completed");
    const order = h.messages
      .filter((m) => m.kind !== "report")
      .map((m) => ("held" in m ? `${m.kind} ${m.held.token - a.token}` : m.kind));
    expect(order).toEqual(["started 0", "ended 0", "started 1", "ended 1"]);
    expect(h.engine.sessions.map((s) => s.closed)).toEqual([true, false]);
  });

  it("opens as many lanes as fit into its memory; who finds none takes the next that is given back", async () => {
    // A lane takes 10 bytes, a session 1 more.
    const h = harness({ memoryBytes: 31 });
    const [first, second, third, fourth] = [0, 1, 2, 3].map(() => job({ epochs: 1_000_000 })) as [Job, Job, Job, Job];
    h.assign(first, second, third, fourth);
    await h.until(() => h.of(third).length > 2);
    expect(h.engine.sessions.map(({ capacity }) => capacity)).toEqual([3]);
    expect(h.of(fourth)).toEqual([]);
    h.post({ kind: "drop", held: heldOf(second) });
    await h.until(() => h.of(fourth).length > 2);
    // What is left is not enough for a lane of another kind, until the cohort stands empty.
    const other = job({ cohortKey: "other", epochs: 1 });
    h.assign(other);
    h.post(...[first, third, fourth].map((j) => ({ kind: "drop", held: heldOf(j) }) as const));
    expect(await h.outcomeOf(other)).toMatchObject({ kind: "completed" });
  });

  it("opens no more lanes than the device has room for now, beside the data set", async () => {
    const h = harness();
    h.engine.bytesFree = 28;
    h.engine.bytesDataset = 7;
    const [first, second, third] = [0, 1, 2].map(() => job({ epochs: 1_000_000 })) as [Job, Job, Job];
    h.assign(first, second, third);
    await h.until(() => h.of(second).length > 2);
    expect(h.engine.sessions.map(({ capacity }) => capacity)).toEqual([2]);
    expect(h.of(third)).toEqual([]);
  });

  it("fails an attempt that needs more than all of it, with the figures", async () => {
    const h = harness({ memoryBytes: 10 });
    const a = job();
    h.assign(a);
    expect(await h.outcomeOf(a)).toMatchObject({
      kind: "failed",
      error: { code: "ENGINE_OUT_OF_MEMORY", message: expect.stringMatching(/more: --memory.*one lane takes/) },
    });
    expect(h.engine.sessions).toEqual([]);
  });

  it("gives an attempt back when no memory comes in time, and can stop or drop one that waits", async () => {
    let now = 0;
    const h = harness({ now: () => now, memoryMillis: 1_000 });
    h.engine.room = 1;
    const trains = job({ cohortKey: "a", epochs: 1_000_000 });
    const [late, stopped, dropped] = [job({ cohortKey: "b" }), job({ cohortKey: "b" }), job({ cohortKey: "b" })];
    h.assign(trains, late, stopped, dropped);
    await h.until(() => h.of(trains).length > 2);
    h.post({ kind: "stop", held: heldOf(stopped), save: false }, { kind: "drop", held: heldOf(dropped) });
    expect(await h.outcomeOf(stopped)).toEqual({ kind: "stopped", weightsHash: null });
    expect(h.outcome(late)).toBeNull();
    now = 1_000;
    expect(await h.outcomeOf(late)).toMatchObject({ kind: "released" });
    expect(h.of(dropped)).toEqual([]);
    expect(h.outcome(trains)).toBeNull();
  });

  it("fails an attempt for which even an empty device is too small", async () => {
    const h = harness();
    h.engine.room = 0;
    const a = job();
    h.assign(a);
    expect(await h.outcomeOf(a)).toMatchObject({ kind: "failed", error: { code: "ENGINE_OUT_OF_MEMORY" } });
  });

  it("gives everything back when the device is lost, says so, and ends", async () => {
    const h = harness();
    const [a, b] = [job({ cohortKey: "a", epochs: 1_000_000 }), job({ cohortKey: "b", epochs: 1_000_000 })];
    h.assign(a, b);
    await h.until(() => h.of(a).length > 2 && h.of(b).length > 2);
    const session = h.engine.sessions[0];
    if (session) session.sliceFault = new EngineFault("ENGINE_DEVICE_LOST", "fell off the bus");
    expect(await h.ended).toMatchObject({ code: "ENGINE_DEVICE_LOST" });
    await h.until(() => h.messages.at(-1)?.kind === "lost");
    expect(h.outcome(a)).toEqual({ kind: "released", reason: "fell off the bus" });
    expect(h.outcome(b)).toEqual({ kind: "released", reason: "fell off the bus" });
    expect(h.engine.sessions.every((s) => s.closed)).toBe(true);
  });

  it("runs no slice while held, but serves commands", async () => {
    const h = harness();
    const a = job({ epochs: 1_000_000 });
    h.assign(a);
    await h.until(() => h.of(a).length > 2);
    const marker = (): Job => job({ seed: "no seed" });
    const first = marker();
    h.post({ kind: "hold", held: true }, { kind: "assign", job: first, from: null });
    await h.outcomeOf(first);
    const slices = h.engine.slices.length;
    const second = marker();
    h.assign(second);
    await h.outcomeOf(second);
    expect(h.engine.slices).toHaveLength(slices);
    h.post({ kind: "hold", held: false });
    const before = h.of(a).length;
    await h.until(() => h.of(a).length > before);
  });

  it("closes a session that stands empty, and opens a new one when it is wanted again", async () => {
    const h = harness({ idleMillis: 1 });
    const closed = new Promise<void>((resolve) => {
      h.engine.onClose = () => resolve();
    });
    const a = job();
    h.assign(a);
    await h.outcomeOf(a);
    await closed;
    const b = job();
    h.assign(b);
    expect((await h.outcomeOf(b)).kind).toBe("completed");
    expect(h.engine.sessions.length).toBe(2);
  });

  it("ends every attempt once, whatever is asked of it in whatever order", async () => {
    const scenario = fc.record({
      room: fc.integer({ min: 1, max: 3 }),
      jobs: fc.array(
        fc.record({
          cohort: fc.constantFrom("a", "b", "c"),
          epochs: fc.integer({ min: 1, max: 6 }),
          diverges: fc.integer({ min: 0, max: 6 }),
          refused: fc.boolean(),
          alone: fc.boolean(),
          afterwards: fc.constantFrom("nothing", "stop", "drop"),
        }),
        { minLength: 1, maxLength: 8 },
      ),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ room, jobs }) => {
        const h = new Harness({ lanes: 8 });
        h.engine.room = room;
        const made = jobs.map((s) => ({
          ...s,
          job: job({
            cohortKey: `${s.cohort}${s.epochs}`,
            epochs: s.epochs,
            alone: s.alone,
            parameters: JSON.stringify({ learning_rate: s.diverges, l2: s.refused && s.diverges === 0 ? 2 : 0 }),
          }),
        }));
        for (const m of made) {
          h.assign(m.job);
          if (m.afterwards !== "nothing")
            h.post({ kind: m.afterwards as "stop" | "drop", held: heldOf(m.job), save: false });
        }
        for (const m of made) if (m.afterwards !== "drop") await h.outcomeOf(m.job);
        await h.close();
        for (const m of made) {
          const kinds = h.of(m.job).map((x) => x.kind);
          const ended = kinds.filter((k) => k === "ended").length;
          expect(ended).toBeLessThanOrEqual(1);
          if (m.afterwards !== "drop") expect(ended).toBe(1);
          if (ended === 1) expect(kinds.at(-1)).toBe("ended");
          if (kinds.includes("report")) expect(kinds[0]).toBe("started");
          const epochs = h.of(m.job).flatMap((x) => (x.kind === "report" ? [x.epoch] : []));
          expect(epochs).toEqual(epochs.map((_, i) => i + 1));
          if (h.outcome(m.job)?.kind === "completed") expect(epochs).toHaveLength(m.epochs);
        }
        expect(h.engine.sessions.every((s) => s.closed)).toBe(true);
        expect(h.control.pulse().busy).toBe(false);
      }),
      { numRuns: 150 },
    );
  });
});

it("keeps the weights of an attempt whose recipe asks for it, before it ends, and of no other", async () => {
  const h = harness();
  const keeping = JSON.stringify({ ...JSON.parse(recipe(2)), keep_weights: true });
  const [keeps, not] = [job({ recipe: keeping, cohortKey: "keeps" }), job({ epochs: 2 })];
  h.assign(keeps, not);
  await Promise.all([h.outcomeOf(keeps), h.outcomeOf(not)]);
  const kinds = (j: Job) => h.of(j).map((m) => (m.kind === "artifact" ? m.artifact.name : m.kind));
  expect(kinds(keeps)).toEqual(["started", "report", "report", "weights", "weights-recipe", "ended"]);
  expect(kinds(not)).toEqual(["started", "report", "report", "ended"]);
});
