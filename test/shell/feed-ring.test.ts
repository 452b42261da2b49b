import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CHANGE_BYTES, FeedRing } from "../../coordinator/shell/feed-ring.js";

describe("FeedRing", () => {
  it("is a window of consecutive numbers within its bounds", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.array(fc.nat(3), { maxLength: 200 }),
        (atMost, bytes, sizes) => {
          const ring = new FeedRing(atMost, bytes);
          const pushes = sizes.length;
          const row = { trial: "1/0", epoch: 1, metrics: {} };
          for (const [i, size] of sizes.entries()) {
            const changes = Array.from({ length: size }, () => ({ kind: "report", row }) as const);
            expect(ring.push(changes)).toMatchObject({ seq: i + 1, text: expect.stringContaining(`"seq":${i + 1},`) });
          }
          const kept = Array.from({ length: pushes + 2 }, (_, seq) => ring.at(seq)).filter((delta) => delta !== null);
          expect(kept.map((delta) => delta.seq)).toEqual(kept.map((_, i) => pushes - kept.length + 1 + i));
          expect(kept.length).toBeLessThanOrEqual(Math.max(1, atMost));
          if (pushes > 0) expect(kept.length).toBeGreaterThan(0);
          const size = kept.reduce((sum, delta) => sum + delta.changes.length * CHANGE_BYTES, 0);
          if (kept.length > 1) expect(size).toBeLessThanOrEqual(bytes);
          ring.skip();
          expect(Array.from({ length: pushes + 3 }, (_, seq) => ring.at(seq))).toEqual(Array(pushes + 3).fill(null));
          expect(ring.push([]).seq).toBe(pushes + 2);
          expect(ring.at(pushes + 2)?.seq).toBe(pushes + 2);
        },
      ),
    );
  });
});
