/**
 * Every decision is on record: whatever changes the state of a sweep, trial, attempt or worker comes with a line of the
 * record about it, in the same decision and so in the same commit. And every kind of line is documented.
 */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Event, Mutation } from "../../coordinator/core/events.js";
import type { Attempt, EventRecord, Sweep, Trial, Worker } from "../../coordinator/core/types.js";
import { sweepId } from "../../proto/contract.js";
import { FakeWorker, Rig } from "./rig.js";
import { World } from "./world.js";

/** What of each thing may not change in silence. */
const told = {
  sweep: ({ state, cause, spec }: Sweep) => [state, cause, spec.maxWallMillis],
  trial: ({ state }: Trial) => [state],
  attempt: ({ state, stopping }: Attempt) => [state, stopping],
  worker: ({ state, incarnation }: Worker) => [state, incarnation],
};

/** Follows a rig and answers how many changes it saw, by kind of mutation. */
function follow(rig: Rig): Map<string, number> {
  const known = new Map<string, string>();
  const seen = new Map<string, number>();
  const feed = rig.feed.bind(rig);
  rig.feed = (event) => {
    const from = rig.mutations.length;
    const effects = feed(event);
    check(event, rig.mutations.slice(from), known, seen);
    return effects;
  };
  return seen;
}

function check(
  event: Event,
  mutations: readonly Mutation[],
  known: Map<string, string>,
  seen: Map<string, number>,
): void {
  const lines = mutations.flatMap((mutation) => (mutation.kind === "addEvent" ? [mutation.event] : []));
  for (const line of lines) {
    expect(line.kind).toMatch(/^[a-z]+(-[a-z]+)+$/);
    expect(line.detail, `${line.kind} after ${event.kind}`).not.toBe("");
    expect(line.detail.length, line.detail).toBeLessThan(500);
    expect(line.detail).not.toMatch(/undefined|NaN|\[object/);
  }
  const changed = (
    kind: Mutation["kind"],
    id: string | number,
    now: unknown,
    about: (line: EventRecord) => boolean,
  ): void => {
    const text = JSON.stringify(now);
    const key = `${kind} ${id}`;
    const before = known.get(key);
    known.set(key, text);
    if (before === text) return;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    expect(lines.some(about), `${event.kind}: ${key} became ${text} (was ${before}) and nothing says why`).toBe(true);
  };
  for (const mutation of mutations) {
    switch (mutation.kind) {
      case "putSweep":
        changed("putSweep", mutation.sweep.id, told.sweep(mutation.sweep), (line) => line.sweep === mutation.sweep.id);
        break;
      case "putTrial":
        changed("putTrial", mutation.trial.id, told.trial(mutation.trial), (line) => line.trial === mutation.trial.id);
        break;
      case "putAttempt": {
        const { attempt } = mutation;
        changed("putAttempt", attempt.id, told.attempt(attempt), (line) => line.trial === attempt.trial);
        break;
      }
      case "putWorker":
        changed(
          "putWorker",
          mutation.worker.id,
          told.worker(mutation.worker),
          (line) => line.worker === mutation.worker.id,
        );
        break;
      case "setTokens":
        // Given with an offer, or raised because a worker holds a higher one.
        expect(lines.some((line) => line.kind === "attempt-offered" || line.kind === "tokens-raised")).toBe(true);
        seen.set("setTokens", (seen.get("setTokens") ?? 0) + 1);
        break;
      case "setSweeps":
        expect(lines.some((line) => line.kind === "sweep-submitted" && line.sweep === mutation.last)).toBe(true);
        seen.set("setSweeps", (seen.get("setSweeps") ?? 0) + 1);
        break;
      case "addReport":
      case "putArtifact":
      case "addEvent":
        // A report and an artifact are on record by themselves; a line is one.
        break;
    }
  }
}

function sources(part: "core" | "store"): string {
  const folder = new URL(`../../coordinator/${part}/`, import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  return names.map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n");
}

/** Of the sources: what is given to `record`, with its templates written out, and what the store notes at its opening. */
function kindsInSource(): Set<string> {
  const text = sources("core");
  const noted = [...sources("store").matchAll(/kind: "([a-z]+(?:-[a-z]+)+)", detail/g)].map(([, kind]) => kind ?? "");
  const found = new Set<string>(noted);
  const given = [...text.matchAll(/\.record\(\s*(?:"([a-z-]+)"|`([a-z]+)-\$\{state\}`|(event\.note|[a-z.]+))/g)];
  const endings = {
    trial: ["completed", "stopped", "failed", "lost", "cancelled"],
    sweep: ["completed", "cancelled", "failed"],
    worker: ["away", "gone"],
  };
  for (const [, plain, template] of given) {
    if (plain !== undefined) found.add(plain);
    for (const ending of endings[template as keyof typeof endings] ?? []) found.add(`${template}-${ending}`);
  }
  expect(given.length).toBe(text.match(/(?:draft|this)\.record\(/g)?.length);
  return found;
}

const NOTES = [
  "coordinator-stood-still",
  "webhook-configured",
  "webhook-due",
  "webhook-delivered",
  "webhook-failed",
  "webhook-dropped",
  "store-degraded",
  "store-damaged",
  "store-growing",
  "store-restored",
];

describe("the record of events", () => {
  it("tells of every change of state, among unreliable workers", { timeout: 60_000 }, () => {
    const steps = fc.array(fc.record({ what: fc.nat(19), who: fc.nat(5), how: fc.nat(20_000) }), {
      minLength: 40,
      maxLength: 200,
      size: "max",
    });
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(steps, (taken) => {
        const world = new World([], [2, 1]);
        const changes = follow(world.rig);
        for (const spec of [{ runCap: 5 }, { runCap: 3, name: "two", maxWallMillis: 600_000, recipeDigest: "d2" }])
          world.rig.submit(spec);
        for (const step of taken) world.take(step);
        world.heal();
        for (const [kind, count] of changes) seen.set(kind, (seen.get(kind) ?? 0) + count);
      }),
      { numRuns: 60, seed: 7 },
    );
    for (const kind of ["putSweep", "putTrial", "putAttempt", "putWorker", "setTokens", "setSweeps"])
      expect(seen.get(kind), kind).toBeGreaterThan(60);
  });

  it("tells of what people ask", () => {
    const rig = new Rig();
    const seen = follow(rig);
    const id = sweepId(1);
    rig.submit({ runCap: 2 });
    const worker = new FakeWorker(rig, "w");
    worker.hello();
    for (const [index, held] of rig.assigns().entries()) worker.train(held, [0.1, 0.2, index]);
    expect(rig.sweep(1).state).toBe("completed");
    rig.ask((call) => ({ kind: "TrialEnqueued", call, sweep: id, parameters: {} }));
    expect(rig.eventsOf("sweep-reopened")[0]?.detail).toBe("for a trial enqueued by user");
    rig.ask((call) => ({ kind: "TrialRerun", call, trial: rig.trial(1, 0).id, verify: true }));
    rig.ask((call) => ({ kind: "TrialStopped", call, trial: rig.trial(1, 2).id }));
    rig.ask((call) => ({ kind: "SweepExtended", call, sweep: id, trials: 2, wallMillis: 0 }));
    rig.ask((call) => ({ kind: "SweepPaused", call, sweep: id }));
    rig.ask((call) => ({ kind: "SweepResumed", call, sweep: id }));
    rig.ask((call) => ({ kind: "SweepCancelled", call, sweep: id }));
    expect(rig.sweep(1).cause).toBe("cancelled by user");
    expect(seen.get("putSweep")).toBeGreaterThanOrEqual(5);
  });

  it("says when a lost attempt is tried again, and when no more", () => {
    const rig = new Rig();
    rig.submit({ runCap: 1, maxAttempts: 3 });
    const worker = new FakeWorker(rig, "w");
    worker.hello();
    for (let loss = 1; loss <= 3; loss += 1) {
      const held = rig.assigns().at(-1);
      if (held === undefined) throw new Error("nothing was assigned");
      rig.pass(9_001);
      worker.hello();
      rig.pass(60_000);
      worker.hello();
    }
    expect(rig.eventsOf("attempt-lost").map(({ detail }) => detail)).toEqual([
      "lease expired on w (loss 1 of 3; tried again after 2 s)",
      "lease expired on w (loss 2 of 3; tried again after 4 s)",
      "lease expired on w (loss 3 of 3; no tries left)",
    ]);
    expect(rig.eventsOf("trial-lost")[0]?.detail).toBe("lease expired on w; 3 attempts lost");
  });

  it("puts on record what the shell did", () => {
    const rig = new Rig();
    rig.feed({ kind: "Noted", note: "webhook-failed", sweep: null, trial: null, detail: "no answer" });
    expect(rig.events).toMatchObject([{ kind: "webhook-failed", at: rig.now, detail: "no answer", worker: null }]);
  });

  it("has all its kinds in docs/events.md, and no others", () => {
    const docs = readFileSync(new URL("../../docs/events.md", import.meta.url), "utf8");
    const listed = [...docs.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, kind]) => kind ?? "");
    expect(new Set(listed).size).toBe(listed.length);
    expect(listed.sort()).toEqual([...kindsInSource(), ...NOTES].sort());
  });
});
