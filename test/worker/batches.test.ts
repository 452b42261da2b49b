/** What is due, cut into messages of the Link. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { LIMITS } from "../../proto/contract.js";
import { LinkRequest } from "../../proto/gen/convsweep/v1/worker.js";
import { messagesOf } from "../../worker/batches.js";
import { type Body, endedBody, reportBody } from "../../worker/wire.js";
import { unpacked } from "./unpacked.js";

const HELD = { attempt: "999999999999999/999999999999999#999999999", token: Number.MAX_SAFE_INTEGER };

/** From empty ones to the longest that a coordinator takes, in letters of one to four bytes. */
const report: fc.Arbitrary<Body> = fc
  .record({
    count: fc.integer({ min: 0, max: 256 }),
    length: fc.integer({ min: 1, max: 128 }),
    letter: fc.constantFrom("a", "é", "語", "🙂"),
  })
  .map(({ count, length, letter }) =>
    reportBody(
      HELD,
      0xffff_ffff,
      Number.MAX_SAFE_INTEGER,
      Array(count).fill({ name: letter.repeat(length), value: 1 / 3 }),
    ),
  );
const failure: fc.Arbitrary<Body> = fc
  .record({ length: fc.integer({ min: 0, max: 50_000 }), letter: fc.constantFrom("a", "\n", "語", "🙂") })
  .map(({ length, letter }) => {
    const text = letter.repeat(length);
    return endedBody(HELD, {
      kind: "failed",
      error: { code: "INTERNAL", message: text, path: text, expected: null, found: text },
    });
  });
const dues = fc
  .array(fc.oneof({ weight: 9, arbitrary: report }, { weight: 1, arbitrary: failure }), { maxLength: 256, size: "max" })
  .map((bodies) => bodies.map((body, i) => ({ seq: 17 + i, body })));

it("has every message once, in order, in batches that may be sent", () => {
  fc.assert(
    fc.property(dues, fc.boolean(), (due, batches) => {
      const messages = messagesOf(due, 5, batches);
      expect(messages.flatMap(unpacked)).toEqual(due.map(({ seq, body }) => ({ seq, ack: 5, body })));
      for (const message of messages) {
        if (message.body?.$case !== "batch") continue;
        expect(batches).toBe(true);
        expect(message.body.value.messages.length).toBeGreaterThan(1);
        expect(LinkRequest.encode(message).finish().length).toBeLessThanOrEqual(LIMITS.linkMessageBytes);
      }
    }),
    { numRuns: 30 },
  );
});

it("is one message where there is room", () => {
  const body = reportBody(HELD, 1, 1, [{ name: "val_loss", value: 1 }]);
  const due = Array.from({ length: LIMITS.linkWindow }, (_, i) => ({ seq: i + 1, body }));
  expect(messagesOf(due, 0, true)).toHaveLength(1);
  expect(messagesOf([], 0, true)).toEqual([]);
});
