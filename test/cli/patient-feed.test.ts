/** Following a sweep over a coordinator that goes away and comes back. */
import { describe, expect, it } from "vitest";
import type { Feed } from "../../coordinator/cli/follow.js";
import { patientFeed, type Waiting } from "../../coordinator/cli/patient-feed.js";
import { applyFeedMessage, newSweepModel } from "../../coordinator/cli/sweep-model.js";
import { ConvsweepError } from "../../proto/contract.js";
import type { FeedMessage } from "../../proto/feed.js";
import { sweepRow, trialRow } from "../dashboard/rows.js";

const snapshot = (seq: number): FeedMessage => ({
  kind: "snapshot",
  feed: "f",
  seq,
  version: "v",
  rest: 0,
  sweeps: [sweepRow(1)],
  trials: [trialRow(1, 0)],
  workers: [],
});

/** Each watch of it does the next of these, then breaks off; time passes only in pauses. */
function flaky(acts: readonly (FeedMessage | ConvsweepError | null)[], stoppedMillis = 0) {
  const pauses: number[] = [];
  const notices: string[] = [];
  let at = 0;
  let time = 0;
  const feed: Feed = {
    async watch(listener) {
      const act = acts[at++];
      if (act instanceof ConvsweepError) throw act;
      if (act) listener(act);
      time += stoppedMillis;
      if (at < acts.length) throw new ConvsweepError("UNAVAILABLE", "gone");
    },
  };
  const waiting: Waiting = {
    now: () => time,
    pause: async (millis) => {
      pauses.push(millis);
      time += millis;
    },
  };
  const seen: FeedMessage[] = [];
  const patient = patientFeed(feed, (text) => notices.push(text), waiting);
  const watched = patient.watch((message) => seen.push(message), new AbortController().signal);
  return { watched, seen, pauses, notices };
}

describe("a patient feed", () => {
  it("opens a feed that broke off again, with growing pauses, and says so once each way", async () => {
    const { watched, seen, pauses, notices } = flaky([snapshot(1), null, null, snapshot(9), snapshot(12)]);
    await watched;
    expect(seen.map((message) => message.seq)).toEqual([1, 9, 12]);
    expect(pauses).toEqual([200, 400, 800, 200]);
    expect(notices).toEqual([
      "the coordinator is away; waiting for it",
      "the coordinator is back",
      "the coordinator is away; waiting for it",
      "the coordinator is back",
    ]);
  });

  it("waits for a coordinator that was stopped together with it, however long", async () => {
    const { watched, seen } = flaky([snapshot(1), snapshot(9), snapshot(12)], 3_600_000);
    await watched;
    expect(seen.map((message) => message.seq)).toEqual([1, 9, 12]);
  });

  it("gives up a minute after it broke off, and at once for anything else", async () => {
    const { watched, pauses } = flaky([snapshot(1), ...Array.from({ length: 100 }, () => null)]);
    await expect(watched).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const waited = pauses.reduce((sum, millis) => sum + millis, 0);
    expect(waited).toBeGreaterThan(60_000);
    expect(waited).toBeLessThan(63_000);
    const refused = flaky([snapshot(1), new ConvsweepError("UNAUTHENTICATED", "no"), snapshot(2)]);
    await expect(refused.watched).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("a snapshot that comes again tells of no end twice", () => {
    const model = newSweepModel(1);
    expect(applyFeedMessage(model, snapshot(1)).ended).toHaveLength(1);
    expect(applyFeedMessage(model, snapshot(9)).ended).toEqual([]);
  });
});
