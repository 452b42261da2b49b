import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { PROGRAM_VERSION } from "../../proto/contract.js";

it("the program's version is the package's", () => {
  const file = new URL("../../package.json", import.meta.url);
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { readonly version: unknown };
  expect(PROGRAM_VERSION).toBe(version);
});
