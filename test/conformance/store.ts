/**
 * What every store must do (coordinator/store/store.ts), run on each implementation.
 *
 * Random histories are compared with a model that is only maps of JSON text; refusals are compared with the store's
 * content before. `reopen` closes and opens again where that means something, else gives the same store back.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Mutation } from "../../coordinator/core/events.js";
import type { MetricValue, Report } from "../../coordinator/core/types.js";
import type { Snapshot, Store } from "../../coordinator/store/store.js";
import { attemptId, ConvsweepError, millis, sweepId, token, trialId } from "../../proto/contract.js";
import {
  batches,
  Model,
  sampleAttempt,
  sampleEvent,
  sampleReport,
  sampleSweep,
  sampleTrial,
  sampleWorker,
} from "./store-model.js";

export interface StoreFixture {
  store: Store;
  reopen(): Store;
  dispose(): void;
}

/** Keys in one order, so that two equal values are equal text; -0 and 0 stay apart. */
const exact = (value: unknown): string =>
  JSON.stringify(value, (_key, member: unknown) => {
    if (Object.is(member, -0)) return "minus zero";
    if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)));
  });

const refusal = (run: () => void): ConvsweepError => {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof ConvsweepError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
};

export function storeConformance(name: string, makeStore: () => StoreFixture): void {
  describe(`store conformance: ${name}`, () => {
    let fixture: StoreFixture;
    beforeEach(() => {
      fixture = makeStore();
    });
    afterEach(() => fixture.dispose());

    const everything = (store: Store, model: Model): string =>
      exact({
        snapshot: store.load(),
        reports: model.trialIds().map((id) => store.reports(id)),
        perAttempt: model.attemptIds().map((id) => store.attemptReports(id)),
        attempts: model.trialIds().map((id) => store.attempts(id)),
        events: store.events({ sweep: null, trial: null, limit: 1_000 }),
      });

    it("is empty at first", () => {
      const empty: Snapshot = {
        sweeps: [],
        trials: [],
        attempts: [],
        workers: [],
        lastToken: token(0),
        lastSweep: sweepId(0),
      };
      expect(fixture.store.load()).toEqual(empty);
      expect(fixture.store.info().commitSeq).toBe(0);
      expect(fixture.store.info().uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
      expect(fixture.store.reports(trialId(sweepId(1), 0))).toEqual([]);
    });

    it("gives back exactly what random histories committed, before and after a reopening", () => {
      fc.assert(
        fc.property(batches, (history) => {
          fixture.dispose();
          fixture = makeStore();
          const model = new Model();
          for (const batch of history) {
            fixture.store.commit(batch);
            model.commit(batch);
          }
          const expected = exact(model.everything());
          expect(everything(fixture.store, model)).toBe(expected);
          expect(fixture.store.info().commitSeq).toBe(history.length);
          const uuid = fixture.store.info().uuid;
          fixture.store = fixture.reopen();
          expect(everything(fixture.store, model)).toBe(expected);
          expect(fixture.store.info().commitSeq).toBe(history.length);
          expect(fixture.store.info().uuid).toBe(uuid);
        }),
        { numRuns: 60, seed: 20_261_121 },
      );
    });

    it("keeps a trial that moves on by an epoch at a time, and everything else of it", () => {
      const opening = sampleTrial(1, 0, { state: "running", startedAt: millis(5), epoch: 0 });
      const holder = sampleAttempt(opening.trial.id, 1, 7, { state: "running", lastEpoch: 0, leaseUntil: millis(9) });
      fixture.store.commit([sampleSweep(1), opening, holder]);
      let { trial } = opening;
      let { attempt } = holder;
      for (const [epoch, value] of ([0.25, "nan", -0, "-inf", 0.5] as const).entries()) {
        const best = typeof value === "number" ? { value, epoch: epoch + 1 } : trial.best;
        trial = { ...trial, epoch: epoch + 1, best, last: value, metrics: { val_loss: value, epoch } };
        attempt = { ...attempt, lastEpoch: epoch + 1, leaseUntil: millis(100 + epoch) };
        fixture.store.commit([
          { kind: "putTrial", trial },
          { kind: "putAttempt", attempt },
        ]);
        const { trials, attempts } = fixture.store.load();
        expect(exact({ trials, attempts })).toBe(exact({ trials: [trial], attempts: [attempt] }));
      }
      // More than an epoch changes, then an epoch alone again, of which a later put of the same batch is the last.
      trial = { ...trial, losses: 1, checkpoints: [], fingerprint: "f", worker: null };
      attempt = { ...attempt, stopping: "stopped", cause: "by hand" };
      const early = { ...trial, epoch: 6 };
      fixture.store.commit([
        { kind: "putTrial", trial: early },
        { kind: "putAttempt", attempt },
      ]);
      trial = { ...trial, epoch: 8, metrics: { val_loss: 1 } };
      attempt = { ...attempt, lastEpoch: 8 };
      fixture.store.commit([
        { kind: "putTrial", trial: { ...early, epoch: 7 } },
        { kind: "putAttempt", attempt },
        { kind: "putTrial", trial },
      ]);
      fixture.store = fixture.reopen();
      const { trials, attempts } = fixture.store.load();
      expect(exact({ trials, attempts })).toBe(exact({ trials: [trial], attempts: [attempt] }));
      const bad = { ...trial, epoch: 9, metrics: { val_loss: Number.NaN } };
      expect(refusal(() => fixture.store.commit([{ kind: "putTrial", trial: bad }])).path).toBe(
        "batch[0].trial.metrics.val_loss",
      );
    });

    it("answers events of one sweep or trial, the newest last, at most as many as asked for", () => {
      const { store } = fixture;
      store.commit([
        sampleEvent({ detail: "a", sweep: sweepId(1) }),
        sampleEvent({ detail: "b", sweep: sweepId(2), trial: trialId(sweepId(2), 0) }),
        sampleEvent({ detail: "c", sweep: sweepId(1), trial: trialId(sweepId(1), 4) }),
        sampleEvent({ detail: "d", sweep: sweepId(1) }),
      ]);
      const details = (filter: Parameters<Store["events"]>[0]): string =>
        store
          .events(filter)
          .map((event) => event.detail)
          .join("");
      expect(details({ sweep: null, trial: null, limit: 3 })).toBe("bcd");
      expect(details({ sweep: sweepId(1), trial: null, limit: 10 })).toBe("acd");
      expect(details({ sweep: sweepId(1), trial: null, limit: 1 })).toBe("d");
      expect(details({ sweep: null, trial: trialId(sweepId(2), 0), limit: 10 })).toBe("b");
      expect(details({ sweep: sweepId(1), trial: trialId(sweepId(2), 0), limit: 10 })).toBe("");
      store.commit([
        sampleEvent({ detail: "e", kind: "worker-away" }),
        sampleEvent({ detail: "f", kind: "worker-gone" }),
      ]);
      const ofKinds = (limit: number, among: number): string =>
        store
          .eventsOf(["worker-away", "worker-gone"], limit, among)
          .map((event) => event.detail)
          .join("");
      expect([ofKinds(10, 10), ofKinds(1, 10), ofKinds(10, 1), ofKinds(10, 2)]).toEqual(["ef", "f", "f", "ef"]);
      expect(store.eventsOf(["no-such-kind"], 10, 10)).toEqual([]);
      expect(details({ sweep: null, trial: null, limit: 0 })).toBe("");
    });

    describe("with one running trial", () => {
      const trial = trialId(sweepId(1), 0);
      const attempt = attemptId(trial, 1);
      const start: readonly Mutation[] = [sampleSweep(1), sampleTrial(1, 0), sampleAttempt(trial, 1, 7)];
      const report = (epoch: number, metrics: Record<string, MetricValue>, more: Partial<Report> = {}): Mutation =>
        sampleReport(attempt, epoch, metrics, more);
      beforeEach(() => fixture.store.commit(start));

      it("keeps NaN, the infinities, minus zero and the extremes of a double", () => {
        const metrics: Record<string, MetricValue> = {
          a: "nan",
          b: "inf",
          c: "-inf",
          d: -0,
          e: 0,
          f: 5e-324,
          g: Number.MAX_VALUE,
          h: 0.1 + 0.2,
          i: Number.MAX_SAFE_INTEGER,
          ordinary: -1.5,
        };
        fixture.store.commit([
          report(1, metrics),
          sampleTrial(1, 0, { last: -0, best: { value: -0, epoch: 1 }, metrics }),
        ]);
        for (const again of [false, true]) {
          const store = again ? fixture.reopen() : fixture.store;
          expect(exact(store.attemptReports(attempt)[0]?.metrics)).toBe(exact(metrics));
          expect(exact(store.reports(trial)[0]?.metrics)).toBe(exact(metrics));
          const loaded = store.load().trials[0];
          expect(exact(loaded?.metrics)).toBe(exact(metrics));
          expect(Object.is(loaded?.last, -0)).toBe(true);
          expect(Object.is(loaded?.best?.value, -0)).toBe(true);
        }
        for (const last of ["nan", "inf", "-inf", null] as const) {
          fixture.store.commit([sampleTrial(1, 0, { last })]);
          expect(fixture.store.load().trials[0]?.last).toBe(last);
        }
      });

      it("takes a repeated report as nothing, and the first value stays", () => {
        fixture.store.commit([report(1, { loss: 0.5 }), report(1, { loss: 0.5 })]);
        fixture.store.commit([report(1, { loss: 0.25 }, { step: 99, at: millis(99) })]);
        fixture.store.commit([report(1, { loss: "nan" }), report(0, { loss: 1 })]);
        expect(fixture.store.reports(trial).map(({ epoch, step, metrics }) => ({ epoch, step, metrics }))).toEqual([
          { epoch: 0, step: 0, metrics: { loss: 1 } },
          { epoch: 1, step: 100, metrics: { loss: 0.5 } },
        ]);
      });

      it("keeps of an attempt, a name and an epoch the last artifact, and answers the newest attempt's", () => {
        const next = attemptId(trial, 2);
        const artifact = (of: typeof attempt, name: string, epoch: number, digit: string): Mutation => ({
          kind: "putArtifact",
          artifact: {
            trial,
            attempt: of,
            name,
            mediaType: "image/png",
            epoch,
            digest: digit.repeat(64),
            bytes: 5,
            at: millis(9),
          },
        });
        fixture.store.commit([artifact(attempt, "samples", 1, "a"), artifact(attempt, "samples", 2, "b")]);
        fixture.store.commit([artifact(attempt, "samples", 2, "c"), artifact(attempt, "animated", 0, "d")]);
        fixture.store.commit([sampleAttempt(trial, 2, 8), artifact(next, "samples", 1, "e")]);
        const kept = fixture.store.artifacts(trial);
        expect(kept.map(({ name, epoch, digest, attempt: of }) => [name, epoch, digest[0], of])).toEqual([
          ["animated", 0, "d", attempt],
          ["samples", 1, "e", next],
          ["samples", 2, "c", attempt],
        ]);
        for (const one of kept) expect(fixture.store.artifact(one.id)).toEqual(one);
        expect(fixture.store.artifact(99)).toBe(null);
        expect(() => fixture.store.commit([artifact(attemptId(trial, 3), "samples", 1, "f")])).toThrow(
          /artifact.attempt/,
        );
        expect(() => fixture.store.commit([artifact(attempt, "", 1, "f")])).toThrow(/artifact.name/);
      });

      it("keeps a metric that comes later for the same epoch", () => {
        fixture.store.commit([report(1, { loss: 0.5 }, { at: millis(10) })]);
        fixture.store.commit([report(1, { loss: 0.1, test_loss: 0.75 }, { at: millis(20) })]);
        expect(fixture.store.attemptReports(attempt)).toEqual([
          { trial, attempt, epoch: 1, step: 100, metrics: { loss: 0.5, test_loss: 0.75 }, at: 20 },
        ]);
      });

      it("orders reports by attempt, then epoch", () => {
        const second = attemptId(trial, 2);
        fixture.store.commit([
          sampleAttempt(trial, 2, 8),
          sampleReport(second, 1, { loss: 3 }),
          report(2, { loss: 2 }),
          report(1, { loss: 1 }),
        ]);
        expect(fixture.store.reports(trial).map((r) => r.metrics["loss"])).toEqual([1, 2, 3]);
        expect(fixture.store.attempts(trial).map((a) => a.n)).toEqual([1, 2]);
      });

      it("loads attempts that have not ended", () => {
        const ended = { endedAt: millis(5), state: "lost" } as const;
        fixture.store.commit([
          sampleAttempt(trial, 1, 7, ended),
          sampleAttempt(trial, 2, 8, ended),
          sampleAttempt(trial, 3, 9, ended),
          sampleTrial(1, 1),
          sampleAttempt(trialId(sweepId(1), 1), 1, 10),
          sampleAttempt(trialId(sweepId(1), 1), 2, 11, ended),
        ]);
        expect(fixture.store.load().attempts.map((a) => a.id)).toEqual(["1/1#1"]);
      });

      const wrong: readonly (readonly [string, Mutation, RegExp])[] = [
        [
          "an unknown state",
          sampleTrial(1, 0, { state: "resting" as "queued" }),
          /batch\[1\]\.trial\.state: expected one of queued/,
        ],
        [
          "a metric that is NaN itself",
          report(1, { loss: Number.NaN }),
          /report\.metrics\.loss: expected a finite number.*NaN/,
        ],
        ["an infinite best", sampleTrial(1, 0, { best: { value: Number.POSITIVE_INFINITY, epoch: 1 } }), /best\.value/],
        [
          "a fraction of a millisecond",
          sampleTrial(1, 0, { createdAt: millis(0.5) }),
          /createdAt: expected a whole number/,
        ],
        ["a metric without a name", report(1, { "": 1 }), /not empty/],
        ["half a character", sampleTrial(1, 0, { cause: "\ud800" }), /cause: expected well-formed text/],
        [
          "an id that does not fit",
          sampleTrial(1, 0, { id: trialId(sweepId(1), 9) }),
          /trial\.id: expected "1\/0", found "1\/9"/,
        ],
        ["a trial of no sweep", sampleTrial(5, 0), /trial\.sweep: expected a sweep of the store, found 5/],
        [
          "an attempt of no trial",
          sampleAttempt(trialId(sweepId(1), 3), 1, 9),
          /attempt\.trial: expected a trial of the store/,
        ],
        [
          "a report of no attempt",
          sampleReport(attemptId(trial, 5), 1, { loss: 1 }),
          /expected an attempt of the store/,
        ],
        [
          "a report under another trial",
          report(1, { loss: 1 }, { trial: trialId(sweepId(1), 3) }),
          /an attempt of trial 1\/3/,
        ],
        ["another token for an attempt", sampleAttempt(trial, 1, 8), /expected 7, which 1\/0#1 has for life, found 8/],
        ["a token used before", sampleAttempt(trial, 2, 7), /a token that 1\/0#1 does not have, found 7/],
        ["an unknown mutation", { kind: "putNothing" } as unknown as Mutation, /batch\[1\]\.kind/],
      ];
      it.each(wrong)("refuses a batch with %s whole", (_what, member, message) => {
        const model = new Model();
        model.commit(start);
        const before = everything(fixture.store, model);
        const { commitSeq } = fixture.store.info();
        const error = refusal(() =>
          fixture.store.commit([sampleTrial(1, 0, { cause: "changed" }), member, sampleSweep(2)]),
        );
        expect(error.code).toBe("BAD_INPUT");
        expect(error.message).toMatch(message);
        expect(everything(fixture.store, model)).toBe(before);
        expect(fixture.store.info().commitSeq).toBe(commitSeq);
        fixture.store.commit([sampleTrial(1, 0, { cause: "after" })]);
        expect(fixture.store.load().trials[0]?.cause).toBe("after");
      });

      it("keeps nothing of a batch whose data throws while it is read", () => {
        const model = new Model();
        model.commit(start);
        const before = everything(fixture.store, model);
        const trap = sampleWorker("trap");
        Object.defineProperty(trap.worker, "devices", {
          get: () => {
            throw new Error("planted");
          },
        });
        expect(() => fixture.store.commit([sampleSweep(2), sampleTrial(2, 0), trap])).toThrow("planted");
        expect(everything(fixture.store, model)).toBe(before);
      });

      it("does not share records with the caller", () => {
        const metrics: Record<string, MetricValue> = { loss: 1 };
        fixture.store.commit([report(3, metrics)]);
        metrics["loss"] = 2;
        const loaded = fixture.store.load();
        (loaded.trials[0] as { cause: string }).cause = "scribbled";
        expect(fixture.store.attemptReports(attempt)[0]?.metrics).toEqual({ loss: 1 });
        expect(fixture.store.load().trials[0]?.cause).toBe("");
      });

      it("accepts a batch in any order within itself", () => {
        const other = trialId(sweepId(2), 0);
        fixture.store.commit([
          sampleReport(attemptId(other, 1), 1, { loss: 1 }),
          sampleAttempt(other, 1, 20),
          sampleTrial(2, 0),
          sampleSweep(2),
          sampleTrial(2, 0, { cause: "later wins" }),
        ]);
        expect(fixture.store.reports(other)).toHaveLength(1);
        expect(fixture.store.load().trials.at(-1)?.cause).toBe("later wins");
      });
    });

    it("holds counters", () => {
      fixture.store.commit([
        { kind: "setTokens", last: token(41) },
        { kind: "setSweeps", last: sweepId(3) },
        { kind: "setTokens", last: token(42) },
      ]);
      fixture.store = fixture.reopen();
      expect(fixture.store.load().lastToken).toBe(42);
      expect(fixture.store.load().lastSweep).toBe(3);
      expect(fixture.store.info().commitSeq).toBe(1);
    });
  });
}
