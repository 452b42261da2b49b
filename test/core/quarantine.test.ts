/** B13, P7: a trial that kills every worker that runs it is found out, its neighbours are cleared, the sweep goes on. */
import { describe, expect, it } from "vitest";
import type { Assign } from "./rig.js";
import { deviceOf, FakeWorker, Rig } from "./rig.js";

/** Workers die whenever they hold trial 0. Answers how many died, and the greatest company it had at its last death. */
function run(lanes: number, runCap: number) {
  const rig = new Rig();
  rig.submit({ runCap, maxAttempts: 10 });
  let life = 0;
  let deaths = 0;
  let company = 0;
  let worker = new FakeWorker(rig, "w", [deviceOf(lanes)], "w-0");
  worker.hello();
  let given = 0;
  let held: Assign[] = [];
  for (let round = 0; round < 200 && rig.sweep(1).state === "running"; round += 1) {
    held.push(...rig.assigns().slice(given));
    given = rig.assigns().length;
    for (const assign of held) if (rig.attempt(assign.attempt)?.state === "offered") worker.start(assign);
    if (held.some(({ attempt }) => attempt.startsWith("1/0#"))) {
      deaths += 1;
      company = held.length - 1;
      const dead = worker.life;
      life += 1;
      held = [];
      worker = new FakeWorker(rig, "w", [deviceOf(lanes)], `w-${life}`);
      worker.hello([], { previous: [dead] });
    } else {
      const [first] = held;
      held = held.slice(1);
      if (first) worker.train(first);
    }
    rig.pass(2_000);
    worker.heartbeat(held);
  }
  return { rig, deaths, company };
}

describe("a poison trial", () => {
  it.each([
    [1, 3],
    [4, 8],
    [8, 8],
  ])("on %i lanes: three workers die, at the last death it was alone, all others complete", (lanes, runCap) => {
    const { rig, deaths, company } = run(lanes, runCap);
    expect(deaths).toBe(3);
    expect(company).toBe(0);
    expect(rig.trial(1, 0)).toMatchObject({
      state: "lost",
      cause: "quarantined: 3 workers ended while they trained it, the last time alone",
    });
    expect(rig.trialStates(1).slice(1)).toEqual(Array.from({ length: runCap - 1 }, () => "completed"));
    expect(rig.eventsOf("trial-quarantined")).toHaveLength(1);
    expect(rig.sweep(1).state).toBe("completed");
  });

  it("one worker that falls silent twice counts once", () => {
    const rig = new Rig();
    rig.submit({ runCap: 1, maxAttempts: 10 });
    const worker = new FakeWorker(rig, "w", [deviceOf(1)]);
    for (let time = 0; time < 4; time += 1) {
      worker.hello();
      rig.pass(60_000);
    }
    expect(rig.trial(1, 0).killed).toEqual([worker.life]);
  });
});
