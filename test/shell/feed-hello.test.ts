/** What a page may say, and that anything else is not taken for it. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { parseHello } from "../../coordinator/shell/feed-socket.js";

const hello = fc.record(
  {
    kind: fc.constant("hello" as const),
    resume: fc.option(fc.record({ feed: fc.string({ maxLength: 64 }), seq: fc.maxSafeNat() })),
    parts: fc.boolean(),
  },
  { requiredKeys: ["kind", "resume"] },
);

it("takes every hello for what it says", () => {
  fc.assert(
    fc.property(hello, (given) => {
      expect(parseHello(JSON.stringify(given))).toEqual(given);
    }),
  );
});

it.each([
  "",
  "hello",
  "null",
  "[]",
  "1",
  `{"kind":"hello"}`,
  `{"kind":"goodbye","resume":null}`,
  `{"kind":"hello","resume":null,"more":1}`,
  `{"kind":"hello","resume":null,"parts":1}`,
  `{"kind":"hello","resume":[]}`,
  `{"kind":"hello","resume":{"feed":"f"}}`,
  `{"kind":"hello","resume":{"feed":1,"seq":1}}`,
  `{"kind":"hello","resume":{"feed":"f","seq":-1}}`,
  `{"kind":"hello","resume":{"feed":"f","seq":0.5}}`,
  `{"kind":"hello","resume":{"feed":"f","seq":1e16}}`,
  `{"kind":"hello","resume":{"feed":"f","seq":1,"more":1}}`,
  JSON.stringify({ kind: "hello", resume: { feed: "f".repeat(65), seq: 1 } }),
])("refuses %s", (text) => {
  expect(parseHello(text)).toBeNull();
});
